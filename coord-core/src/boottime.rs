//! The clock of leases and deadlines.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time since boot, including suspend (`CLOCK_BOOTTIME`, `clock_gettime(2)`): the clock of leases and deadlines.
#[must_use]
pub fn boottime() -> Duration {
    // It fails only for a clock that the kernel does not have; this one came with Linux 2.6.39.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}
