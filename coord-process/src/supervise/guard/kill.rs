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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::alone::alone;

    #[test]
    fn the_killing_goes_on_soon_at_first_and_then_less_often() {
        alone(|| {
            let next = |since, pause: u64| {
                let mut kill = Kill::begin(since);
                let before = boottime();
                kill.go_on();
                let after = boottime();
                let pause = Duration::from_millis(pause);
                let latest = after + pause.max(after - before);
                assert!((before + pause..=latest).contains(&kill.next), "{pause:?}");
            };
            next(boottime(), 10);
            // A machine that has just booted has no such time.
            if let Some(long_ago) = boottime().checked_sub(Duration::from_secs(11)) {
                next(long_ago, 100);
            }
        });
    }
}
