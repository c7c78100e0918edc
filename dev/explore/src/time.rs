//! Time in whole seconds since the beginning, which is all that engines see of it.

use std::time::Duration;

use coord_core::BootInstant;

/// The length of a lease. It is renewed after a third of that.
pub(crate) const LEASE: Duration = Duration::from_secs(6);

/// How far apart clocks may be, as the contenders are told.
pub(crate) const SKEW: Duration = Duration::from_secs(5);

/// The server's clock at the beginning, since the Unix epoch.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// Every machine's boot-time clock at the beginning.
const BOOTED: Duration = Duration::from_secs(1000);

pub(crate) fn boot(now: u32) -> BootInstant {
    BootInstant::after_boot(BOOTED + Duration::from_secs(now.into()))
}

/// Milliseconds since the beginning.
pub(crate) fn millis(at: BootInstant) -> u32 {
    let since = at.since_boot().saturating_sub(BOOTED);
    u32::try_from(since.as_millis()).unwrap_or(u32::MAX)
}

/// The first whole second at which this has passed.
pub(crate) fn rounded_up(at: BootInstant) -> u32 {
    let since = at.since_boot().saturating_sub(BOOTED);
    let whole = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
    whole.saturating_add(u32::from(since.subsec_nanos() > 0))
}
