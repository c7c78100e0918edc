//! `run`: a command that runs while the lock is held, and has ended when it is not.

use std::{ffi::OsString, time::Duration};

use clap::Args;
use coord_core::{Status, cli::Failure, duration};
use coord_lease::{
    LeasedCommand, Signals, Times, WaitLine, as_wrapper, failed, not_acquired, not_started, runtime,
};
use coord_process::supervise::{Guard, StopArgs};
use lockheed::{Held, Lock, LockName, store::ProofOfLife};

use super::{
    Backend, StoreArg,
    backend::{Login, Work},
    default_id,
    hold::Wanted,
    name,
    report::Report,
    times::LeaseArgs,
};

const LEASE: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(crate) struct Run {
    /// The lock
    name: String,
    /// The beginning of the holder's ID; a random part follows [default: this host's name]
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    lease: LeaseArgs,
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
        let times = self.lease.times(LEASE, self.renew_interval, self.grace)?;
        let id = self.id.clone().map_or_else(default_id, Ok)?;
        // Before there are threads.
        let plan = self.stop.plan(self.command.clone(), times.grace);
        let plan = plan.signal_grace(times.signal_grace).margin(times.margin);
        let guard = Guard::start(plan).map_err(not_started)?;
        let runtime = runtime()?;
        let report = Report(WaitLine::start(&name, self.wanted.limit()));
        let work = RunOn {
            arguments: &self,
            name,
            id: format!("{id}-{:08x}", random()),
            times,
            guard,
            report: report.clone(),
        };
        let done = runtime.block_on(store.with(true, work));
        runtime.shutdown_background();
        report.0.end();
        done
    }
}

struct RunOn<'a> {
    arguments: &'a Run,
    name: LockName,
    id: String,
    times: Times,
    guard: Guard,
    report: Report,
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
                return not_acquired(error, busy, &signals);
            }
        };
        self.report.0.end();
        if let Some(status) = signals.status() {
            released(held).await;
            return Ok(status);
        }
        self.supervise(held, &signals).await
    }
}

impl RunOn<'_> {
    fn lock<S: Backend>(&self, store: S, proof: Option<&ProofOfLife>) -> Lock<S> {
        let lock = Lock::new(store, self.name.clone())
            .id(&self.id)
            .duration(self.times.duration)
            .renew_interval(self.times.renew_interval)
            .request_timeout(self.times.request_timeout)
            .on_event(self.report.handler());
        let lock = self.arguments.wanted.apply(lock);
        match proof {
            Some(proof) => lock.proof_of_life(proof),
            None => lock,
        }
    }

    async fn supervise(self, held: Held, signals: &Signals) -> Result<Status, Failure> {
        let token = ("LOCKHEED_TOKEN", held.token().to_string().into());
        let over = LeasedCommand::run(self.guard, held.lease(), token, signals).await;
        // Until here a signal did not end this process before the lock was given back.
        released(held).await;
        over.status
    }
}

/// What comes of it is in the log; the command's status is what counts.
async fn released(held: Held) {
    let _ = held.release().await;
}

/// Enough to tell runs of one host apart.
fn random() -> u32 {
    getrandom::u32().unwrap_or_else(|_| std::process::id())
}
