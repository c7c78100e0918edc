//! `run`: a command that runs while the lock is held, and has ended when it is not.

use std::{ffi::OsString, time::Duration};

use clap::Args;
use coord_core::{Status, cli::Failure, duration};
use coord_lease::{
    LeasedCommand, Signals, Times, WaitReport, as_wrapper, failed, not_acquired, not_started,
    runtime,
};
use coord_process::supervise::{Guard, StopArgs};
use lockheed::{ErrorKind, Held, Lock, LockName, Lost, store::ProofOfLife};
use tokio::time::timeout;

use super::{
    Backend, StoreArg,
    backend::{Login, Work},
    hold::Wanted,
    host, name, report,
    times::RequestArgs,
    with_random_part,
};

#[derive(Args)]
pub(crate) struct Run {
    /// The lock
    name: String,
    /// The beginning of the holder's ID; a random part follows [default: this host's name]
    #[arg(long)]
    id: Option<String>,
    /// How long the lease is; 0 for one without an end
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    duration: Duration,
    #[command(flatten)]
    request: RequestArgs,
    /// How often the lease is renewed; 0 for never [default: a third of the lease]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    renew_interval: Option<Duration>,
    #[command(flatten)]
    wanted: Wanted,
    /// Grace period between asking the command to stop and killing it [default: a quarter of the lease; 25s after a forwarded TERM or INT]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    grace: Option<Duration>,
    #[command(flatten)]
    stop: StopArgs,
    /// The command; it has the fencing token in LOCKHEED_TOKEN
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Run {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        self.wrap(store).map_err(as_wrapper)
    }

    fn wrap(self, store: &StoreArg) -> Result<Status, Failure> {
        let name = name(&self.name)?;
        let times = self
            .request
            .times(self.duration, self.renew_interval, self.grace)?;
        let id = self.id.clone().map_or_else(host, Ok)?;
        // Before there are threads.
        let plan = self.stop.plan(self.command.clone(), times.grace);
        let plan = plan.signal_grace(times.signal_grace).margin(times.margin);
        let guard = Guard::start(plan).map_err(not_started)?;
        let runtime = runtime()?;
        let report = self.wanted.report(&name);
        let work = RunOn {
            arguments: &self,
            name,
            id: with_random_part(&id),
            times,
            guard,
            report: report.clone(),
        };
        let done = runtime.block_on(store.with(true, work));
        report.end();
        runtime.shutdown_background();
        done
    }
}

struct RunOn<'a> {
    arguments: &'a Run,
    name: LockName,
    id: String,
    times: Times,
    guard: Guard,
    report: WaitReport,
}

impl Work for RunOn<'_> {
    type Done = Status;

    const LOGIN: Login = Login::WithoutInput;

    async fn on<S: Backend>(self, store: S) -> Result<Status, Failure> {
        let signals = Signals::catch()?;
        let proof = store.prove_life().map_err(failed)?;
        if let Some(proof) = &proof {
            self.guard
                .keep(std::os::fd::AsFd::as_fd(proof))
                .map_err(not_started)?;
        }
        let lock = self.lock(store, proof.as_ref());
        let held = match self.arguments.wanted.acquire(&lock, &signals).await {
            Ok(held) => held,
            Err(error) => {
                let busy = error.is_busy();
                return not_acquired(error, busy, &signals, &self.report);
            }
        };
        if let Some(status) = signals.status() {
            released(held).await;
            return Ok(status);
        }
        self.supervise(held, &lock, &signals).await
    }
}

impl RunOn<'_> {
    fn lock<S: Backend>(&self, store: S, proof: Option<&ProofOfLife>) -> Lock<S> {
        let lock = Lock::new(store, self.name.clone())
            .id(&self.id)
            .duration(self.times.duration)
            .renew_interval(self.times.renew_interval)
            .request_timeout(self.times.request_timeout)
            .on_event(report::handler(&self.report));
        let lock = self.arguments.wanted.apply(lock);
        match proof {
            Some(proof) => lock.proof_of_life(proof),
            None => lock,
        }
    }

    async fn supervise<S: Backend>(
        self,
        held: Held,
        lock: &Lock<S>,
        signals: &Signals,
    ) -> Result<Status, Failure> {
        let token = ("LOCKHEED_TOKEN", held.token().to_string().into());
        let over = LeasedCommand::run(self.guard, held.lease(), token, signals).await;
        if held.lease().lost_because() == Some(Lost::Taken) {
            say_by_whom(lock).await;
        }
        // Until here a signal did not end this process before the lock was given back.
        released(held).await;
        over.status
    }
}

/// Names who holds the lock, or who ended its lease. There is no lease of this ID that this could
/// renew.
async fn say_by_whom<S: Backend>(lock: &Lock<S>) {
    const SOON: Duration = Duration::from_secs(1);
    if let Ok(Err(error)) = timeout(SOON, lock.renew()).await
        && error.kind() == ErrorKind::Lost
    {
        log::warn!("{error}");
    }
}

/// What comes of it is in the log; the command's status is what counts.
async fn released(held: Held) {
    let _ = held.release().await;
}
