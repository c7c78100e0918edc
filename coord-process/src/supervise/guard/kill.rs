//! The part of an end that does not ask.

use std::time::Duration;

use super::process::AGAIN;
use crate::supervise::{boottime, hunt::Killing};

/// How often it is gone on with at first: who forks without end is to be caught.
const KILL_AGAIN: Duration = Duration::from_millis(10);

/// For so long it is "at first".
const HURRY: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Kill {
    since: Duration,
    /// When to go on with it.
    pub(super) next: Duration,
    killing: Killing,
}

impl Kill {
    pub(super) fn begin(now: Duration) -> Self {
        Self {
            since: now,
            next: now,
            killing: Killing::default(),
        }
    }

    pub(super) fn go_on(&mut self) {
        let started = boottime();
        self.killing.part();
        let now = boottime();
        let pause = if now < self.since + HURRY {
            KILL_AGAIN
        } else {
            AGAIN
        };
        self.next = now + pause.max(now.saturating_sub(started));
    }
}
