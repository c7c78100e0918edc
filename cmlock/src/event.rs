//! What happens to a lock while it is wanted or held, for whoever wants to know.

use std::fmt;

use crate::{Freed, Lost, Obstacle, Time};

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
