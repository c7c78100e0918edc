//! `run`: runs a command while the lock is held, and ends it before the hold ends.

use std::{ffi::OsString, time::Duration};

use clap::Args;
use cmlock::{Client, Held, LeaseLost};
use coord_core::{
    Status,
    cli::{Failure, help::heading},
    duration,
};
use coord_lease::{
    LeasedCommand, Signals, Times, WaitReport, as_wrapper, not_acquired, not_started, runtime,
};
use coord_process::supervise::{Guard, StopArgs};
use tokio::time::timeout;

use super::{client::PodArgs, hold::Wanted};

#[derive(Args)]
pub(crate) struct Run {
    /// Name of the lock
    name: String,
    #[command(flatten)]
    wanted: Wanted,
    /// Grace period between asking the command to stop and killing it [default: 10s, at most a
    /// quarter of the timeout; 25s after a forwarded TERM or INT]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = heading::COMMAND)]
    grace: Option<Duration>,
    #[command(flatten)]
    stop: StopArgs,
    /// The command to run; it finds the holder's ID in CMLOCK_HOLDER
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Run {
    pub(crate) fn run(self, pod: &PodArgs) -> Result<Status, Failure> {
        self.wrap(pod).map_err(as_wrapper)
    }

    fn wrap(self, pod: &PodArgs) -> Result<Status, Failure> {
        let times = self.times()?;
        // Before there are threads.
        let plan = self.stop.plan(self.command.clone(), times.grace);
        let plan = plan.signal_grace(times.signal_grace).margin(times.margin);
        let guard = Guard::start(plan).map_err(not_started)?;
        let runtime = runtime()?;
        let report = self.wanted.report(&self.name);
        let done = runtime.block_on(self.hold(pod, guard, times, &report));
        report.end();
        runtime.shutdown_background();
        done
    }

    fn times(&self) -> Result<Times, Failure> {
        let Some(timeout) = self.wanted.timeout else {
            return Ok(Times::endless(None, self.grace));
        };
        let grace = self.grace.unwrap_or(Times::DEFAULT.min(timeout / 4));
        let times = Times::of(timeout, None, None, Some(grace))?;
        let signal_grace = self.grace.unwrap_or(Times::SIGNAL_GRACE);
        Ok(Times {
            signal_grace,
            ..times
        })
    }

    async fn hold(
        &self,
        pod: &PodArgs,
        guard: Guard,
        times: Times,
        report: &WaitReport,
    ) -> Result<Status, Failure> {
        let signals = Signals::catch()?;
        let client = pod.without_input().await?;
        let client = client.with_timeout(times.request_timeout.min(Times::DEFAULT));
        let lock = self
            .wanted
            .lock(&client, &self.name, report)
            .extend_every(times.renew_interval);
        let held = match lock.acquire_unless(signals.clone().came()).await {
            Ok(held) => held,
            Err(error) => {
                let busy = error.is_busy();
                return not_acquired(error, busy, &signals, report);
            }
        };
        if let Some(status) = signals.status() {
            released(held).await;
            return Ok(status);
        }
        let holder = ("CMLOCK_HOLDER", held.id());
        let over = LeasedCommand::run(guard, held.lease(), [holder], &signals).await;
        if held.lease().lost_because() == Some(LeaseLost::Taken) {
            self.say_by_whom(&client).await;
        }
        // Until here, signals could not end this process before it released the lock.
        released(held).await;
        over.status
    }

    /// Names who holds the lock now.
    async fn say_by_whom(&self, client: &Client) {
        const SOON: Duration = Duration::from_secs(1);
        let name = &self.name;
        if let Ok(Ok(Some(state))) = timeout(SOON, cmlock::status(client, name)).await
            && let Some(obstacle) = state.held_by()
        {
            log::warn!("lock {name}: it is {obstacle}");
        }
    }
}

/// What comes of it is in the log; the command's status is what counts.
async fn released(held: Held) {
    let _ = held.release().await;
}
