//! Events of a lock while it is being acquired or held, for a handler.

use std::{fmt, sync::Arc};

use coord_lease::engine;

use crate::{
    FreeReason, HeldBy, LeaseLost, Time,
    lock::PodLock,
    protocol::{Notice, Written},
};

pub(crate) type Handler = Arc<dyn Fn(&Event) + Send + Sync>;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Somebody holds the lock, and we wait. Repeated when the holder or the reason changes.
    Waiting(HeldBy),
    /// The same holder still has the lock, with another expiry.
    StillWaiting(HeldBy),
    /// The holder no longer exists, and its object is being deleted.
    Freeing(FreeReason),
    /// The lock was acquired, until this time.
    Acquired(Option<Time>),
    /// It was extended until this time.
    Extended(Time),
    /// It could not be extended, for this reason; we retry.
    NotExtended(String),
    /// It is no longer held, but was not released.
    Lost(LeaseLost),
    /// It was released.
    Released,
    /// It could not be released, for this reason.
    NotReleased(String),
    /// The API server does not answer, for this reason; we retry.
    Unreachable(String),
    /// The API server answers again.
    Reachable,
    /// The object is not watched for a while, for this reason: its deletion is noticed later.
    NotWatched(String),
    /// The Pod has no container of this name, so none is recorded.
    NoContainer(String),
    /// This user may not watch the owner Pod, for this reason; it is read from time to time
    /// instead.
    NotWatchingPods(String),
}

/// Passes the engine's events on to a handler.
pub(crate) struct Reporter {
    handler: Option<Handler>,
    /// The last written expiry.
    written: Written,
    /// The last reported holder.
    obstacle: Option<HeldBy>,
}

impl Reporter {
    pub(crate) fn new(handler: Option<Handler>, written: Written) -> Self {
        Self {
            handler,
            written,
            obstacle: None,
        }
    }

    pub(crate) fn tell(&mut self, event: &engine::Event<PodLock>) {
        let event = self.event(event);
        if let (Some(handler), Some(event)) = (&self.handler, &event) {
            handler(event);
        }
        if let Some(Event::Released | Event::NotReleased(_)) = event {
            self.written.set(None);
        }
    }

    fn event(&mut self, event: &engine::Event<PodLock>) -> Option<Event> {
        let expires = self.written.get().flatten();
        Some(match event {
            engine::Event::Waiting(by) => self.waiting(by),
            engine::Event::Acquired(..) => Event::Acquired(expires),
            engine::Event::Renewed(_) => Event::Extended(expires?),
            engine::Event::NotRenewed(why) => Event::NotExtended(why.to_string()),
            engine::Event::Lost(why) => Event::Lost(*why),
            engine::Event::Unreachable(why) => Event::Unreachable(why.clone()),
            engine::Event::Reachable => Event::Reachable,
            engine::Event::NotWatched(why) => Event::NotWatched(why.clone()),
            engine::Event::Released => Event::Released,
            engine::Event::NotReleased(why) => Event::NotReleased(why.to_string()),
            engine::Event::Failed(_) => return None,
            engine::Event::Notice(notice) => match notice {
                Notice::Freeing(why) => Event::Freeing(why.clone()),
                Notice::NotWatchingPods(why) => Event::NotWatchingPods(why.clone()),
                Notice::NoContainer(name) => Event::NoContainer(name.clone()),
            },
        })
    }

    fn waiting(&mut self, by: &HeldBy) -> Event {
        let before = self.obstacle.replace(by.clone());
        if before.is_some_and(|before| before.differs_by_expiry_at_most(by)) {
            Event::StillWaiting(by.clone())
        } else {
            Event::Waiting(by.clone())
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(obstacle) => write!(f, "waiting: {obstacle}"),
            Self::StillWaiting(obstacle) => write!(f, "still waiting: {obstacle}"),
            Self::Freeing(why) => write!(f, "freeing it: {why}"),
            Self::Acquired(Some(until)) => write!(f, "acquired, until {until}"),
            Self::Acquired(None) => f.write_str("acquired, without expiry"),
            Self::Extended(until) => write!(f, "extended until {until}"),
            Self::NotExtended(why) => write!(f, "not extended, trying again: {why}"),
            Self::Lost(why) => write!(f, "lost: {why}"),
            Self::Released => f.write_str("released"),
            Self::NotReleased(why) => write!(f, "not released: {why}"),
            Self::Unreachable(why) => {
                write!(f, "the API server does not answer, trying again: {why}")
            }
            Self::Reachable => f.write_str("the API server answers again"),
            Self::NotWatched(why) => write!(f, "not watched for a while: {why}"),
            Self::NoContainer(name) => write!(
                f,
                "the Pod has no container {name:?}: a restart of the holder's container does not free the lock"
            ),
            Self::NotWatchingPods(why) => {
                write!(f, "the owner Pod is read from time to time: {why}")
            }
        }
    }
}
