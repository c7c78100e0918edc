//! `run`: a command that runs while the lock is held, and has ended when it is not.

use std::{ffi::OsString, sync::Arc, time::Duration};

use clap::Args;
use coord_core::{Status, cli::Failure, duration};
use coord_lease::{
    LeasedCommand, Signals, Times, WaitReport, as_wrapper, failed, not_acquired, not_started,
    runtime,
};
use coord_process::supervise::{Guard, StopArgs};
use lockheed::{ErrorKind, HeldSet, LeaseLost, Lock, LockSet, store::ProofOfLife};
use tokio::time::timeout;

use super::{
    StoreArg, backend::Login, hold::Wanted, host, lock_args::LockArgs, report, store::AnyStore,
    times::RequestArgs, tokens, with_random_part,
};

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    locks: LockArgs,
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
    /// The command; it has the fencing token in LOCKHEED_TOKEN, or that of each lock in
    /// LOCKHEED_TOKEN_1 and so on, in the order given here, and all by name in LOCKHEED_TOKENS
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Run {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        self.wrap(store).map_err(as_wrapper)
    }

    fn wrap(self, store: &StoreArg) -> Result<Status, Failure> {
        let names = self.locks.names()?;
        let store = self.wanted.place(store)?;
        let times = self
            .request
            .times(self.duration, self.renew_interval, self.grace)?;
        let id = self.id.clone().map_or_else(host, Ok)?;
        // Before there are threads.
        let plan = self.stop.plan(self.command.clone(), times.grace);
        let plan = plan.signal_grace(times.signal_grace).margin(times.margin);
        let plan = plan.without_vars(tokens::inherited());
        let guard = Guard::start(plan).map_err(not_started)?;
        let runtime = runtime()?;
        let report = self.wanted.report(&names);
        let done = runtime.block_on(async {
            let store = store.open_or_create(Login::WithoutInput).await?;
            let signals = Signals::catch()?;
            let proof = store.prove_life().map_err(failed)?;
            if let Some(proof) = &proof {
                let kept = guard.keep(std::os::fd::AsFd::as_fd(proof));
                kept.map_err(not_started)?;
            }
            let (store, id) = (Arc::new(store), with_random_part(&id));
            let lock = |name| {
                let report = report::handler(&report.of(&name));
                let lock = Lock::new(store.clone(), name).id(&id).on_event(report);
                self.lock(lock, times, proof.as_ref())
            };
            let locks = LockSet::new(names.into_iter().map(lock))?;
            self.under(&locks, guard, &signals, &report).await
        });
        report.end();
        runtime.shutdown_background();
        done
    }
}

impl Run {
    fn lock(
        &self,
        lock: Lock<Arc<AnyStore>>,
        times: Times,
        proof: Option<&ProofOfLife>,
    ) -> Lock<Arc<AnyStore>> {
        let lock = lock
            .duration(times.duration)
            .renew_interval(times.renew_interval)
            .request_timeout(times.request_timeout);
        let lock = self.wanted.apply(lock);
        match proof {
            Some(proof) => lock.proof_of_life(proof),
            None => lock,
        }
    }

    /// Runs the command under the locks.
    async fn under(
        &self,
        locks: &LockSet<Arc<AnyStore>>,
        guard: Guard,
        signals: &Signals,
        report: &WaitReport,
    ) -> Result<Status, Failure> {
        let cancel = signals.clone().came();
        let held = match locks.acquire_unless(self.wanted.wait(), cancel).await {
            Ok(held) => held,
            Err(error) => {
                let busy = error.is_busy();
                return not_acquired(error, busy, signals, report);
            }
        };
        if let Some(status) = signals.status() {
            released(held).await;
            return Ok(status);
        }
        report.acquired_all();
        let tokens = tokens::variables(&held);
        let over = LeasedCommand::run(guard, held.lease(), tokens, signals).await;
        if let Some((lost, LeaseLost::Taken)) = held.first_lost()
            && let Some(lock) = locks.get(lost.name())
        {
            say_by_whom(lock).await;
        }
        // Until here a signal did not end this process before the lock was given back.
        released(held).await;
        over.status
    }
}

/// Names who holds the lock, or who ended its lease. There is no lease of this ID that this could
/// renew.
async fn say_by_whom(lock: &Lock<Arc<AnyStore>>) {
    const SOON: Duration = Duration::from_secs(1);
    if let Ok(Err(error)) = timeout(SOON, lock.renew()).await
        && error.kind() == ErrorKind::Lost
    {
        log::warn!("{error}");
    }
}

/// What comes of it is in the log; the command's status is what counts.
async fn released(held: HeldSet) {
    let _ = held.release().await;
}
