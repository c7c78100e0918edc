//! How far clocks may differ.

use std::time::Duration;

use crate::{Lease, Store, Timestamp};

/// How far apart the clocks may be by which leases are written and judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// A lease that does not say its length counts for this much longer than it says.
    pub without_length: Duration,
    /// A lease with a length is not waited for if it expired this long before it was first seen.
    /// None to wait for every lease.
    pub at_first_sight: Option<Duration>,
}

impl Skew {
    /// The right values for this store. If it has more than one clock, a lease is surely over when
    /// it expired more than a minute ago.
    #[must_use]
    pub fn of(store: &impl Store) -> Self {
        const AT_FIRST_SIGHT: Duration = Duration::from_secs(60);
        let skew = store.clock_skew();
        Self {
            without_length: skew,
            at_first_sight: Some(if skew.is_zero() {
                skew
            } else {
                skew.max(AT_FIRST_SIGHT)
            }),
        }
    }

    /// Whether a lease that is seen for the first time is surely over, however far clocks differ. A
    /// time of the holder's own clock says nothing.
    pub(crate) fn is_surely_over(self, lease: &Lease, now: Timestamp) -> bool {
        let skew = match lease.duration() {
            Some(_) if lease.by_holders_clock => None,
            Some(_) => self.at_first_sight,
            None => Some(self.without_length),
        };
        !lease.expires.is_never() && skew.is_some_and(|skew| lease.expires.plus(skew) < now)
    }
}
