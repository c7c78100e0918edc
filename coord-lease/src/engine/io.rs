//! What goes into the engine and what comes out.

use std::{fmt, time::Duration};

use coord_core::BootInstant;

use super::protocol::{Failure, Protocol, Write};
use crate::{LeaseLost, Version};

/// What one contender wants.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is to be done first.
    pub goal: Goal,
    /// How long the lease is; none for one without an end.
    pub length: Option<Duration>,
    /// How often the lease is extended by itself; none for never.
    pub renew_interval: Option<Duration>,
    /// How long somebody else's lease is waited for.
    pub wait: Wait,
}

/// What is to be done first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Hold the lock.
    Acquire,
    /// Extend a lease that is there.
    Renew,
    /// End a lease, if it is there.
    Release,
}

/// How long somebody else's lease is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// So long at most.
    For(Duration),
    /// Until it ends.
    Forever,
}

impl Wait {
    /// So long at most; zero is not at all.
    #[must_use]
    pub fn at_most(limit: Duration) -> Self {
        if limit.is_zero() {
            Self::No
        } else {
            Self::For(limit)
        }
    }
}

/// What has happened.
pub enum Input<P: Protocol> {
    /// The time has come, or it is the first call.
    Time,
    /// A read was answered: with the object, if there is one, and with what the store's clock showed, since the Unix epoch.
    Read(Result<Option<P::Object>, P::Error>, Option<Duration>),
    /// A write was answered: with the object, if it is not deleted; or its answer is lost. And the store's clock.
    Written(Result<Option<P::Object>, P::Error>, Option<Duration>),
    /// The watch has told of this state.
    Changed(P::Object),
    /// The watch has told of the deletion, and of its version where there is one.
    Deleted(Version),
    /// The watch has ended, or could not be begun.
    WatchEnded(Option<P::Error>),
    /// What else was to be known was read. And the store's clock.
    SubjectRead(Result<P::Fact, P::Error>, Option<Duration>),
    /// Its watch has told this.
    SubjectChanged(P::Fact),
    /// Its watch has ended, or could not be begun.
    SubjectWatchEnded(Option<P::Error>),
    /// Extend the lease now.
    Renew,
    /// End the lease.
    Release,
    /// Do not wait any longer.
    Cancel,
    /// Nobody is left who wants the lock.
    Abandoned,
}

/// What is to be done.
pub enum Output<P: Protocol> {
    /// Read the lock's object.
    Read,
    /// Write it.
    Write(Write<P::Object>),
    /// Watch it from this version on; none where there is no object.
    Watch(Option<Version>),
    /// Read what else must be known.
    ReadSubject(P::Subject),
    /// Watch that from where it was read.
    WatchSubject(P::Subject),
    /// Nothing of it needs to be watched any more.
    UnwatchSubject,
    /// The request under way need not be waited for.
    Abandon,
    /// Tell whoever uses the lock.
    Tell(Event<P>),
}

/// What whoever uses the lock wants to know.
pub enum Event<P: Protocol> {
    /// It is waited for: who or what is in the way.
    Waiting(P::HeldBy),
    /// It was acquired, and is held until then if the lease has an end.
    Acquired(P::Grant, Option<BootInstant>),
    /// The lease lasts until then.
    Renewed(Option<BootInstant>),
    /// An extension failed, and is tried again until the deadline.
    NotRenewed(Failure<P>),
    /// It is held no more.
    Lost(LeaseLost),
    /// The store does not answer; it is tried again. Why.
    Unreachable(String),
    /// It answers again.
    Reachable,
    /// The lock is not watched for a while: what happens to it is noticed later. Why.
    NotWatched(String),
    /// No lease of ours is left, and no write that could make one.
    Released,
    /// That could not be made certain of.
    NotReleased(Failure<P>),
    /// The lock was not acquired, or not renewed.
    Failed(Failure<P>),
    /// Something that only this kind of lock has.
    Notice(P::Notice),
}

impl<P: Protocol> fmt::Debug for Input<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time => f.write_str("Time"),
            Self::Read(answer, clock) => f.debug_tuple("Read").field(answer).field(clock).finish(),
            Self::Written(answer, clock) => {
                f.debug_tuple("Written").field(answer).field(clock).finish()
            }
            Self::Changed(object) => f.debug_tuple("Changed").field(object).finish(),
            Self::Deleted(version) => f.debug_tuple("Deleted").field(version).finish(),
            Self::WatchEnded(error) => f.debug_tuple("WatchEnded").field(error).finish(),
            Self::SubjectRead(answer, clock) => f
                .debug_tuple("SubjectRead")
                .field(answer)
                .field(clock)
                .finish(),
            Self::SubjectChanged(fact) => f.debug_tuple("SubjectChanged").field(fact).finish(),
            Self::SubjectWatchEnded(error) => {
                f.debug_tuple("SubjectWatchEnded").field(error).finish()
            }
            Self::Renew => f.write_str("Renew"),
            Self::Release => f.write_str("Release"),
            Self::Cancel => f.write_str("Cancel"),
            Self::Abandoned => f.write_str("Abandoned"),
        }
    }
}

impl<P: Protocol> fmt::Debug for Output<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => f.write_str("Read"),
            Self::Write(write) => f.debug_tuple("Write").field(write).finish(),
            Self::Watch(since) => f.debug_tuple("Watch").field(since).finish(),
            Self::ReadSubject(subject) => f.debug_tuple("ReadSubject").field(subject).finish(),
            Self::WatchSubject(subject) => f.debug_tuple("WatchSubject").field(subject).finish(),
            Self::UnwatchSubject => f.write_str("UnwatchSubject"),
            Self::Abandon => f.write_str("Abandon"),
            Self::Tell(event) => f.debug_tuple("Tell").field(event).finish(),
        }
    }
}

impl<P: Protocol> fmt::Debug for Event<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(by) => f.debug_tuple("Waiting").field(by).finish(),
            Self::Acquired(grant, until) => {
                f.debug_tuple("Acquired").field(grant).field(until).finish()
            }
            Self::Renewed(until) => f.debug_tuple("Renewed").field(until).finish(),
            Self::NotRenewed(why) => f.debug_tuple("NotRenewed").field(why).finish(),
            Self::Lost(why) => f.debug_tuple("Lost").field(why).finish(),
            Self::Unreachable(why) => f.debug_tuple("Unreachable").field(why).finish(),
            Self::Reachable => f.write_str("Reachable"),
            Self::NotWatched(why) => f.debug_tuple("NotWatched").field(why).finish(),
            Self::Released => f.write_str("Released"),
            Self::NotReleased(why) => f.debug_tuple("NotReleased").field(why).finish(),
            Self::Failed(why) => f.debug_tuple("Failed").field(why).finish(),
            Self::Notice(notice) => f.debug_tuple("Notice").field(notice).finish(),
        }
    }
}
