//! The durations of a lease under which a command runs.

use std::time::Duration;

use coord_core::{cli::Failure, duration};

/// The value of `--wait`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitLimit {
    /// This long at most.
    For(Duration),
    /// As long as it takes: `forever`.
    Forever,
}

impl WaitLimit {
    /// Reads the value.
    ///
    /// # Errors
    /// As for [`duration::parse`].
    pub fn parse(text: &str) -> Result<Self, duration::Error> {
        match text {
            "forever" => Ok(Self::Forever),
            _ => duration::parse(text).map(Self::For),
        }
    }

    /// The limit; none for `forever`.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::For(limit) => Some(limit),
            Self::Forever => None,
        }
    }
}

/// The durations of a lease under which a command runs. Those not given follow from its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The length of the lease; zero for a lease without an end.
    pub duration: Duration,
    /// How often it is renewed; zero means never. The default is a third of the length.
    pub renew_interval: Duration,
    /// How long one request may take. The default is a sixth of the length.
    pub request_timeout: Duration,
    /// The grace period between asking the command to stop and killing it, before the lease ends or
    /// after it is lost. The default is a quarter of the length.
    pub grace: Duration,
    /// The grace period after a forwarded signal, before the command is killed. The default is
    /// `grace` if that was given, otherwise [`SIGNAL_GRACE`](Self::SIGNAL_GRACE). The lease is
    /// renewed during this time and does not limit it.
    pub signal_grace: Duration,
    /// How long before the end of the lease the command must be gone, so that there is time to
    /// carry out KILL.
    pub margin: Duration,
}

impl Times {
    /// The request timeout and grace period of a lease without an end, which has no length to
    /// derive them from.
    pub const DEFAULT: Duration = Duration::from_secs(10);

    /// Shorter than the thirty seconds after which the kubelet kills a container that it has asked
    /// to stop.
    pub const SIGNAL_GRACE: Duration = Duration::from_secs(25);

    /// The shortest lease on a command line: requests could not keep up with the renewals of a
    /// shorter one.
    pub const SHORTEST: Duration = Duration::from_secs(1);

    /// The shortest renew interval.
    pub const MOST_OFTEN: Duration = Duration::from_millis(50);

    /// Refuses a lease that expires before anybody could use it.
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

    /// The durations of a lease with an end. Those that are `None` follow from its length.
    ///
    /// # Errors
    /// Status 64 when the lease is shorter than [`SHORTEST`](Self::SHORTEST), is renewed more often
    /// than [`MOST_OFTEN`](Self::MOST_OFTEN), or leaves no time to end a command before it expires.
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

    /// The durations of a lease without an end.
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

    /// A renewal, a request and the grace period must all fit before the lease ends.
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
