//! What to run, and how to end it.

use std::{ffi::OsString, time::Duration};

use nix::sys::signal::Signal;

/// So that a moment and a grace period make a moment.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What to run, and how to end it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) command: Vec<OsString>,
    pub(crate) grace: Duration,
    pub(crate) signal: Signal,
    pub(crate) orphans: Orphans,
}

/// What happens to the processes that CMD leaves behind when it exits by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orphans {
    /// They are ended, as CMD would be.
    #[default]
    End,
    /// They are waited for.
    Wait,
    /// They are let be: the supervisor ends, and they go to the next subreaper above, or to init.
    Leave,
}

impl Plan {
    /// A program and its arguments; TERM and ten seconds of grace, nothing is left behind.
    pub fn new(command: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            grace: Duration::from_secs(10),
            signal: Signal::SIGTERM,
            orphans: Orphans::End,
        }
    }

    /// How long after the first signal the tree is killed; more than a hundred years counts as a hundred.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace.min(LONGEST);
        self
    }

    /// The signal that asks the tree to end, by its number in `signal(7)`.
    ///
    /// # Panics
    /// When `number` is not that of a standard signal.
    #[must_use]
    pub fn signal(mut self, number: i32) -> Self {
        let Ok(signal) = Signal::try_from(number) else {
            panic!("{number} is not the number of a standard signal");
        };
        self.signal = signal;
        self
    }

    /// What happens to what CMD leaves behind.
    #[must_use]
    pub fn orphans(mut self, orphans: Orphans) -> Self {
        self.orphans = orphans;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coord_core::boottime;

    #[test]
    fn the_longest_grace_period_ends_at_some_moment() {
        let plan = Plan::new(["true"]).grace(Duration::MAX);
        assert!(boottime().checked_add(plan.grace).is_some());
    }
}
