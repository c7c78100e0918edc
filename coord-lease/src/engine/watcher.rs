//! Whether something is watched, and when to restart a watch that has ended.

use std::time::Duration;

use coord_core::BootInstant;

use super::failures::Failing;
use crate::Random;

/// A watch that lasted this long may be restarted at once. Where watching is forbidden, the object
/// is read this often.
pub(super) const LASTING: Duration = Duration::from_secs(10);

/// This many failures in a row are reported.
const NOT_BY_CHANCE: u32 = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Watcher {
    state: Watching,
    since: BootInstant,
    failing: Failing,
    /// When to restart.
    again_at: Option<BootInstant>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Watching {
    Off,
    On,
    /// Watching is forbidden, and everything else goes on without it.
    Denied,
}

impl Watcher {
    pub(super) fn new(longest_pause: Duration, now: BootInstant) -> Self {
        Self {
            state: Watching::Off,
            since: now,
            failing: Failing::new(longest_pause),
            again_at: None,
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.state == Watching::On
    }

    pub(super) fn is_denied(&self) -> bool {
        self.state == Watching::Denied
    }

    /// When to read and restart; none while the watch runs or is forbidden.
    pub(super) fn again_at(&self) -> Option<BootInstant> {
        self.again_at
    }

    /// A read is under way, after which the watch may start.
    pub(super) fn look(&mut self) {
        self.again_at = None;
    }

    /// Whether to start now; the watch then counts as running.
    pub(super) fn begin(&mut self, now: BootInstant) -> bool {
        let begins = self.state == Watching::Off && self.again_at.is_none();
        if begins {
            self.state = Watching::On;
            self.since = now;
        }
        begins
    }

    /// The watch is no longer needed. Returns whether it was running.
    pub(super) fn stop(&mut self) -> bool {
        let was_on = self.is_on();
        if was_on {
            self.state = Watching::Off;
        }
        was_on
    }

    /// Watching is forbidden.
    pub(super) fn deny(&mut self) {
        self.state = Watching::Denied;
    }

    /// The watch has ended, or failed. Returns whether to report now that it does not work.
    pub(super) fn ended(
        &mut self,
        failed: bool,
        wanted: Option<Duration>,
        now: BootInstant,
        random: &mut Random,
    ) -> bool {
        self.state = Watching::Off;
        if now.since(self.since) >= LASTING {
            self.failing.reset();
        }
        self.failing.count += u32::from(failed);
        self.again_at = Some(now + self.failing.pause(random, wanted));
        failed && self.failing.count == NOT_BY_CHANCE
    }
}
