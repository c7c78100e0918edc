//! `run`: runs a command while the lock is held, and ends it before the lease expires or as soon
//! as the lock is lost otherwise.

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, builder::NonEmptyStringValueParser};
use coord_core::{
    BootInstant, Status,
    cli::{Failure, help::heading},
    duration,
};
use coord_lease::{
    LeasedCommand, Signals, Times, WaitReport, as_wrapper, failed, not_acquired, not_started,
    runtime,
};
use coord_process::supervise::{Guard, StopArgs, reexec::SignalMask};
use lockheed::{ErrorKind, HeldSet, LeaseLost, Lock, LockName, LockSet, store::ProofOfLife};
use tokio::time::timeout;

use super::{
    StoreArg,
    backend::Login,
    events::{EventArgs, Recorder},
    hold::Wanted,
    hooks::{HookArgs, Hooks},
    host,
    lock_args::LockArgs,
    metrics::Metrics,
    observers::Observers,
    restart::{Left, Past},
    store::AnyStore,
    times::RequestArgs,
    tokens, with_random_part,
};

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    locks: LockArgs,
    /// Beginning of the holder's ID; lockheed adds a random part [default: this host's name]
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), help_heading = heading::LEASE)]
    id: Option<String>,
    /// Length of the lease, at least 1s; 0 for a lease without an end
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "30s", help_heading = heading::LEASE)]
    duration: Duration,
    #[command(flatten)]
    request: RequestArgs,
    /// How often the lease is renewed; 0 for never [default: a third of the lease]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = heading::LEASE)]
    renew_interval: Option<Duration>,
    #[command(flatten)]
    wanted: Wanted,
    /// Grace period between asking the command to stop and killing it [default: a quarter of the
    /// lease, 10s if it has no end; 25s after a forwarded TERM or INT]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = heading::COMMAND)]
    grace: Option<Duration>,
    #[command(flatten)]
    stop: StopArgs,
    /// If the lock is lost, end the command, wait for the lock as long as it takes, and run the
    /// command again
    #[arg(long, help_heading = heading::COMMAND)]
    restart: bool,
    #[command(flatten)]
    hooks: HookArgs,
    /// Write counts and times to this file, in Prometheus' text format
    #[arg(long, value_name = "FILE", help_heading = heading::REPORTING)]
    metrics: Option<PathBuf>,
    #[command(flatten)]
    events: EventArgs,
    /// The command to run; it finds the fencing token in LOCKHEED_TOKEN. With several locks, it
    /// finds their tokens in LOCKHEED_TOKEN_1 and so on, in the order given here, and by name in
    /// LOCKHEED_TOKENS
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// How long the store is asked where it can wait.
const SOON: Duration = Duration::from_secs(1);

/// How one life of the command has ended.
enum Over {
    With(Status),
    /// The lock was lost, and another life follows.
    Lost(Box<Left>),
}

impl Run {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        self.wrap(store).map_err(as_wrapper)
    }

    fn wrap(mut self, store: &StoreArg) -> Result<Status, Failure> {
        // This and the guard must come before there are threads.
        let past = Past::inherited(self.restart);
        if past.is_there() {
            self.wanted.once_more();
        }
        let names = self.locks.names()?;
        let place = self.wanted.place(store)?;
        self.events.check(&place)?;
        let is_observed = self.hooks.are_given() || self.events.are_given();
        if names.len() > 1 && (is_observed || self.metrics.is_some()) {
            let text =
                "--on-wait, --on-lost, --metrics and --events are for one lock: name only one";
            return Err(Failure::usage(text));
        }
        let times = self
            .request
            .times(self.duration, self.renew_interval, self.grace)?;
        let id = self.id.clone().map_or_else(host, Ok)?;
        let plan = self.stop.plan(self.command.clone(), times.grace);
        let plan = plan.signal_grace(times.signal_grace).margin(times.margin);
        let plan = plan.without_vars(tokens::inherited());
        let guard = Guard::start(plan.signal_mask(past.mask)).map_err(not_started)?;
        let runtime = runtime()?;
        let report = self.wanted.report(&names);
        let id = with_random_part(&id);
        let events = Recorder::new(&self.events, &id, past.events());
        let hooks = Hooks::start(&self.hooks, &id, &report, past.hooks())?;
        let done = runtime.block_on(async {
            let store = place.open_or_create(Login::WithoutInput).await?;
            let signals = Signals::catch()?;
            past.mask.set();
            let file = self.metrics.as_deref();
            let one = &names[0];
            let metrics = Metrics::start(file, &place, &store, one, &report, past.counts())?;
            let proof = store.prove_life().map_err(failed)?;
            if let Some(proof) = &proof {
                let kept = guard.keep(std::os::fd::AsFd::as_fd(proof));
                kept.map_err(not_started)?;
            }
            let store = Arc::new(store);
            hooks.serve(&store, one);
            events.serve(&store, one, &report);
            past.settle(&store, &names, &signals, &report).await;
            let observers = |name| Observers::new(&report.of(name), &hooks, &metrics, &events);
            let observers: Vec<_> = names.iter().map(observers).collect();
            let lock = |(name, told): (&LockName, &Observers)| {
                let told = told.clone();
                let lock = Lock::new(store.clone(), name.clone()).id(&id);
                let lock = self.lock(lock, times, proof.as_ref());
                let lock = lock.on_event(move |event| told.tell(event));
                if past.is_there() {
                    lock.patient()
                } else {
                    lock
                }
            };
            let locks = LockSet::new(names.iter().zip(&observers).map(lock))?;
            let mut over = self
                .under(&locks, guard, &signals, &report, &past, &observers)
                .await;
            metrics.finish();
            if let Ok(Over::Lost(left)) = &mut over {
                left.hooks = hooks.hand_over();
                left.counts = metrics.counts();
                left.events = events.left();
            } else {
                tokio::join!(hooks.finish(&signals), events.finish(&signals));
            }
            over
        });
        report.end();
        runtime.shutdown_background();
        match done? {
            Over::With(status) => Ok(status),
            Over::Lost(left) => Err(past.execute_again(&left)),
        }
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
        past: &Past,
        observers: &[Observers],
    ) -> Result<Over, Failure> {
        let cancel = signals.clone().came();
        let held = match locks.acquire_unless(self.wanted.wait(), cancel).await {
            Ok(held) => held,
            Err(error) => {
                let busy = error.is_busy();
                return not_acquired(error, busy, signals, report).map(Over::With);
            }
        };
        if let Some(status) = signals.status() {
            released(held).await;
            return Ok(Over::With(status));
        }
        report.acquired_all();
        let acquired = BootInstant::now();
        let tokens = tokens::variables(&held);
        let over = LeasedCommand::run(guard, held.lease(), tokens, signals).await;
        if over.is_lost {
            let first = held.iter().zip(observers).min_by_key(|(held, _)| {
                let is_lost = held.lease().lost_because().is_some();
                (!is_lost, held.deadline())
            });
            first.into_iter().for_each(|(held, told)| told.lost(held));
        }
        if let Some((lost, LeaseLost::Taken)) = held.first_lost()
            && let Some(lock) = locks.get(lost.name())
        {
            say_by_whom(lock).await;
        }
        let left = past.left(&held, acquired);
        // Up to here, a signal could not end this process before the lock was released. If a lease
        // is left, the next life of this process deals with it.
        if !self.restart || !over.is_lost {
            released(held).await;
            return over.status.map(Over::With);
        }
        let _ = timeout(SOON, released(held)).await;
        SignalMask::block_all();
        over.runs_again().map_or_else(
            |status| {
                past.mask.set();
                status.map(Over::With)
            },
            |()| Ok(Over::Lost(Box::new(left))),
        )
    }
}

/// Names who holds the lock, or who ended its lease. There is no lease of this ID that this could
/// renew.
async fn say_by_whom(lock: &Lock<Arc<AnyStore>>) {
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
