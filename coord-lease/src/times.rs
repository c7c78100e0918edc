//! The durations of a lease under which a command runs.

use std::time::Duration;

use coord_core::cli::Failure;

/// The durations of a lease under which a command runs: those not given follow from its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long the lease is; zero for one without an end.
    pub duration: Duration,
    /// How often it is renewed; zero for never. A third of it.
    pub renew_interval: Duration,
    /// How long one request may take. A sixth of it.
    pub request_timeout: Duration,
    /// How long before the end of the lease, or after its loss, the command is asked to end before it is killed. A quarter of it.
    pub grace: Duration,
    /// How long after a signal that was passed on the command is killed. As the grace period if that was given, else [`SIGNAL_GRACE`](Self::SIGNAL_GRACE):
    /// the lease is renewed meanwhile, and does not limit it.
    pub signal_grace: Duration,
    /// How long before the end of the lease nothing may be left, for KILL to be carried out in.
    pub margin: Duration,
}

impl Times {
    /// Of a request, and the grace period, where a lease has no end and nothing follows from its length.
    pub const DEFAULT: Duration = Duration::from_secs(10);

    /// Shorter than the thirty seconds after which the kubelet kills a container that it has asked to end.
    pub const SIGNAL_GRACE: Duration = Duration::from_secs(25);

    /// No lease that a command line asks for is shorter: requests could not keep up with its renewals.
    pub const SHORTEST: Duration = Duration::from_secs(1);

    /// It is renewed no more often.
    pub const MOST_OFTEN: Duration = Duration::from_millis(50);

    /// Refuses a lease that is over before anybody could use it.
    ///
    /// # Errors
    /// Status 64 when it is shorter than [`SHORTEST`](Self::SHORTEST).
    pub fn check_length(duration: Duration) -> Result<(), Failure> {
        if duration >= Self::SHORTEST {
            return Ok(());
        }
        let shown = humantime::format_duration;
        let (given, shortest) = (shown(duration), shown(Self::SHORTEST));
        Err(Failure::usage(format!(
            "a lease of {given} is too short: use at least {shortest}"
        )))
    }

    /// Those of a lease with an end. What is none follows from its length.
    ///
    /// # Errors
    /// Status 64 when the lease is shorter than [`SHORTEST`](Self::SHORTEST), is renewed more often than
    /// [`MOST_OFTEN`](Self::MOST_OFTEN), or leaves no time to end a command before it is over.
    pub fn of(
        duration: Duration,
        renew: Option<Duration>,
        request: Option<Duration>,
        grace: Option<Duration>,
    ) -> Result<Self, Failure> {
        Self::check_length(duration)?;
        let shown = humantime::format_duration;
        if let Some(renew) = renew.filter(|it| !it.is_zero() && *it < Self::MOST_OFTEN) {
            let (given, least) = (shown(renew), shown(Self::MOST_OFTEN));
            return Err(Failure::usage(format!(
                "a renew interval of {given} is too short: use at least {least}, or 0 for never"
            )));
        }
        let times = Self {
            duration,
            renew_interval: renew.unwrap_or(duration / 3),
            request_timeout: request.unwrap_or(duration / 6),
            grace: grace.unwrap_or(duration / 4),
            signal_grace: grace.unwrap_or(Self::SIGNAL_GRACE),
            margin: (duration / 20).min(Duration::from_millis(500)),
        };
        let needed = times.renew_interval + times.request_timeout + times.grace + times.margin;
        if needed < duration {
            Ok(times)
        } else {
            Err(Failure::usage(times.too_short(needed)))
        }
    }

    /// Those of a lease without an end.
    #[must_use]
    pub fn endless(request: Option<Duration>, grace: Option<Duration>) -> Self {
        Self {
            duration: Duration::ZERO,
            renew_interval: Duration::ZERO,
            request_timeout: request.unwrap_or(Self::DEFAULT),
            grace: grace.unwrap_or(Self::DEFAULT),
            signal_grace: grace.unwrap_or(Self::SIGNAL_GRACE),
            margin: Duration::ZERO,
        }
    }

    fn too_short(&self, needed: Duration) -> String {
        let shown = humantime::format_duration;
        format!(
            "a lease of {} leaves no time to end the command before it is over: renew interval {}, request timeout {}, grace period {} and a margin of {} \
             are {} together, and must be less",
            shown(self.duration),
            shown(self.renew_interval),
            shown(self.request_timeout),
            shown(self.grace),
            shown(self.margin),
            shown(needed),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_not_given_follows_from_the_length() {
        let times = Times::of(secs(60), None, None, None).unwrap();
        assert_eq!(
            times,
            Times {
                duration: secs(60),
                renew_interval: secs(20),
                request_timeout: secs(10),
                grace: secs(15),
                signal_grace: Times::SIGNAL_GRACE,
                margin: Duration::from_millis(500),
            }
        );
        let short = Times::of(secs(6), None, None, Some(secs(1))).unwrap();
        let milliseconds = Duration::from_millis;
        assert_eq!(short.margin, milliseconds(300));
        assert_eq!((short.grace, short.signal_grace), (secs(1), secs(1)));
    }

    #[test]
    fn nothing_is_renewed_all_the_time() {
        let short = Times::of(Duration::from_micros(100), None, None, None);
        let failure = short.unwrap_err();
        let said = "a lease of 100us is too short: use at least 1s";
        assert_eq!(failure.to_string(), said);
        assert!(Times::of(Times::SHORTEST, None, None, None).is_ok());
        let of = |renew| Times::of(secs(30), Some(renew), None, None);
        let failure = of(Duration::from_millis(49)).unwrap_err();
        assert!(failure.to_string().contains("too short"), "{failure}");
        assert!(of(Times::MOST_OFTEN).is_ok() && of(Duration::ZERO).is_ok());
    }

    /// A renewal, a request and the grace period come one after the other before the lease is over.
    #[test]
    fn a_lease_has_time_for_all_of_it() {
        let of = |grace| {
            let quarter = Some(Duration::from_millis(250));
            Times::of(secs(10), Some(secs(9)), quarter, Some(grace))
        };
        assert!(of(Duration::from_millis(249)).is_ok());
        let failure = of(Duration::from_millis(250)).unwrap_err();
        assert!(
            failure.to_string().contains("are 10s together"),
            "{failure}"
        );
    }
}
