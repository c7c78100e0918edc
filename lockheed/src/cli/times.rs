//! A lease's durations as command-line arguments.

use std::time::Duration;

use clap::Args;
use coord_core::{
    cli::{Failure, help::heading},
    duration,
};
use coord_lease::Times;

#[derive(Args)]
pub(crate) struct RequestArgs {
    /// Time limit of each request [default: a sixth of the lease; 10s for one without an end, and
    /// for renew without --duration]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive, help_heading = heading::LEASE)]
    request_timeout: Option<Duration>,
}

impl RequestArgs {
    /// For a lease of this length, zero for one without an end, that is held across commands.
    pub(crate) fn timeout(&self, lease: Duration) -> Duration {
        let default = match lease {
            Duration::ZERO => Times::DEFAULT,
            lease => lease / 6,
        };
        self.request_timeout.unwrap_or(default)
    }

    /// For a command that must have ended when the lease does.
    pub(crate) fn times(
        &self,
        lease: Duration,
        renew: Option<Duration>,
        grace: Option<Duration>,
    ) -> Result<Times, Failure> {
        if lease.is_zero() {
            return self.endless(renew, grace);
        }
        Times::of(lease, renew, self.request_timeout, grace)
    }

    fn endless(&self, renew: Option<Duration>, grace: Option<Duration>) -> Result<Times, Failure> {
        if renew.is_some_and(|renew| !renew.is_zero()) {
            return Err(Failure::usage(
                "a lease without an end (--duration 0) is not renewed: leave --renew-interval out",
            ));
        }
        Ok(Times::endless(self.request_timeout, grace))
    }
}

#[cfg(test)]
mod tests {
    use coord_core::Status;

    use super::*;

    fn times(duration: u64, renew: Option<u64>, grace: Option<u64>) -> Result<Times, Failure> {
        let arguments = RequestArgs {
            request_timeout: None,
        };
        arguments.times(
            Duration::from_secs(duration),
            renew.map(Duration::from_secs),
            grace.map(Duration::from_secs),
        )
    }

    #[test]
    fn defaults_follow_the_lease_and_leave_time() {
        for seconds in [1, 2, 30, 3600] {
            let lease = Duration::from_secs(seconds);
            let times = times(seconds, None, None).unwrap();
            assert_eq!(times.renew_interval, lease / 3);
            assert_eq!(times.request_timeout, lease / 6);
            assert_eq!(times.grace, lease / 4);
        }
        let endless = times(0, None, None).unwrap();
        assert_eq!(endless.renew_interval, Duration::ZERO);
    }

    #[test]
    fn values_that_leave_no_time_are_refused() {
        for (renew, grace) in [
            (Some(30), None),
            (None, Some(30)),
            (Some(15), Some(10)),
            (None, Some(15)),
        ] {
            let failure = times(30, renew, grace).unwrap_err();
            assert_eq!(failure.status(), Status::USAGE);
            assert!(failure.to_string().contains("leaves no time"), "{failure}");
        }
        assert!(times(30, Some(10), Some(15)).is_err() && times(30, Some(10), Some(14)).is_ok());
        assert!(times(0, Some(10), None).is_err());
    }
}
