//! The inputs and outputs of the engine.

use std::{fmt, time::Duration};

use coord_core::BootInstant;

use super::protocol::{Failure, Protocol, Write};
use crate::{LeaseLost, Version};

/// What one contender wants.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The first thing to do.
    pub goal: Goal,
    /// The length of the lease; none for a lease without an end.
    pub length: Option<Duration>,
    /// How often the lease is extended in the background; none for never.
    pub renew_interval: Option<Duration>,
    /// How long to wait for somebody else's lease.
    pub wait: Wait,
}

/// The first thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Hold the lock.
    Acquire,
    /// Extend an existing lease.
    Renew,
    /// End a lease if it exists.
    Release,
}

/// How long to wait for somebody else's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// At most this long.
    For(Duration),
    /// Until it ends.
    Forever,
}

impl Wait {
    /// At most this long; zero means not at all.
    #[must_use]
    pub fn at_most(limit: Duration) -> Self {
        if limit.is_zero() {
            Self::No
        } else {
            Self::For(limit)
        }
    }
}

/// An event for the engine.
pub enum Input<P: Protocol> {
    /// It is time to wake, or this is the first call.
    Time,
    /// A read was answered, with the object if it exists. Also the store's clock, since the Unix
    /// epoch.
    Read(Result<Option<P::Object>, P::Error>, Option<Duration>),
    /// A write was answered, with the object unless it was deleted; or the answer is lost. Also the
    /// store's clock.
    Written(Result<Option<P::Object>, P::Error>, Option<Duration>),
    /// The watch reports this state.
    Changed(P::Object),
    /// The watch reports the deletion, with its version if it has one.
    Deleted(Version),
    /// The watch has ended, or could not be started.
    WatchEnded(Option<P::Error>),
    /// The subject was read. Also the store's clock.
    SubjectRead(Result<P::Fact, P::Error>, Option<Duration>),
    /// The subject's watch reports this fact.
    SubjectChanged(P::Fact),
    /// The subject's watch has ended, or could not be started.
    SubjectWatchEnded(Option<P::Error>),
    /// Extend the lease now.
    Renew,
    /// End the lease.
    Release,
    /// Do not wait any longer.
    Cancel,
    /// Nobody is left who uses the lock.
    Abandoned,
}

/// A command from the engine.
pub enum Output<P: Protocol> {
    /// Read the lock's object.
    Read,
    /// Write it.
    Write(Write<P::Object>),
    /// Watch it from this version on; none if there is no object.
    Watch(Option<Version>),
    /// Read the subject.
    ReadSubject(P::Subject),
    /// Watch the subject from where it was read.
    WatchSubject(P::Subject),
    /// Stop watching the subject.
    UnwatchSubject,
    /// Stop waiting for the request in flight.
    Abandon,
    /// Report this to the lock's user.
    Tell(Event<P>),
}

/// An event for the lock's user.
pub enum Event<P: Protocol> {
    /// The lock is waited for: who or what is in the way.
    Waiting(P::HeldBy),
    /// The lock was acquired; if the lease has an end, it is held until this time.
    Acquired(P::Grant, Option<BootInstant>),
    /// The lease lasts until this time.
    Renewed(Option<BootInstant>),
    /// An extension failed, and is retried until the deadline.
    NotRenewed(Failure<P>),
    /// The lock was lost.
    Lost(LeaseLost),
    /// The store does not answer, and is retried; why.
    Unreachable(String),
    /// It answers again.
    Reachable,
    /// The lock is not watched for a while, so changes are noticed later; why.
    NotWatched(String),
    /// No lease of ours is left, and no write that could create one.
    Released,
    /// That is not certain; why.
    NotReleased(Failure<P>),
    /// The lock was not acquired, or not renewed.
    Failed(Failure<P>),
    /// An event that only this kind of lock has.
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
