//! What happens to a lock while it is wanted or held, for whoever wants to know.

use std::{fmt, sync::Arc};

use coord_lease::engine;

use crate::{
    Freed, Lost, Obstacle, Time,
    lock::PodLock,
    protocol::{Notice, Written},
};

pub(crate) type Handler = Arc<dyn Fn(&Event) + Send + Sync>;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Somebody holds the lock, and is waited for. Told again when somebody or something else is in the way.
    Waiting(Obstacle),
    /// The holder is there no more, and its object is deleted.
    Freeing(Freed),
    /// The lock was acquired, until this time.
    Acquired(Option<Time>),
    /// It has been extended, until this time.
    Extended(Time),
    /// It could not be extended, and is tried again; why.
    NotExtended(String),
    /// It is held no more, without having been released.
    Lost(Lost),
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

impl Event {
    /// What the engine tells, while the expiry is this.
    pub(crate) fn of(event: &engine::Event<PodLock>, written: &Written) -> Option<Self> {
        let expires = written.get().flatten();
        Some(match event {
            engine::Event::Waiting(by) => Self::Waiting(by.clone()),
            engine::Event::Acquired(..) => Self::Acquired(expires),
            engine::Event::Renewed(_) => Self::Extended(expires?),
            engine::Event::NotRenewed(why) => Self::NotExtended(why.to_string()),
            engine::Event::Lost(why) => Self::Lost(*why),
            engine::Event::Unreachable(why) => Self::Unreachable(why.clone()),
            engine::Event::Reachable => Self::Reachable,
            engine::Event::NotWatched(why) => Self::NotWatched(why.clone()),
            engine::Event::Released => Self::Released,
            engine::Event::NotReleased(why) => Self::NotReleased(why.to_string()),
            engine::Event::Failed(_) => return None,
            engine::Event::Notice(notice) => match notice {
                Notice::Freeing(why) => Self::Freeing(why.clone()),
                Notice::NotWatchingPods(why) => Self::NotWatchingPods(why.clone()),
                Notice::NoContainer(name) => Self::NoContainer(name.clone()),
            },
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(obstacle) => write!(f, "waiting: {obstacle}"),
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
