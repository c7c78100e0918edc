//! `run`: a command that runs while the lock is held, and has ended when it is not.

use std::{ffi::OsString, time::Duration};

use clap::Args;
use coord_core::{
    Errno, HasErrno, Status,
    cli::Failure,
    duration,
    supervise::{Ender, Guard, Plan, Reason, Running},
};
use lockheed::{Held, Lock, LockName, store::ProofOfLife};

use super::{
    Backend, StoreArg,
    backend::Work,
    default_id,
    hold::Wanted,
    name,
    report::Report,
    runtime,
    signals::Signals,
    times::{LeaseArgs, Times},
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
    /// How long before the end of the lease, or after a loss, the command is asked to end before it is killed [default: a quarter of the lease]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    grace: Option<Duration>,
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
        let plan = Plan::new(self.command.clone()).grace(times.grace);
        let guard = Guard::start(plan).map_err(supervision)?;
        let runtime = runtime()?;
        let report = Report::waiting(&name, self.wanted.limit());
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
        report.done_waiting();
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

    async fn on<S: Backend>(self, store: S) -> Result<Status, Failure> {
        let signals = Signals::catch()?;
        let proof = store.prove_life().map_err(failed)?;
        if let Some(proof) = &proof {
            self.guard
                .keep(std::os::fd::AsFd::as_fd(proof))
                .map_err(supervision)?;
        }
        let lock = self.lock(store, proof.as_ref(), &signals);
        let held = match self.arguments.wanted.acquire(&lock).await {
            Ok(held) => held,
            Err(error) => return not_acquired(error, &signals),
        };
        self.report.done_waiting();
        if let Some(status) = signals.status() {
            released(held).await;
            return Ok(status);
        }
        self.supervise(held, &signals).await
    }
}

impl RunOn<'_> {
    fn lock<S: Backend>(
        &self,
        store: S,
        proof: Option<&ProofOfLife>,
        signals: &Signals,
    ) -> Lock<S> {
        let lock = Lock::new(store, self.name.clone())
            .id(&self.id)
            .duration(self.times.duration)
            .renew_interval(self.times.renew_interval)
            .request_timeout(self.times.request_timeout)
            .cancel_on(signals.clone().came())
            .on_event(self.report.handler());
        let lock = self.arguments.wanted.apply(lock);
        match proof {
            Some(proof) => lock.proof_of_life(proof),
            None => lock,
        }
    }

    async fn supervise(self, held: Held, signals: &Signals) -> Result<Status, Failure> {
        let deadline = held.deadline();
        let margin = self.times.margin;
        let token = held.token().to_string();
        let started = self
            .guard
            .set_deadline(told(deadline, margin))
            .and_then(|()| self.guard.spawn([("LOCKHEED_TOKEN", token)]));
        let running = match started {
            Ok(running) => running,
            Err(error) => {
                released(held).await;
                return Err(supervision(error));
            }
        };
        // One that came before it could be passed on.
        if let Some(status) = signals.status() {
            running.ender().end(Reason::new("a signal", status));
        }
        let (running, status) = until_over(running, &held, deadline, margin).await?;
        released(held).await;
        // Until here a signal did not end this process before the lock was given back.
        drop(running);
        status
    }
}

/// Waits until the command's tree is gone; meanwhile tells the guard each new deadline, and ends the command when the lock is lost.
async fn until_over(
    mut running: Running,
    held: &Held,
    deadline: Option<Duration>,
    margin: Duration,
) -> Result<(Running, Result<Status, Failure>), Failure> {
    let ender = running.ender();
    let over = tokio::task::spawn_blocking(move || {
        let outcome = running.wait();
        (running, outcome)
    });
    tokio::pin!(over);
    let done = tokio::select! {
        done = &mut over => done,
        () = follow(held, &ender, deadline, margin) => over.await,
    };
    let (running, outcome) = done.map_err(failed)?;
    let status = outcome.map(|outcome| outcome.status());
    Ok((running, status.map_err(supervision)))
}

/// Returns when the lock is lost.
async fn follow(held: &Held, ender: &Ender, mut deadline: Option<Duration>, margin: Duration) {
    loop {
        match held.deadline_after(deadline).await {
            Ok(later) => {
                deadline = later;
                if let Err(error) = ender.set_deadline(told(later, margin)) {
                    log::warn!("the guard was not told that the lease was renewed: {error}");
                }
            }
            Err(_) => return ender.end(Reason::new("the lock was lost", Status::LOST)),
        }
    }
}

/// What the guard is told: a little less, since KILL takes a moment too.
fn told(deadline: Option<Duration>, margin: Duration) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_sub(margin))
}

/// What comes of it is in the log; the command's status is what counts.
async fn released(held: Held) {
    let _ = held.release().await;
}

fn not_acquired(error: lockheed::Error, signals: &Signals) -> Result<Status, Failure> {
    match error.errno() {
        Errno::ECANCELED => Ok(signals.status().unwrap_or(Status::FAILED)),
        Errno::ETIMEDOUT | Errno::EBUSY => Err(Failure::new(Status::WAIT_TIMED_OUT, error)),
        _ => Err(failed(error)),
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::new(Status::FAILED, error)
}

/// An errno would read as the command's own status.
fn as_wrapper(failure: Failure) -> Failure {
    let of_wrapper = [
        Status::USAGE,
        Status::WAIT_TIMED_OUT,
        Status::CANNOT_EXECUTE,
        Status::NOT_FOUND,
    ];
    if of_wrapper.contains(&failure.status()) {
        failure
    } else {
        Failure::new(Status::FAILED, failure.to_string())
    }
}

fn supervision(error: coord_core::supervise::Error) -> Failure {
    Failure::new(error.status(), error)
}

/// Enough to tell runs of one host apart.
fn random() -> u32 {
    getrandom::u32().unwrap_or_else(|_| std::process::id())
}
