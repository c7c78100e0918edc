//! `acquire`, `renew` and `release`: a lease that scripts hold across steps.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use clap::{Args, builder::NonEmptyStringValueParser};
use coord_core::{
    Errno, Status,
    cli::{Failure, Tool, help::heading, print},
    duration, parse_label,
};
use coord_lease::{
    Signals, Times, WaitLimit, WaitReport, block_on,
    output::{self, ShowFormat},
    runtime,
};
use lockheed::{Condition, Held, Lock, LockName, Store, Wait, store::LABEL};
use serde_json::json;
use tokio::time::timeout;

use super::{
    LockArg, LockheedCli, StoreArg, backend::Login, report, store::AnyStore, times::RequestArgs,
    unique_id,
};

/// The highest priority. Whoever waits comes before it at last, having been passed as often.
const MOST_URGENT: i64 = 1000;

// The options that `run` and `acquire` share. (clap would use a doc comment as help.)
#[derive(Args)]
pub(crate) struct Wanted {
    /// Wait at most this long, or `forever` [default: forever]
    #[arg(long, value_name = "DURATION", value_parser = WaitLimit::parse, conflicts_with = "no_wait", help_heading = heading::WAITING)]
    wait: Option<WaitLimit>,
    /// Do not wait: fail if somebody else holds the lock
    #[arg(long, help_heading = heading::WAITING)]
    no_wait: bool,
    /// Hold the lock together with others that use --shared, but with nobody else
    #[arg(long, conflicts_with = "slots", help_heading = heading::LOCK)]
    shared: bool,
    /// Let up to N holders have the lock at once; all who hold it or wait for it must give the same
    /// N
    #[arg(long, value_name = "N", value_parser = slots, help_heading = heading::LOCK)]
    slots: Option<NonZeroU32>,
    /// Wait in the lock's queue: first come, first served among all who use it
    #[arg(long, help_heading = heading::WAITING)]
    fair: bool,
    /// Wait in the lock's queue, before those with a lower priority, from 0 to 1000 [default: 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=MOST_URGENT), help_heading = heading::WAITING)]
    priority: Option<u32>,
    /// Add a tag to the lock; may be repeated
    #[arg(long = "tag", value_name = "TAG", help_heading = heading::LOCK)]
    tags: Vec<String>,
    /// Put a label on the lock's ConfigMap or Lease; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label, help_heading = heading::LOCK)]
    labels: Vec<(String, String)>,
    /// Remove the tags of the lock that are not given with --tag
    #[arg(long, help_heading = heading::LOCK)]
    reset_tags: bool,
    /// Take the lock away from its holder if this condition holds, such as: tags contains
    /// "abandoned"
    #[arg(long, value_name = "CONDITION", value_parser = condition, help_heading = heading::LOCK)]
    force: Option<Condition>,
    /// How far clocks may differ. A lease that expired longer ago than this is taken over at once;
    /// with `never`, only after lockheed has waited for its full length. Leases of Go programs last
    /// this much longer [default: 60s; 5s for leases of Go programs]
    #[arg(long, value_name = "DURATION", value_parser = max_skew, help_heading = heading::LEASE)]
    max_skew: Option<MaxSkew>,
}

#[derive(Clone, Copy)]
enum MaxSkew {
    Bound(Duration),
    Never,
}

#[derive(Args)]
pub(crate) struct Acquire {
    #[command(flatten)]
    lock: LockArg,
    /// ID of the holder; whoever gives the same ID is the same holder [default: this host's name
    /// and a random part, which is printed]
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), help_heading = heading::LEASE)]
    id: Option<String>,
    /// Length of the lease, at least 1s; 0 for a lease without an end [default: 5m; a lease that
    /// --id already has keeps its length]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = heading::LEASE)]
    duration: Option<Duration>,
    /// Output format: text is the holder's ID, or with --id the fencing token; json and yaml are an
    /// object with name, key, id and token
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = ShowFormat::Text)]
    output: ShowFormat,
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    wanted: Wanted,
}

/// The lease of `acquire`: long enough for a step of a script, and over when nobody comes back.
const LEASE: Duration = Duration::from_secs(5 * 60);

#[derive(Args)]
pub(crate) struct Renew {
    #[command(flatten)]
    lock: LockArg,
    /// ID of the holder, as acquire printed it, or as it was given to acquire
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), help_heading = heading::LEASE)]
    id: String,
    /// Length of the lease from now on, at least 1s [default: as long as it was]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive, help_heading = heading::LEASE)]
    duration: Option<Duration>,
    #[command(flatten)]
    request: RequestArgs,
}

#[derive(Args)]
pub(crate) struct Release {
    #[command(flatten)]
    lock: LockArg,
    /// ID of the holder, as acquire printed it, or as it was given to acquire
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), help_heading = heading::LEASE)]
    id: String,
}

impl Wanted {
    /// Where the lock is to be, with the labels that it is to have.
    pub(crate) fn place(&self, store: &StoreArg) -> Result<StoreArg, Failure> {
        store.clone().with_labels(&self.labels)
    }

    /// What is wanted after a loss: to wait as long as it takes, and not to take the lock away from
    /// whoever has it by now.
    pub(crate) fn once_more(&mut self) {
        self.wait = None;
        self.no_wait = false;
        self.force = None;
    }

    /// Begins to wait.
    pub(crate) fn report(&self, names: &[LockName]) -> WaitReport {
        WaitReport::start(LockheedCli::NAME, names, self.limit(), !self.no_wait)
    }

    pub(crate) fn apply<S: Store>(&self, lock: Lock<S>) -> Lock<S> {
        let mut lock = lock.tags(self.tags.clone());
        if self.shared {
            lock = lock.shared();
        }
        if let Some(count) = self.slots {
            lock = lock.slots(count);
        }
        if self.fair {
            lock = lock.fair();
        }
        if let Some(priority) = self.priority {
            lock = lock.priority(priority);
        }
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

    /// How long to wait; none for ever.
    fn limit(&self) -> Option<Duration> {
        self.wait.and_then(WaitLimit::duration)
    }

    pub(crate) fn wait(&self) -> Wait {
        match self.limit() {
            _ if self.no_wait => Wait::No,
            Some(limit) => Wait::at_most(limit),
            None => Wait::Forever,
        }
    }
}

impl Acquire {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        let name = self.lock.name()?;
        let lease = self.duration.filter(|lease| !lease.is_zero());
        lease.map_or(Ok(()), Times::check_length)?;
        let store = self.wanted.place(store)?;
        let id = self.id.clone().map_or_else(unique_id, Ok)?;
        let runtime = runtime()?;
        let report = self.wanted.report(std::slice::from_ref(&name));
        let done = runtime.block_on(async {
            let store = store.open_or_create(Login::Waiting).await?;
            let lock = Lock::new(store, name)
                .id(id)
                .on_event(report::handler(&report));
            self.acquire(&self.lock(lock), &report).await
        });
        report.end();
        runtime.shutdown_background();
        done
    }

    async fn acquire(&self, lock: &Lock<AnyStore>, report: &WaitReport) -> Result<Status, Failure> {
        let signals = Signals::catch()?;
        let cancel = signals.clone().came();
        let held = match lock.acquire_unless(self.wanted.wait(), cancel).await {
            Ok(held) => held,
            Err(error) => {
                let Some(status) = signals
                    .status()
                    .filter(|_| error.errno() == Errno::ECANCELED)
                else {
                    return Err(error.into());
                };
                report.cancelled();
                return Ok(status);
            }
        };
        if let Some(status) = signals.status() {
            held.release().await?;
            return Ok(status);
        }
        let printed = print(&self.words(&held));
        if printed.is_ok() {
            held.detach();
        } else {
            // Nobody has learnt the ID or the token, so nobody could release the lock later.
            held.release().await?;
        }
        printed.map(|()| Status::DONE)
    }

    fn lock<S: Store>(&self, lock: Lock<S>) -> Lock<S> {
        let lock = match self.duration {
            Some(duration) => lock.duration(duration),
            None => lock.duration_if_new(LEASE),
        };
        let timeout = self.request.timeout(self.duration.unwrap_or(LEASE));
        self.wanted.apply(lock.request_timeout(timeout))
    }

    /// What whoever asked does not know yet.
    fn words(&self, held: &Held) -> String {
        let all = || {
            json!({
                "name": held.name().as_str(),
                "key": held.name().key(),
                "id": held.id(),
                "token": held.token().get(),
            })
        };
        match self.output {
            ShowFormat::Json => format!("{}\n", output::json(&all())),
            ShowFormat::Yaml => output::yaml(&all()),
            ShowFormat::Text if self.id.is_some() => format!("{}\n", held.token()),
            ShowFormat::Text => format!("{}\n", held.id()),
        }
    }
}

impl Renew {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        let name = self.lock.name()?;
        self.duration.map_or(Ok(()), Times::check_length)?;
        block_on(async {
            let mut lock = Lock::new(store.open().await?, name).id(self.id);
            if let Some(duration) = self.duration {
                lock = lock.duration(duration);
            }
            let timeout = self.request.timeout(self.duration.unwrap_or_default());
            lock.request_timeout(timeout).renew().await?.detach();
            Ok(Status::DONE)
        })
    }
}

impl Release {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        let (name, id) = (self.lock.name()?, self.id);
        block_on(async {
            let store = Arc::new(store.open().await?);
            let other = other_holder(&store, &name, &id).await;
            let lock = Lock::new(store, name.clone()).id(&id);
            lock.release().await?;
            if let Some(by) = other {
                log::warn!("lock {name}: nothing to release: it is held by {by:?}, not by {id:?}");
            }
            Ok(Status::DONE)
        })
    }
}

/// Who holds the lock instead. A wrong ID ends nothing, which is well too, but whoever gave it may
/// want to know; a store that does not answer at once is not waited for.
async fn other_holder(store: &AnyStore, name: &LockName, id: &str) -> Option<String> {
    const SOON: Duration = Duration::from_secs(1);
    let state = timeout(SOON, lockheed::inspect(store, name)).await;
    let state = state.ok()?.ok()?;
    let is_ours = state.record.leases.contains_key(id);
    let other = state.holders().next().filter(|_| !is_ours)?;
    Some(other.holder.clone())
}

fn slots(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .map_err(|_| "write a number of at least 1, such as 3".to_owned())
}

/// The position in it is part of the message.
pub(crate) fn condition(text: &str) -> Result<Condition, lockheed::InvalidCondition> {
    text.parse()
}

/// The one that is ours is set in any case.
fn label(text: &str) -> Result<(String, String), String> {
    let label = parse_label(text).map_err(|error| error.to_string())?;
    if label.0 == LABEL {
        return Err(format!("the label {LABEL:?} is set by lockheed itself"));
    }
    Ok(label)
}

fn max_skew(text: &str) -> Result<MaxSkew, duration::Error> {
    match text {
        "never" => Ok(MaxSkew::Never),
        _ => duration::parse(text).map(MaxSkew::Bound),
    }
}
