//! The clock of the deadlines: `CLOCK_BOOTTIME`, which runs during suspend and is never set.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time since boot, including suspend.
pub(crate) fn boottime() -> Duration {
    // It fails only for a clock that the kernel does not have; this one came with Linux 2.6.39.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}
