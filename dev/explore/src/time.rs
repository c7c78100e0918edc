//! Time, in whole seconds since the beginning, which is all that engines are shown of it.

use std::time::Duration;

use coord_core::BootInstant;

/// How long a lease is. It is renewed after a third of it.
pub(crate) const LEASE: Duration = Duration::from_secs(6);

/// How far clocks may be apart, as the contenders are told.
pub(crate) const SKEW: Duration = Duration::from_secs(5);

/// What the server's clock shows at the beginning, since the Unix epoch.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// What every machine's boot-time clock shows then.
const BOOTED: Duration = Duration::from_secs(1000);

pub(crate) fn boot(now: u32) -> BootInstant {
    BootInstant::after_boot(BOOTED + Duration::from_secs(now.into()))
}

/// Milliseconds since the beginning.
pub(crate) fn millis(at: BootInstant) -> u32 {
    let since = at.since_boot().saturating_sub(BOOTED);
    u32::try_from(since.as_millis()).unwrap_or(u32::MAX)
}

/// The first whole second at which this is over.
pub(crate) fn rounded_up(at: BootInstant) -> u32 {
    let since = at.since_boot().saturating_sub(BOOTED);
    let whole = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
    whole.saturating_add(u32::from(since.subsec_nanos() > 0))
}
