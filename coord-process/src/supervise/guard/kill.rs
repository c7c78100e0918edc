//! The second part of ending a tree: killing instead of asking.

use std::time::Duration;

use super::process::AGAIN;
use crate::supervise::{boottime, hunt::Killing};

/// How often the killing continues at first, to catch a process that forks without end.
const KILL_AGAIN: Duration = Duration::from_millis(10);

/// How long "at first" lasts.
const HURRY: Duration = Duration::from_secs(10);

/// The state of the killing.
pub(super) struct Kill {
    since: Duration,
    /// When to continue.
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
