//! What happens to a lock while it is wanted or held, for whoever wants to know.

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
    /// Somebody holds the lock, and is waited for. Told again when somebody or something else is in the way.
    Waiting(HeldBy),
    /// The same holder is in the way still, with another expiry.
    StillWaiting(HeldBy),
    /// The holder is there no more, and its object is deleted.
    Freeing(FreeReason),
    /// The lock was acquired, until this time.
    Acquired(Option<Time>),
    /// It has been extended, until this time.
    Extended(Time),
    /// It could not be extended, and is tried again; why.
    NotExtended(String),
    /// It is held no more, without having been released.
    Lost(LeaseLost),
    /// It was released.
    Released,
    /// It could not be released; why.
    NotReleased(String),
    /// The API server does not answer, and is tried again; why.
    Unreachable(String),
    /// The API server answers again.
    Reachable,
    /// The object is not watched for a while: that it is deleted is noticed later; why.
    NotWatched(String),
    /// The Pod has no container of this name, so that none is noted.
    NoContainer(String),
    /// This user may not watch the owner Pod, which is read from time to time instead.
    NotWatchingPods(String),
}

/// Tells a handler what the engine tells.
pub(crate) struct Reporter {
    handler: Option<Handler>,
    /// The expiry as it was written last.
    written: Written,
    /// What was last said to be in the way.
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
