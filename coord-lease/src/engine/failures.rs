//! Failures, and when to try again.

use std::time::Duration;

use crate::{Backoff, Random};

/// Counts reads and writes separately: a server may answer reads but no writes.
#[derive(Debug)]
pub(super) struct Failures {
    pub(super) read: Failing,
    pub(super) write: Failing,
    /// How many writes in a row have conflicted with somebody else's.
    pub(super) conflicts: u32,
}

#[derive(Debug)]
pub(super) struct Failing {
    backoff: Backoff,
    /// How often it has failed since it last worked.
    pub(super) count: u32,
}

/// A kind of request to the store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Asked {
    Read,
    Write,
}

impl Failures {
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            read: Failing::new(longest),
            write: Failing::new(longest),
            conflicts: 0,
        }
    }

    pub(super) fn of(&mut self, asked: Asked) -> &mut Failing {
        match asked {
            Asked::Read => &mut self.read,
            Asked::Write => &mut self.write,
        }
    }

    /// Whether the store may be away.
    pub(super) fn is_away(&self) -> bool {
        self.read.count + self.write.count > 0
    }
}

impl Failing {
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            backoff: Backoff::new(longest),
            count: 0,
        }
    }

    /// The pause before the next try, at least as long as the store asked for.
    pub(super) fn pause(&mut self, random: &mut Random, wanted: Option<Duration>) -> Duration {
        self.backoff.pause(random, wanted)
    }

    /// The next pause is no longer than this, unless the store fails.
    pub(super) fn shorten(&mut self, longest: Duration) {
        if self.count == 0 {
            self.backoff.shorten(longest);
        }
    }

    pub(super) fn reset(&mut self) {
        self.count = 0;
        self.backoff.reset();
    }
}
