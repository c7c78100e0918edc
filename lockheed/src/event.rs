//! Events of a lock while it is acquired or held.

use std::{fmt, sync::Arc, time::Duration};

use coord_core::BootInstant;
use coord_lease::engine;

use crate::{
    LeaseLost, Token,
    protocol::{HeldBy, Mutex},
};

pub(crate) type Handler = Arc<dyn Fn(&Event) + Send + Sync>;

/// An event, with the code that Go programs use for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The lock was acquired. 213.
    Acquired(Token),
    /// The lock was not acquired; why. 513.
    NotAcquired(String),
    /// The lease was renewed, and lasts until this time. 211.
    Renewed(Option<BootInstant>),
    /// A renewal failed, and is retried; why. 511.
    NotRenewed(String),
    /// The lock was lost without being released. 511.
    Lost(LeaseLost),
    /// The lease was ended. 212.
    Released,
    /// The lease could not be ended, and will expire; why. 512.
    NotReleased(String),
    /// From now on the lease is renewed in the background. 214.
    Maintained,
    /// The lease is no longer renewed in the background. 215.
    NotMaintained,
    /// Waiting for the lock; who is in the way. Sent again when that changes. 299.
    Waiting(String),
    /// The same holder is still in the way, and its lease now ends at another time; who. 299.
    StillWaiting(String),
    /// The store does not answer, and is retried; why. 299.
    Unreachable(String),
    /// The store answers again. 299.
    Reachable,
    /// The lock is not watched for a while, so its loss is noticed later; why. 299.
    NotWatched(String),
}

impl Event {
    /// The code: 2xx for success, 5xx for a failure.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Renewed(_) => 211,
            Self::NotRenewed(_) | Self::Lost(_) => 511,
            Self::Released => 212,
            Self::NotReleased(_) => 512,
            Self::Acquired(_) => 213,
            Self::NotAcquired(_) => 513,
            Self::Maintained => 214,
            Self::NotMaintained => 215,
            Self::Waiting(_)
            | Self::StillWaiting(_)
            | Self::Unreachable(_)
            | Self::Reachable
            | Self::NotWatched(_) => 299,
        }
    }
}

/// Passes the engine's events on to a handler.
pub(crate) struct Reporter {
    handler: Option<Handler>,
    is_maintained: bool,
    /// The holder that was last reported to be in the way.
    holder: Option<HeldBy>,
}

impl Reporter {
    pub(crate) fn new(handler: Option<Handler>, renew_interval: Option<Duration>) -> Self {
        Self {
            handler,
            is_maintained: renew_interval.is_some(),
            holder: None,
        }
    }

    pub(crate) fn tell(&mut self, event: &engine::Event<Mutex>) {
        let Some(handler) = self.handler.clone() else {
            return;
        };
        let event = match event {
            engine::Event::Waiting(by) => self.waiting(by),
            engine::Event::Acquired(token, _) => Event::Acquired(*token),
            engine::Event::Renewed(until) => Event::Renewed(*until),
            engine::Event::NotRenewed(why) => Event::NotRenewed(why.to_string()),
            engine::Event::Lost(why) => Event::Lost(*why),
            engine::Event::Unreachable(why) => Event::Unreachable(why.clone()),
            engine::Event::Reachable => Event::Reachable,
            engine::Event::NotWatched(why) => Event::NotWatched(why.clone()),
            engine::Event::Released => Event::Released,
            engine::Event::NotReleased(why) => Event::NotReleased(why.to_string()),
            engine::Event::Failed(why) => Event::NotAcquired(why.to_string()),
            engine::Event::Notice(nothing) => match *nothing {},
        };
        handler(&event);
        match event {
            Event::Acquired(_) if self.is_maintained => handler(&Event::Maintained),
            Event::Lost(_) if self.is_maintained => handler(&Event::NotMaintained),
            _ => {}
        }
    }

    fn waiting(&mut self, by: &HeldBy) -> Event {
        let before = self.holder.replace(by.clone());
        let who = format!("it is {by}");
        if before.is_some_and(|before| before.is_by_same(by)) {
            Event::StillWaiting(who)
        } else {
            Event::Waiting(who)
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquired(token) => write!(f, "acquired, with token {token}"),
            Self::NotAcquired(why) => write!(f, "not acquired: {why}"),
            Self::Renewed(_) => f.write_str("renewed"),
            Self::NotRenewed(why) => write!(f, "not renewed, trying again: {why}"),
            Self::Lost(why) => write!(f, "lost: {why}"),
            Self::Released => f.write_str("released"),
            Self::NotReleased(why) => write!(f, "not released, the lease will run out: {why}"),
            Self::Maintained => f.write_str("the lease is renewed by itself"),
            Self::NotMaintained => f.write_str("the lease is no longer renewed"),
            Self::Waiting(why) => write!(f, "waiting: {why}"),
            Self::StillWaiting(why) => write!(f, "still waiting: {why}"),
            Self::Unreachable(why) => write!(f, "the store does not answer, trying again: {why}"),
            Self::Reachable => f.write_str("the store answers again"),
            Self::NotWatched(why) => write!(f, "not watched for a while: {why}"),
        }
    }
}
