//! The clock for leases and deadlines: `CLOCK_BOOTTIME`, which runs during suspend and is never set
//! (`clock_gettime(2)`).

use std::{
    ops::{Add, Sub},
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};

/// A moment on that clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// When the machine was booted: no moment is earlier.
    pub const BOOT: Self = Self(Duration::ZERO);

    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self(boottime())
    }

    /// The moment this long after the boot.
    #[must_use]
    pub const fn after_boot(length: Duration) -> Self {
        Self(length)
    }

    /// How long after the boot this is.
    #[must_use]
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// How long after an earlier moment this is; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A moment too late to represent becomes the latest one.
impl Add<Duration> for BootInstant {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(length))
    }
}

/// A moment before the boot becomes the boot.
impl Sub<Duration> for BootInstant {
    type Output = Self;

    fn sub(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(length))
    }
}

/// Time since boot, including suspend.
#[must_use]
pub fn boottime() -> Duration {
    // It fails only for a clock that the kernel does not have; Linux has this one since 2.6.39.
    #[cfg(target_os = "linux")]
    let clock = ClockId::CLOCK_BOOTTIME;
    // On macOS this clock also runs during suspend.
    #[cfg(target_os = "macos")]
    let clock = ClockId::CLOCK_MONOTONIC;
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}
