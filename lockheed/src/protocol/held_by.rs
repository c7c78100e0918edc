//! Who or what keeps a contender from a mutex, and how errors say it.

use std::fmt;

use super::Broken;
pub use crate::key::OtherKey;
use crate::{Lease, Mode, Timestamp, Token};

/// Who holds a mutex, or is about to write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// The holder, and when its lease expires by its own time.
    Lease {
        /// The holder's ID; one of several holders.
        by: String,
        /// How many others hold it.
        others: usize,
        /// On the store's clock.
        expires: Timestamp,
        /// That time was past when the lock was judged.
        is_past: bool,
    },
    /// A waiter that came earlier and is next.
    Waiter {
        /// Its ID.
        by: String,
    },
    /// A Go program that has announced a write.
    Reservation {
        /// Its ID.
        by: String,
    },
}

/// Why a mutex cannot be acquired, however long one waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot be read.
    Unreadable(String),
    /// It is stored for another key than the name was made from.
    OtherKey(OtherKey),
    /// It is held, or waited for, in another mode than the wanted one.
    OtherMode {
        /// The mode of the others.
        other: Mode,
        /// The mode that we want.
        wanted: Mode,
    },
    /// This many are waiting, and its queue is full.
    QueueFull(usize),
    /// The lock does not exist, and only an existing lease was to be renewed.
    NoLock,
    /// There is no lease of this ID, and only such a lease was wanted.
    NotHeld(Box<NotHeld>),
}

/// Describes a mutex that has no lease of this ID, or only a different one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotHeld {
    pub(crate) id: String,
    /// Only the lease with this token was wanted.
    pub(crate) token: Option<Token>,
    /// Who broke the lease, if it was the last one broken.
    pub(crate) broken: Option<Broken>,
    /// Who holds the lock.
    pub(crate) by: Option<HeldBy>,
    /// The token of the current holder, where it is known.
    pub(crate) current: Option<Token>,
}

impl HeldBy {
    /// The holder of this lease, judged at this time of the store's clock.
    pub(crate) fn of(lease: &Lease, now: Timestamp) -> Self {
        Self::Lease {
            by: lease.holder.clone(),
            others: 0,
            expires: lease.expires,
            is_past: lease.is_expired(now),
        }
    }

    /// Whether the holder is the same, even if its lease ends at another time.
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
                    f.write_str(", which is past, but clocks may differ")?;
                }
                Ok(())
            }
            Self::Waiter { by } => write!(f, "kept for {by:?}, which comes first"),
            Self::Reservation { by } => write!(f, "reserved by {by:?}"),
        }
    }
}

/// The words that follow "lock x is not held by".
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
