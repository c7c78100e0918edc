//! Who or what keeps a contender from a mutex, in words.

use std::fmt;

use super::Broken;
pub use crate::key::OtherKey;
use crate::{Lease, Mode, Timestamp, Token};

/// Who holds a mutex, or is about to write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// The holder, and when its lease is over by its own word.
    Lease {
        /// The holder's ID; one of several.
        by: String,
        /// How many hold it beside that one.
        others: usize,
        /// On the store's clock.
        expires: Timestamp,
        /// That is past by the clock as it was known when the lock was judged.
        is_past: bool,
    },
    /// Somebody who has waited longer, and holds it next.
    Waiter {
        /// Its ID.
        by: String,
    },
    /// A Go program that has announced its write.
    Reservation {
        /// Its ID.
        by: String,
    },
}

/// Why a mutex cannot be had, however long one waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot be read.
    Unreadable(String),
    /// It is kept for another key than the name was made from.
    OtherKey(OtherKey),
    /// It is held, or waited for, in this other way, so that it cannot be held as wanted.
    OtherMode {
        /// By others.
        other: Mode,
        /// By us.
        wanted: Mode,
    },
    /// So many wait already, and there is no room for more in its queue.
    QueueFull(usize),
    /// There is none, and only a lease that is there was wanted.
    NoLock,
    /// There is no lease of this ID, and only such a one was wanted.
    NotHeld(Box<NotHeld>),
}

/// How it is with a mutex that has no lease of this ID, or another one of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotHeld {
    pub(crate) id: String,
    /// The lease with this token was wanted, and no other.
    pub(crate) token: Option<Token>,
    /// It was the last whose lease was broken.
    pub(crate) broken: Option<Broken>,
    /// Who holds it.
    pub(crate) by: Option<HeldBy>,
    /// The token of whoever holds it, where that is known.
    pub(crate) current: Option<Token>,
}

impl HeldBy {
    /// The holder of this lease, at this time of the store's clock.
    pub(crate) fn of(lease: &Lease, now: Timestamp) -> Self {
        Self::Lease {
            by: lease.holder.clone(),
            others: 0,
            expires: lease.expires,
            is_past: lease.is_expired(now),
        }
    }

    /// Whether it is the same holder, if perhaps until another time.
    #[must_use]
    pub fn is_by_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Lease { by, .. }, Self::Lease { by: other, .. })
            | (Self::Waiter { by }, Self::Waiter { by: other })
            | (Self::Reservation { by }, Self::Reservation { by: other }) => by == other,
            _ => false,
        }
    }
}

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease {
                by,
                others,
                expires,
                is_past,
            } => {
                write!(f, "held by {by:?}")?;
                match others {
                    0 => {}
                    1 => f.write_str(" and another")?,
                    _ => write!(f, " and {others} others")?,
                }
                if expires.is_never() {
                    return f.write_str(" indefinitely");
                }
                write!(f, " until {}", expires.to_the_second())?;
                if *is_past {
                    f.write_str(", which is past by its own word, but clocks may differ")?;
                }
                Ok(())
            }
            Self::Waiter { by } => write!(f, "kept for {by:?}, which comes first"),
            Self::Reservation { by } => write!(f, "reserved by {by:?}"),
        }
    }
}

/// Goes on after "lock x is not held by".
impl fmt::Display for NotHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.id)?;
        if let Some(token) = self.token {
            write!(f, " with token {token}")?;
        }
        f.write_str(": ")?;
        if let Some(broken) = &self.broken {
            write!(f, "{broken}; ")?;
        }
        let Some(by) = &self.by else {
            return f.write_str("nobody holds it");
        };
        write!(f, "it is {by}")?;
        match (self.token, self.current) {
            (Some(_), Some(current)) => write!(f, ", with token {current}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(reason) => write!(f, "it cannot be read: {reason}"),
            Self::OtherKey(other) => other.fmt(f),
            Self::OtherMode { other, wanted } => {
                let (other, wanted) = (other.in_words(), wanted.in_words());
                write!(
                    f,
                    "it is held, or waited for, {other}, so it cannot be held {wanted}"
                )
            }
            Self::QueueFull(count) => write!(f, "{count} wait already, and no more can"),
            Self::NoLock => f.write_str("it does not exist"),
            Self::NotHeld(why) => write!(f, "it is not held by {why}"),
        }
    }
}
