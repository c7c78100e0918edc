//! What can go wrong, with the lock it was about.

use std::{fmt, time::Duration};

use coord_core::{Errno, HasErrno};

use crate::{
    LeaseLost, LockName, Wait,
    key::OtherKey,
    protocol::{HeldBy, NotHeld},
    store::{StoreError, StoreErrorKind},
};

/// An operation on a lock that failed.
#[derive(Debug)]
pub struct Error {
    lock: LockName,
    kind: Kind,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Somebody else holds the lock, and is not waited for. `EBUSY`.
    Held,
    /// The wait ran out. `ETIMEDOUT`.
    TimedOut,
    /// The lock was held, or was to be renewed, and is held no more, or never was. `ESTALE`.
    Lost,
    /// The lock does not exist. `ENOENT`.
    NoLock,
    /// The caller wanted no more. `ECANCELED`.
    Cancelled,
    /// What is kept under the name is not a lock, or what was asked for cannot be. `EINVAL`.
    Invalid,
    /// The store failed: [`Error::errno`] says how.
    Store,
    /// The store has never answered. `EAGAIN` when it was silent.
    Unanswered,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// Somebody else holds the lock.
    Held(HeldBy),
    /// It could not be acquired within this time; what was in the way.
    TimedOut(Duration, String),
    /// The lock was held and is no longer; why.
    Lost(LeaseLost),
    /// There is none of this name.
    NoLock,
    /// Nobody of this ID holds it.
    NotHeld(Box<NotHeld>),
    /// The caller wanted no more.
    Cancelled,
    /// What is kept under this name cannot be read as a lock.
    Record(String),
    /// What was asked for cannot be.
    InvalidRequest(String),
    /// The store failed.
    Store(StoreError),
    /// The store has never answered, and was given up before the wait was over; what it failed with last.
    Unanswered(StoreError),
}

impl Error {
    /// The lock's name.
    #[must_use]
    pub fn lock(&self) -> &LockName {
        &self.lock
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &self.kind {
            Kind::Held(_) => ErrorKind::Held,
            Kind::TimedOut(..) => ErrorKind::TimedOut,
            Kind::Lost(_) | Kind::NotHeld(_) => ErrorKind::Lost,
            Kind::NoLock => ErrorKind::NoLock,
            Kind::Cancelled => ErrorKind::Cancelled,
            Kind::Record(_) | Kind::InvalidRequest(_) => ErrorKind::Invalid,
            Kind::Store(_) => ErrorKind::Store,
            Kind::Unanswered(_) => ErrorKind::Unanswered,
        }
    }

    /// The error number: `EBUSY` when somebody else holds the lock, `ETIMEDOUT` when the wait ran
    /// out, `EAGAIN` for a store that was silent from the beginning, `ESTALE` for a lock that was
    /// lost or is not held, `ENOENT` for one that is not there, `ECANCELED`, `EINVAL` for what
    /// cannot be read or cannot be, or that of the store.
    #[must_use]
    pub fn errno(&self) -> Errno {
        HasErrno::errno(self)
    }

    /// Whether the wait is over: somebody else holds the lock and is not waited for, or the time to wait has run out. A store that was given
    /// up because it never answered is not that.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self.kind, Kind::Held(_) | Kind::TimedOut(..))
    }

    /// The same of a wait for several locks, of which this lock had what was left.
    pub(crate) fn within(mut self, wait: Wait) -> Self {
        if let (Kind::TimedOut(limit, _), Wait::For(whole)) = (&mut self.kind, wait) {
            *limit = whole;
        }
        self
    }

    /// Why the lock was lost, if that is what happened.
    #[must_use]
    pub fn lost(&self) -> Option<LeaseLost> {
        match self.kind {
            Kind::Lost(why) => Some(why),
            Kind::NotHeld(_) => Some(LeaseLost::Taken),
            _ => None,
        }
    }
}

impl Kind {
    /// A store's failure. A lock whose object does not exist does not exist.
    pub(crate) fn of_store(error: StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::NotFound => Self::NoLock,
            _ => Self::Store(error),
        }
    }

    pub(crate) fn at(self, lock: &LockName) -> Error {
        Error {
            lock: lock.clone(),
            kind: self,
        }
    }
}

impl From<OtherKey> for Kind {
    fn from(other: OtherKey) -> Self {
        Self::InvalidRequest(other.to_string())
    }
}

impl HasErrno for Error {
    /// As [`Error::errno`].
    fn errno(&self) -> Errno {
        match &self.kind {
            Kind::Held(_) => Errno::EBUSY,
            Kind::TimedOut(..) => Errno::ETIMEDOUT,
            Kind::Lost(_) | Kind::NotHeld(_) => Errno::ESTALE,
            Kind::NoLock => Errno::ENOENT,
            Kind::Cancelled => Errno::ECANCELED,
            Kind::Record(_) | Kind::InvalidRequest(_) => Errno::EINVAL,
            // That a request got no answer in time is not that the wait ran out.
            Kind::Unanswered(error) if error.errno() == Errno::ETIMEDOUT => Errno::EAGAIN,
            Kind::Store(error) | Kind::Unanswered(error) => error.errno(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lock = &self.lock;
        match &self.kind {
            Kind::Held(by) => write!(f, "lock {lock} is {by}"),
            Kind::TimedOut(limit, why) => {
                let limit = humantime::format_duration(*limit);
                write!(f, "could not acquire lock {lock} within {limit}: {why}")
            }
            Kind::Lost(why) => write!(f, "lock {lock} was lost: {why}"),
            Kind::NoLock => write!(f, "lock {lock} does not exist"),
            Kind::NotHeld(why) => write!(f, "lock {lock} is not held by {why}"),
            Kind::Cancelled => write!(f, "waiting for lock {lock} was cancelled"),
            Kind::Record(reason) => write!(f, "lock {lock} cannot be read: {reason}"),
            Kind::InvalidRequest(reason) => write!(f, "lock {lock}: {reason}"),
            Kind::Store(_) | Kind::Unanswered(_) => write!(f, "lock {lock}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Store(error) | Kind::Unanswered(error) => Some(error),
            _ => None,
        }
    }
}
