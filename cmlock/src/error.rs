//! Errors, each with the lock it is about.

use std::{fmt, time::Duration};

use coord_core::{Errno, HasErrno, InvalidLabel};
use coord_kube::Rule;
use coord_lease::{LeaseLost, engine::Failure};

use crate::{HeldBy, lock::PodLock, protocol::Refusal, record::Malformed};

/// A failed operation on a lock.
#[derive(Debug)]
pub struct Error {
    lock: String,
    kind: Box<Kind>,
}

/// The kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Somebody else holds the lock, and the caller does not wait. `EBUSY`.
    Held,
    /// The wait timed out. `ETIMEDOUT`.
    TimedOut,
    /// The lock was held, and is no longer held, or somebody else holds it. `ESTALE`.
    Lost,
    /// The caller cancelled. `ECANCELED`.
    Cancelled,
    /// An invalid name or label, an object that is not a lock, a Pod that has ended or has no such
    /// container. `EINVAL`.
    Invalid,
    /// There is no such Pod. `ENOENT`.
    NoPod,
    /// A request failed, or no timer could be created: [`Error::errno`] has the number.
    Request,
    /// The server has never answered. `EAGAIN` if it was silent.
    Unanswered,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// The lock name is invalid.
    Name,
    /// The label is invalid.
    Label(InvalidLabel),
    /// The lock is refused to us.
    Refused(Refusal),
    /// Somebody else holds it.
    Held(HeldBy),
    /// It could not be acquired within this time; with what prevented that.
    TimedOut(Duration, String),
    /// The caller cancelled.
    Cancelled,
    /// It is no longer held.
    Lost(LeaseLost),
    /// This holder does not hold it.
    NotHeld(Box<NotHeld>),
    /// This user lacks this right in this namespace.
    NotAllowed(Rule, String),
    Cluster(coord_kube::Error),
    /// The server has never answered, and we gave up before the wait was over; with the last
    /// request's error.
    Unanswered(coord_kube::Error),
    /// The server did not answer in time.
    Silent,
    Timer(std::io::Error),
}

impl Error {
    /// The lock's name; empty if the error is not about a lock.
    #[must_use]
    pub fn lock(&self) -> &str {
        &self.lock
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.kind {
            Kind::Held(_) => ErrorKind::Held,
            Kind::TimedOut(..) => ErrorKind::TimedOut,
            Kind::Lost(_) | Kind::NotHeld(_) => ErrorKind::Lost,
            Kind::Cancelled => ErrorKind::Cancelled,
            Kind::Refused(Refusal::NoPod(_)) => ErrorKind::NoPod,
            Kind::Refused(Refusal::NoClock)
            | Kind::Cluster(_)
            | Kind::NotAllowed(..)
            | Kind::Silent
            | Kind::Timer(_) => ErrorKind::Request,
            Kind::Name | Kind::Label(_) | Kind::Refused(_) => ErrorKind::Invalid,
            Kind::Unanswered(_) => ErrorKind::Unanswered,
        }
    }

    /// The error number:
    ///
    /// - `EBUSY` when somebody else holds the lock
    /// - `ETIMEDOUT` when the wait timed out, or the server did not answer in time
    /// - `EAGAIN` for a server that was silent from the beginning
    /// - `ESTALE` for a lock that was lost
    /// - `ECANCELED` when the caller cancelled
    /// - `EACCES` when this user lacks a right
    /// - `ENOENT` for a Pod that does not exist
    /// - `EINVAL` for an invalid name, an unreadable object, or a Pod that has ended
    /// - `EPROTO` for a server without a clock
    /// - otherwise the number of the failed request ([`coord_kube::Error::errno`])
    #[must_use]
    pub fn errno(&self) -> Errno {
        HasErrno::errno(self)
    }

    /// Whether the lock was busy: somebody else holds it and the caller does not wait, or the wait
    /// timed out. It is false if we gave up because the server never answered.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(*self.kind, Kind::Held(_) | Kind::TimedOut(..))
    }
}

/// The state of a lock that this holder does not hold.
#[derive(Debug)]
pub(crate) struct NotHeld {
    pub(crate) holder: String,
    /// Who holds it.
    pub(crate) by: Option<HeldBy>,
    /// The object's UID, if its holder has no ID.
    pub(crate) uid: Option<String>,
}

impl fmt::Display for NotHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is not held by {:?}: ", self.holder)?;
        match (&self.by, &self.uid) {
            (None, _) => f.write_str("nobody holds it"),
            (Some(by), None) => write!(f, "it is {by}"),
            (Some(by), Some(uid)) => write!(
                f,
                "it is {by}; that holder has no ID, its ConfigMap has the UID {uid}"
            ),
        }
    }
}

impl Kind {
    pub(crate) fn at(self, lock: &str) -> Error {
        Error {
            lock: lock.to_owned(),
            kind: Box::new(self),
        }
    }
}

impl From<coord_kube::Error> for Kind {
    fn from(error: coord_kube::Error) -> Self {
        Self::Cluster(error)
    }
}

impl From<Malformed> for Kind {
    fn from(malformed: Malformed) -> Self {
        Self::Refused(Refusal::Malformed(malformed))
    }
}

impl From<Failure<PodLock>> for Kind {
    fn from(failure: Failure<PodLock>) -> Self {
        match failure {
            Failure::Held(by) => Self::Held(by),
            Failure::TimedOut(limit, why) => Self::TimedOut(limit, why),
            Failure::Lost(why) => Self::Lost(why),
            Failure::Cancelled => Self::Cancelled,
            Failure::Refused(refusal) => Self::Refused(refusal),
            Failure::Request(failed) => Self::Cluster(failed.error),
            Failure::Unanswered(failed) => Self::Unanswered(failed.error),
            Failure::Silent => Self::Silent,
        }
    }
}

impl HasErrno for Error {
    /// The number that the inherent method `errno` describes.
    fn errno(&self) -> Errno {
        match &*self.kind {
            Kind::Refused(Refusal::NoPod(_)) => Errno::ENOENT,
            Kind::Refused(Refusal::NoClock) => Errno::EPROTO,
            Kind::Name | Kind::Label(_) | Kind::Refused(_) => Errno::EINVAL,
            Kind::Held(_) => Errno::EBUSY,
            Kind::TimedOut(..) | Kind::Silent => Errno::ETIMEDOUT,
            Kind::Lost(_) | Kind::NotHeld(_) => Errno::ESTALE,
            Kind::NotAllowed(..) => Errno::EACCES,
            Kind::Cancelled => Errno::ECANCELED,
            // A request that timed out is not a wait that timed out.
            Kind::Unanswered(error) if error.errno() == Errno::ETIMEDOUT => Errno::EAGAIN,
            Kind::Cluster(error) | Kind::Unanswered(error) => error.errno(),
            Kind::Timer(error) => error.errno(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.lock.is_empty() && !matches!(*self.kind, Kind::Name | Kind::TimedOut(..)) {
            write!(f, "lock {}: ", self.lock)?;
        }
        match &*self.kind {
            Kind::Name => {
                let start: String = self.lock.chars().take(80).collect();
                write!(
                    f,
                    "invalid lock name {start:?}: use at most 253 characters from a-z, 0-9, \"-\" and \".\", with a letter or digit at each end and beside each \".\""
                )
            }
            Kind::Refused(Refusal::Malformed(malformed)) => write!(
                f,
                "ConfigMap {:?} exists but is not a cmlock lock ({malformed}); leaving it unchanged",
                self.lock
            ),
            Kind::Label(label) => label.fmt(f),
            Kind::Refused(refusal) => refusal.fmt(f),
            Kind::Held(obstacle) => write!(f, "it is {obstacle}"),
            Kind::TimedOut(limit, why) => {
                let limit = humantime::format_duration(*limit);
                let lock = &self.lock;
                write!(f, "could not acquire lock {lock} within {limit}: {why}")
            }
            Kind::Cancelled => f.write_str("the wait was cancelled"),
            Kind::Lost(why) => write!(f, "it was lost: {why}"),
            Kind::NotHeld(not_held) => not_held.fmt(f),
            Kind::NotAllowed(rule, namespace) => write!(
                f,
                "not allowed to {} {} in namespace {namespace:?}: a Role there must have the rule {rule}; `cmlock check {}` prints one",
                rule.verb(),
                rule.resource(),
                self.lock
            ),
            Kind::Silent => f.write_str("the API server did not answer in time"),
            Kind::Cluster(error) | Kind::Unanswered(error) => write!(f, "{error}"),
            Kind::Timer(_) => f.write_str("cannot make a timer"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.kind {
            Kind::Cluster(error) | Kind::Unanswered(error) => error.source(),
            Kind::Timer(error) => Some(error),
            _ => None,
        }
    }
}
