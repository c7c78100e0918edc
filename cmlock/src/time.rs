//! Times of the API server's clock, and when they are here.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The server's `Date` and `expiresAt` have whole seconds.
const UNIT: Duration = Duration::from_secs(1);

/// A time in whole seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(u64);

/// What is known of the API server's clock at one moment of the local one.
///
/// Its `Date` has whole seconds and is as old as the answer took: the clock shows something between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    /// `CLOCK_BOOTTIME`.
    pub(crate) local: Duration,
    /// Since the Unix epoch.
    pub(crate) earliest: Duration,
    pub(crate) latest: Duration,
}

impl Time {
    /// So many seconds since the Unix epoch.
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

/// As RFC 3339, up to the year 9999.
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

impl Sight {
    /// An answer came at `local`, `took` after its request was sent, and the clock that follows the answers' dates shows `shown`.
    pub(crate) fn new(local: Duration, took: Duration, shown: SystemTime) -> Self {
        let earliest = shown.duration_since(UNIX_EPOCH).unwrap_or_default();
        let latest = earliest + UNIT + took;
        Self {
            local,
            earliest,
            latest,
        }
    }

    /// The same at another local moment.
    pub(crate) fn at(self, local: Duration) -> Self {
        let since = local.saturating_sub(self.local);
        Self {
            local,
            earliest: self.earliest + since,
            latest: self.latest + since,
        }
    }

    /// What to write as the expiry of a lock that is to be held so long from now: not before that by the server's clock.
    pub(crate) fn expiry(self, hold: Duration) -> Time {
        let end = self.latest.saturating_add(hold);
        Time(
            end.as_secs()
                .saturating_add(u64::from(end.subsec_nanos() > 0)),
        )
    }

    /// The local time by which a holder must be done that has this expiry: the server's clock may show its end then.
    pub(crate) fn deadline(self, expires: Time) -> Duration {
        self.local + expires.since_epoch().saturating_sub(self.latest)
    }

    /// Whether this expiry is over for sure.
    pub(crate) fn is_past(self, expires: Time) -> bool {
        self.earliest >= expires.since_epoch()
    }

    /// The local time at which to look again whether it is over.
    pub(crate) fn look_again(self, expires: Time) -> Duration {
        self.local + expires.since_epoch().saturating_sub(self.earliest)
    }
}

#[cfg(test)]
mod tests {
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

    /// How one machine sees the server's clock, which shows `server` when the local one shows `local`.
    fn sight(server: Duration, local: Duration, took: Duration, ago: Duration) -> Sight {
        // The date was written somewhere between the request and the answer, cut to whole seconds.
        let date = Duration::from_secs((server - ago - took / 2).as_secs());
        Sight::new(local - ago, took, UNIX_EPOCH + date).at(local)
    }

    proptest! {
        /// Whatever the local clocks show, and however long answers take: nobody takes the lock before its holder is done.
        #[test]
        fn a_takeover_is_never_early_and_at_most_three_seconds_late(
            server in 1_000_000_u64..2_000_000_000, nanos in 0_u64..1_000_000_000, hold in 1_u64..100_000_000,
            (took, other) in (0_u64..500, 0_u64..500), (ago, other_ago) in (0_u64..5_000, 0_u64..5_000),
        ) {
            let millis = Duration::from_millis;
            let start = Duration::from_secs(server) + Duration::from_nanos(nanos);
            let (here, there) = (millis(50_000_000), millis(7_000_000));
            let hold = millis(hold);
            let holder = sight(start, here, millis(took), millis(ago));
            let expires = holder.expiry(hold);
            let done_after = holder.deadline(expires) - here;
            prop_assert!(done_after >= hold);
            let waiter = sight(start, there, millis(other), millis(other_ago));
            let taken_after = waiter.look_again(expires) - there;
            prop_assert!(taken_after >= done_after, "{taken_after:?} {done_after:?}");
            prop_assert!(taken_after <= hold + Duration::from_secs(3) + millis(took + other));
            prop_assert!(waiter.at(there + taken_after).is_past(expires));
            prop_assert!(taken_after.is_zero() || !waiter.at(there + taken_after - millis(1)).is_past(expires) );
        }

        #[test]
        fn any_expiry_can_be_judged(seconds in any::<u64>(), now in 0_u64..4_000_000_000) {
            let sight = Sight::new(Duration::ZERO, Duration::ZERO, UNIX_EPOCH + Duration::from_secs(now));
            let expires = Time::from_secs(seconds);
            prop_assert_eq!(sight.is_past(expires), now >= seconds);
            prop_assert_eq!(sight.look_again(expires).is_zero(), now >= seconds);
        }
    }
}
