//! Errors, each with the lock that it concerns.

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
///
/// ```
/// use lockheed::{ErrorKind, Lock, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let lock = Lock::new(MemoryStore::new(), "deploy".parse()?);
/// # let other = lock.acquire().await?;
/// match lock.try_acquire().await {
///     Ok(held) => held.release().await?,
///     Err(error) if error.kind() == ErrorKind::Held => println!("somebody else has it: {error}"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Somebody else holds the lock, and the caller does not wait. `EBUSY`.
    Held,
    /// The wait ran out. `ETIMEDOUT`.
    TimedOut,
    /// The lock was lost, or there is no such lease to renew or end. `ESTALE`.
    Lost,
    /// The lock does not exist. `ENOENT`.
    NoLock,
    /// The caller cancelled the attempt. `ECANCELED`.
    Cancelled,
    /// The object of this name is not a lock, or the request is invalid. `EINVAL`.
    Invalid,
    /// The store failed: [`Error::errno`] says how.
    Store,
    /// The store has never answered. `EAGAIN` when requests timed out.
    Unanswered,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// Somebody else holds the lock.
    Held(HeldBy),
    /// The lock could not be acquired within this time; what was in the way.
    TimedOut(Duration, String),
    /// The lock was held and is now lost; why.
    Lost(LeaseLost),
    /// No lock has this name.
    NoLock,
    /// There is no such lease of this ID.
    NotHeld(Box<NotHeld>),
    /// The caller cancelled the attempt.
    Cancelled,
    /// The object of this name cannot be read as a lock.
    Record(String),
    /// The request is invalid.
    InvalidRequest(String),
    /// The store failed.
    Store(StoreError),
    /// The store has never answered, so the attempt gave up before the wait was over; its last
    /// error.
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

    /// The error number:
    /// - `EBUSY` when somebody else holds the lock
    /// - `ETIMEDOUT` when the wait is over
    /// - `EAGAIN` when the store has never answered and its requests timed out
    /// - `ESTALE` for a lock that was lost or is not held
    /// - `ENOENT` for a lock that does not exist
    /// - `ECANCELED` for a cancelled attempt
    /// - `EINVAL` for an invalid request or an unreadable lock
    /// - otherwise the store's error number
    #[must_use]
    pub fn errno(&self) -> Errno {
        HasErrno::errno(self)
    }

    /// Whether the lock was in use: somebody else holds it and the caller does not wait, or the
    /// wait is over. False when the attempt gave up because the store never answered.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self.kind, Kind::Held(_) | Kind::TimedOut(..))
    }

    /// Replaces the limit by the whole wait, for a lock that was acquired as one of several.
    pub(crate) fn within(mut self, wait: Wait) -> Self {
        if let (Kind::TimedOut(limit, _), Wait::For(whole)) = (&mut self.kind, wait) {
            *limit = whole;
        }
        self
    }

    /// Why the lock was lost, if it was.
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
    /// Converts a store's error. If the object does not exist, neither does the lock.
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
    /// See [`Error::errno`].
    fn errno(&self) -> Errno {
        match &self.kind {
            Kind::Held(_) => Errno::EBUSY,
            Kind::TimedOut(..) => Errno::ETIMEDOUT,
            Kind::Lost(_) | Kind::NotHeld(_) => Errno::ESTALE,
            Kind::NoLock => Errno::ENOENT,
            Kind::Cancelled => Errno::ECANCELED,
            Kind::Record(_) | Kind::InvalidRequest(_) => Errno::EINVAL,
            // A request that timed out is not the end of the wait, so the two have different
            // numbers.
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
            Kind::Record(reason) => write!(
                f,
                "lock {lock} cannot be read: {reason}: put its file or object back as it was, or remove it while nobody holds the lock"
            ),
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
