//! What happens to a lock while it is wanted or held, for whoever wants to know.

use std::{fmt, sync::Arc, time::Duration};

use coord_core::BootInstant;
use coord_lease::engine;

use crate::{
    LeaseLost, Token,
    protocol::{HeldBy, Mutex},
};

pub(crate) type Handler = Arc<dyn Fn(&Event) + Send + Sync>;

/// Something that has happened, with the code that Go programs give it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The lock was acquired. 213.
    Acquired(Token),
    /// It was not; why. 513.
    NotAcquired(String),
    /// The lease was renewed, and lasts until then. 211.
    Renewed(Option<BootInstant>),
    /// A renewal failed, and is tried again; why. 511.
    NotRenewed(String),
    /// The lock is held no more, without having been released. 511.
    Lost(LeaseLost),
    /// The lease was ended. 212.
    Released,
    /// The lease could not be ended, and will run out; why. 512.
    NotReleased(String),
    /// From now on the lease is renewed in the background. 214.
    Maintained,
    /// From now on it is not. 215.
    NotMaintained,
    /// The lock is waited for; who is in the way. Told again when it is somebody else. 299.
    Waiting(String),
    /// The same holder is in the way still, and the end of its lease is another; who. 299.
    StillWaiting(String),
    /// The store does not answer, and is tried again; why. 299.
    Unreachable(String),
    /// The store answers again. 299.
    Reachable,
    /// The lock is not watched for a while, so that its loss is noticed later; why. 299.
    NotWatched(String),
}

impl Event {
    /// The number: 2xx when it is well, 5xx when something failed.
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

/// Tells a handler what the engine tells.
pub(crate) struct Reporter {
    handler: Option<Handler>,
    is_maintained: bool,
    /// Who was last said to be in the way.
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
