//! What goes into the machine and what comes out.

use std::time::Duration;

use super::Verdict;
use crate::{
    Condition, Error, LockName, Lost, Timestamp, Token,
    store::{Change, Object, StoreError, Version},
};

/// What one contender wants.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: LockName,
    pub(crate) id: String,
    pub(crate) goal: Goal,
    /// Of the lease, in whole milliseconds; none for one without an end.
    pub(crate) length: Option<Duration>,
    pub(crate) renew_interval: Option<Duration>,
    pub(crate) tags: Vec<String>,
    pub(crate) reset_tags: bool,
    pub(crate) force: Option<Condition>,
    pub(crate) wait: Wait,
    /// How far the store's clock may be from the one that a lease was written by.
    pub(crate) skew: Duration,
    /// Goes into the lease, for stores that can tell whether a holder lives.
    pub(crate) alive: Option<u64>,
    #[cfg(feature = "sim")]
    pub(crate) flaw: Option<crate::sim::Flaw>,
}

/// What is to be done first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Hold the lock.
    Acquire,
    /// Renew a lease that is there, and not over.
    Renew,
    /// End a lease, if it is there.
    Release,
}

/// How long to wait for somebody else's lease to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    No,
    For(Duration),
    Forever,
}

/// What has happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// The time has come, or it is the first call.
    Time,
    /// A read was answered: the object, if there is one, and the store's clock.
    Read(Result<(Option<Object>, Timestamp), StoreError>),
    /// A write was answered, or its answer is lost.
    Written(Result<Object, StoreError>),
    /// The watch told this.
    Changed(Change),
    /// The watch has ended, or could not be begun.
    WatchEnded(Option<StoreError>),
    /// Renew the lease now.
    Renew,
    /// End the lease.
    Release,
    /// Do not wait any longer.
    Cancel,
    /// Nobody is left who wants the lock.
    Abandoned,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Action {
    Read,
    Create(Object),
    Update(Object),
    /// Watch the lock from this version on.
    Watch(Option<Version>),
    /// The request under way need not be waited for.
    Abandon,
    Tell(News),
}

/// What whoever uses the lock wants to know.
#[derive(Debug)]
pub(crate) enum News {
    /// It is waited for: who or what is in the way.
    Waiting(Verdict),
    Acquired {
        token: Token,
        deadline: Option<Duration>,
    },
    Renewed {
        deadline: Option<Duration>,
    },
    /// A renewal failed, and is tried again until the deadline.
    NotRenewed(Error),
    /// The belief is over.
    Lost(Lost),
    /// The store does not answer; it is tried again.
    Unreachable(String),
    /// It answers again.
    Reachable,
    /// No lease of ours is left, and no write that could make one.
    Released,
    /// That could not be made certain of.
    NotReleased(Error),
    /// The lock was not acquired, or not renewed, and nothing is left behind.
    Failed(Error),
}
