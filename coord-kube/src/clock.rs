//! The API server's clock, derived from its answers.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use coord_core::boottime;

/// The time on the API server: the `Date` of its last answer, plus the time passed since on the
/// local `CLOCK_BOOTTIME`.
///
/// It never uses the local wall clock, so changes to that clock do not matter. `Date` has whole
/// seconds (RFC 9110 section 5.6.7). So the result is never ahead of the server that answered last.
/// It is behind by less than a second plus the time that the answer took. An answer that agrees
/// with it does not change it, so it does not jump within a second. Clones share one clock.
#[derive(Clone, Debug, Default)]
pub struct ClusterClock {
    reading: Arc<Mutex<Option<Reading>>>,
}

/// The server's time and the local time at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    server: SystemTime,
    local: Duration,
}

impl ClusterClock {
    /// The time on the server; `None` before its first answer.
    #[must_use]
    pub fn now(&self) -> Option<SystemTime> {
        self.at(boottime())
    }

    /// Notes the date of an answer that has just arrived.
    pub(super) fn observe(&self, date: SystemTime) {
        self.observe_at(date, boottime());
    }

    fn at(&self, local: Duration) -> Option<SystemTime> {
        let reading = *self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        reading.map(|reading| reading.at(local))
    }

    fn observe_at(&self, date: SystemTime, local: Duration) {
        const UNIT: Duration = Duration::from_secs(1);
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let agrees = reading.is_some_and(|reading| {
            let now = reading.at(local);
            date <= now && now < date + UNIT
        });
        if !agrees {
            *reading = Some(Reading {
                server: date,
                local,
            });
        }
    }
}

impl Reading {
    fn at(self, local: Duration) -> SystemTime {
        self.server + local.saturating_sub(self.local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    // Holds coord-kube-8.
    #[test]
    fn the_local_clock_carries_it_forward() {
        let clock = ClusterClock::default();
        assert_eq!(clock.now(), None);
        clock.observe_at(server(100_000), Duration::from_secs(7));
        assert_eq!(
            clock.at(Duration::from_millis(7_250)),
            Some(server(100_250))
        );
    }

    #[test]
    fn answers_within_the_second_make_no_difference_and_later_ones_do() {
        let clock = ClusterClock::default();
        let local = Duration::from_millis;
        clock.observe_at(server(100_000), local(0));
        // The server's second began 400 ms before our first reading of it: at 600 it reports 101.
        clock.observe_at(server(100_000), local(500));
        assert_eq!(clock.at(local(500)), Some(server(100_500)));
        clock.observe_at(server(101_000), local(600));
        assert_eq!(clock.at(local(600)), Some(server(101_000)));
        clock.observe_at(server(101_000), local(700));
        assert_eq!(clock.at(local(700)), Some(server(101_100)));
    }

    #[test]
    fn another_server_or_a_step_is_followed_both_ways() {
        let clock = ClusterClock::default();
        let local = Duration::from_secs(1);
        for date in [server(100_000), server(104_000), server(96_000)] {
            clock.observe_at(date, local);
            assert_eq!(clock.at(local), Some(date));
        }
    }
}
