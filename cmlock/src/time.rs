//! Times on the API server's clock, and the corresponding local times.

use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};

use coord_core::BootInstant;
use coord_lease::engine::Moment;

/// A time in whole seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(u64);

/// Bounds on the API server's clock at one local moment.
///
/// Its `Date` has whole seconds and is as old as the answer took: the clock shows a value between
/// the two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockBounds {
    /// The local moment.
    pub(crate) local: BootInstant,
    /// The bounds, since the Unix epoch.
    pub(crate) earliest: Duration,
    pub(crate) latest: Duration,
}

impl Time {
    /// This many seconds since the Unix epoch.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    fn since_epoch(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

/// Formats as RFC 3339, up to the year 9999.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const YEAR_10000: u64 = 253_402_300_800;
        if self.0 < YEAR_10000 {
            let time = UNIX_EPOCH + Duration::from_secs(self.0);
            write!(f, "{}", humantime::format_rfc3339_seconds(time))
        } else {
            write!(f, "Unix time {}", self.0)
        }
    }
}

impl ClockBounds {
    /// The bounds at this moment.
    pub(crate) fn of(now: Moment) -> Option<Self> {
        let store = now.store?;
        Some(Self {
            local: now.boot,
            earliest: store.earliest,
            latest: store.latest,
        })
    }

    /// The expiry to write for a lock that is held this long from now: not earlier than that by the
    /// server's clock.
    pub(crate) fn expiry(self, hold: Duration) -> Time {
        let end = self.latest.saturating_add(hold);
        Time(
            end.as_secs()
                .saturating_add(u64::from(end.subsec_nanos() > 0)),
        )
    }

    /// The local time by which a holder with this expiry must have ended: the server's clock may
    /// reach the expiry then.
    pub(crate) fn deadline(self, expires: Time) -> BootInstant {
        self.local + expires.since_epoch().saturating_sub(self.latest)
    }

    /// Whether this expiry has certainly passed.
    pub(crate) fn is_past(self, expires: Time) -> bool {
        self.earliest >= expires.since_epoch()
    }

    /// The local time at which to check again whether it has expired.
    pub(crate) fn look_again(self, expires: Time) -> BootInstant {
        self.local + expires.since_epoch().saturating_sub(self.earliest)
    }
}

#[cfg(test)]
mod tests {
    use coord_lease::engine::StoreTime;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_shown() {
        assert_eq!(
            Time::from_secs(1_900_000_000).to_string(),
            "2030-03-17T17:46:40Z"
        );
        assert_eq!(
            Time::from_secs(u64::MAX).to_string(),
            format!("Unix time {}", u64::MAX)
        );
    }

    /// How one machine sees the server's clock, which shows `server` when the local clock shows
    /// `local`.
    fn bounds(server: Duration, local: BootInstant, took: Duration, ago: Duration) -> Moment {
        // The date was written at some time between the request and the answer, cut to whole
        // seconds.
        let earliest = Duration::from_secs((server - ago - took / 2).as_secs());
        let latest = earliest + Duration::from_secs(1) + took;
        let store = Some(StoreTime { earliest, latest });
        let boot = local - ago;
        Moment { boot, store }.at(local)
    }

    fn of(moment: Moment) -> ClockBounds {
        ClockBounds::of(moment).unwrap()
    }

    proptest! {
        /// Whatever the local clocks show, and however long answers take, nobody takes the lock
        /// before its holder's lease has ended.
        // Holds cmlock-4.
        #[test]
        fn a_takeover_is_never_early_and_at_most_three_seconds_late(
            server in 1_000_000_u64..2_000_000_000, nanos in 0_u64..1_000_000_000, hold in 1_u64..100_000_000,
            (took, other) in (0_u64..500, 0_u64..500), (ago, other_ago) in (0_u64..5_000, 0_u64..5_000),
        ) {
            let millis = Duration::from_millis;
            let start = Duration::from_secs(server) + Duration::from_nanos(nanos);
            let here = BootInstant::after_boot(millis(50_000_000));
            let there = BootInstant::after_boot(millis(7_000_000));
            let hold = millis(hold);
            let holder = of(bounds(start, here, millis(took), millis(ago)));
            let expires = holder.expiry(hold);
            let done_after = holder.deadline(expires).since(here);
            prop_assert!(done_after >= hold);
            let waiter = bounds(start, there, millis(other), millis(other_ago));
            let taken_after = of(waiter).look_again(expires).since(there);
            prop_assert!(taken_after >= done_after, "{taken_after:?} {done_after:?}");
            prop_assert!(taken_after <= hold + Duration::from_secs(3) + millis(took + other));
            prop_assert!(of(waiter.at(there + taken_after)).is_past(expires));
            let just_before = of(waiter.at(there + taken_after - millis(1)));
            prop_assert!(taken_after.is_zero() || !just_before.is_past(expires));
        }

        #[test]
        fn any_expiry_can_be_judged(seconds in any::<u64>(), now in 0_u64..4_000_000_000) {
            let shown = Duration::from_secs(now);
            let store = Some(StoreTime { earliest: shown, latest: shown });
            let bounds = of(Moment { boot: BootInstant::BOOT, store });
            let expires = Time::from_secs(seconds);
            prop_assert_eq!(bounds.is_past(expires), now >= seconds);
            prop_assert_eq!(bounds.look_again(expires) == BootInstant::BOOT, now >= seconds);
        }
    }
}
