//! `acquire`, `renew` and `release`: a lease that scripts hold across steps.

use std::time::Duration;

use clap::Args;
use coord_core::{
    Errno, Status,
    cli::{Failure, print},
    duration,
};
use coord_lease::{Signals, WaitLine, block_on, runtime};
use lockheed::{Condition, Held, Lock, LockName, Store, Wait};

use super::{
    Backend, StoreArg,
    backend::{Login, Work},
    default_id, name,
    report::Report,
    times::LeaseArgs,
};

/// What `run` and `acquire` have in common.
#[derive(Args)]
pub(crate) struct Wanted {
    /// Wait at most this long
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "no_wait")]
    wait: Option<Duration>,
    /// Do not wait for whoever holds the lock
    #[arg(long)]
    no_wait: bool,
    /// Add a tag to the lock; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Drop the tags that are not given
    #[arg(long)]
    reset_tags: bool,
    /// Take the lock away from whoever holds it if this holds, such as: tags contains "abandoned"
    #[arg(long, value_name = "CONDITION", value_parser = condition)]
    force: Option<Condition>,
    /// Take a lease that was over for longer than this when it was first seen without waiting for its length, or `never`; leases of Go programs are given so much more time [default: 60s and 5s for kube]
    #[arg(long, value_name = "DURATION", value_parser = max_skew)]
    max_skew: Option<MaxSkew>,
}

#[derive(Clone, Copy)]
enum MaxSkew {
    Bound(Duration),
    Never,
}

#[derive(Args)]
pub(crate) struct Acquire {
    /// The lock
    name: String,
    /// The holder's ID [default: this host's name]
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    lease: LeaseArgs,
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Args)]
pub(crate) struct Renew {
    /// The lock
    name: String,
    /// The holder's ID [default: this host's name]
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    lease: LeaseArgs,
}

#[derive(Args)]
pub(crate) struct Release {
    /// The lock
    name: String,
    /// The holder's ID [default: this host's name]
    #[arg(long)]
    id: Option<String>,
}

impl Wanted {
    /// How long the wait is, where it has an end.
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.wait
    }

    pub(crate) fn apply<S: Store>(&self, lock: Lock<S>) -> Lock<S> {
        let mut lock = lock.tags(self.tags.clone());
        if self.reset_tags {
            lock = lock.reset_tags();
        }
        if let Some(condition) = &self.force {
            lock = lock.force(condition.clone());
        }
        match self.max_skew {
            Some(MaxSkew::Bound(skew)) => lock.max_skew(skew),
            Some(MaxSkew::Never) => lock.trust_no_clock(),
            None => lock,
        }
    }

    pub(crate) async fn acquire<S: Store>(
        &self,
        lock: &Lock<S>,
        signals: &Signals,
    ) -> Result<Held, lockheed::Error> {
        let wait = match self.wait {
            _ if self.no_wait => Wait::No,
            Some(limit) => Wait::at_most(limit),
            None => Wait::Forever,
        };
        lock.acquire_unless(wait, signals.clone().came()).await
    }
}

impl Acquire {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        let name = name(&self.name)?;
        let id = self.id.clone().map_or_else(default_id, Ok)?;
        let runtime = runtime()?;
        let report = Report(WaitLine::start(&name, self.wanted.limit()));
        let work = AcquireOn {
            arguments: &self,
            name,
            id,
            report: report.clone(),
        };
        let done = runtime.block_on(store.with(true, work));
        runtime.shutdown_background();
        report.0.end();
        done
    }
}

struct AcquireOn<'a> {
    arguments: &'a Acquire,
    name: LockName,
    id: String,
    report: Report,
}

impl Work for AcquireOn<'_> {
    type Done = Status;

    const LOGIN: Login = Login::Waiting;

    async fn on<S: Backend>(self, store: S) -> Result<Status, Failure> {
        let Acquire { lease, wanted, .. } = self.arguments;
        let signals = Signals::catch()?;
        let lock = Lock::new(store, self.name)
            .id(self.id)
            .duration(lease.duration.unwrap_or_default())
            .request_timeout(lease.request_timeout())
            .on_event(self.report.handler());
        let held = match wanted.acquire(&wanted.apply(lock), &signals).await {
            Ok(held) => held,
            Err(error) if error.errno() == Errno::ECANCELED => {
                return Ok(signals.status().unwrap_or(Status::FAILED));
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(status) = signals.status() {
            held.release().await?;
            return Ok(status);
        }
        self.report.0.end();
        let printed = print(&format!("{}\n", held.token()));
        if printed.is_ok() {
            held.detach();
        } else {
            // Nobody has learnt the token, and nobody will release what nobody knows of.
            held.release().await?;
        }
        printed.map(|()| Status::DONE)
    }
}

impl Renew {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        let name = name(&self.name)?;
        let id = self.id.clone().map_or_else(default_id, Ok)?;
        block_on(store.with(
            false,
            RenewOn {
                lease: self.lease,
                name,
                id,
            },
        ))
    }
}

struct RenewOn {
    lease: LeaseArgs,
    name: LockName,
    id: String,
}

impl Work for RenewOn {
    type Done = Status;

    async fn on<S: Backend>(self, store: S) -> Result<Status, Failure> {
        let lock = Lock::new(store, self.name)
            .id(self.id)
            .duration(self.lease.duration.unwrap_or_default())
            .request_timeout(self.lease.request_timeout());
        lock.renew().await?.detach();
        Ok(Status::DONE)
    }
}

impl Release {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        let name = name(&self.name)?;
        let id = self.id.clone().map_or_else(default_id, Ok)?;
        block_on(store.with(false, ReleaseOn { name, id }))
    }
}

struct ReleaseOn {
    name: LockName,
    id: String,
}

impl Work for ReleaseOn {
    type Done = Status;

    async fn on<S: Backend>(self, store: S) -> Result<Status, Failure> {
        Lock::new(store, self.name).id(self.id).release().await?;
        Ok(Status::DONE)
    }
}

/// The position in it is part of the message.
pub(crate) fn condition(text: &str) -> Result<Condition, lockheed::InvalidCondition> {
    text.parse()
}

fn max_skew(text: &str) -> Result<MaxSkew, duration::Error> {
    match text {
        "never" => Ok(MaxSkew::Never),
        _ => duration::parse(text).map(MaxSkew::Bound),
    }
}
