//! `break` and `delete`.

use clap::{Args, builder::NonEmptyStringValueParser};
use coord_core::{
    Status,
    cli::{Failure, help::heading, print, program},
    errno::with_sources,
    text::shell_quoted,
};
use coord_lease::block_on;
use lockheed::{
    Condition, Error, ErrorKind, Lease, LeaseId, LockName, LockState, Store, Timestamp, Token,
};

use super::{
    LockArg, LockheedCli, StoreArg,
    events::{self, Recorded},
    hold::condition,
    host,
    show::expired_ago,
    store::AnyStore,
};

#[derive(Args)]
pub(crate) struct Break {
    #[command(flatten)]
    lock: LockArg,
    /// End only the lease of the holder with this ID, as inspect shows it
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), help_heading = heading::LEASE)]
    id: Option<String>,
    /// End only the lease with this fencing token, and no later one of the same ID [default: any]
    #[arg(long, value_name = "TOKEN", requires = "id", help_heading = heading::LEASE)]
    fencing_token: Option<Token>,
    /// Only if this condition holds, such as: tags contains "abandoned" [default: always]
    #[arg(long = "if", value_name = "CONDITION", value_parser = condition, help_heading = heading::LOCK)]
    condition: Option<Condition>,
    /// End the lease of whoever holds the lock. Without --yes and --id, only say who that is. Until
    /// that holder notices, two holders may both believe they have the lock
    #[arg(long)]
    yes: bool,
    /// Record a Kubernetes Event on the lock's ConfigMap or Lease
    #[arg(long, help_heading = heading::REPORTING)]
    events: bool,
}

#[derive(Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    lock: LockArg,
    /// Only if this condition holds, such as: tags contains "abandoned" [default: always]
    #[arg(long = "if", value_name = "CONDITION", value_parser = condition, help_heading = heading::LOCK)]
    condition: Option<Condition>,
}

impl Break {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        let name = self.lock.name()?;
        events::check(self.events, store)?;
        block_on(async { self.end(&name, &store.open().await?).await })
    }

    async fn end(&self, name: &LockName, store: &AnyStore) -> Result<Status, Failure> {
        if self.id.is_none() && !self.yes {
            let state = lockheed::inspect(store, name).await?;
            if matches!(&self.condition, Some(condition) if !state.matches(condition)) {
                return Ok(does_not_hold(name));
            }
            let Some(text) = would_break(&state) else {
                return Ok(nothing_to_break(name));
            };
            return Err(Failure::usage(text));
        }
        let condition = self.condition.as_ref();
        let broken = match &self.id {
            Some(holder) => {
                let (holder, token) = (holder.clone(), self.fencing_token);
                let lease = LeaseId { holder, token };
                let broken = lockheed::break_lease(store, name, &lease, condition, &who()).await;
                broken.map_err(not_that)?.map(|lease| vec![lease])
            }
            None => lockheed::break_lock_as(store, name, condition, &who()).await?,
        };
        let Some(broken) = broken else {
            return Ok(does_not_hold(name));
        };
        if broken.is_empty() {
            return Ok(nothing_to_break(name));
        }
        let now = store.now().await?;
        for lease in broken {
            if self.events {
                record(store, name, &lease).await;
            }
            print(&format!(
                "ended the lease of {:?}, which {}\n",
                lease.holder,
                would_have(&lease, now)
            ))?;
        }
        Ok(Status::DONE)
    }
}

impl Delete {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        let name = self.lock.name()?;
        block_on(async {
            let (store, condition) = (store.open().await?, self.condition.as_ref());
            let deleted = lockheed::delete_lock(&store, &name, condition).await?;
            Ok(if deleted {
                Status::DONE
            } else {
                does_not_hold(&name)
            })
        })
    }
}

/// What cannot be recorded has happened all the same.
async fn record(store: &AnyStore, name: &LockName, lease: &Lease) {
    let (who, holder) = (who(), &lease.holder);
    let message = format!("{who} ended the lease of {holder:?}");
    let event = Recorded::now(&who, true, "LockBroken", &message);
    if let Err(error) = store.record(name, &event).await {
        log::warn!("cannot record an Event: {}", with_sources(&error));
    }
}

/// That somebody else holds the lock is a condition that does not hold.
fn not_that(error: Error) -> Failure {
    match error.kind() {
        ErrorKind::Lost => Failure::new(Status::NO, error),
        _ => error.into(),
    }
}

/// What is typed to end this lease and no other.
pub(super) fn break_command(store: &StoreArg, state: &LockState, lease: &Lease) -> String {
    let LeaseId { holder, token } = state.id_of(lease);
    let id = format!("--id={}", shell_quoted(&holder));
    let token = token.map(|token| format!("--fencing-token={token}"));
    let words = [
        program::<LockheedCli>().into_owned(),
        "break".to_owned(),
        state.name.to_string(),
        id,
    ];
    let words: Vec<_> = words
        .into_iter()
        .chain(token)
        .chain(store.as_typed())
        .collect();
    words.join(" ")
}

fn does_not_hold(name: &LockName) -> Status {
    log::info!("lock {name}: the condition does not hold, and nothing was changed");
    Status::NO
}

fn nothing_to_break(name: &LockName) -> Status {
    log::info!("lock {name}: nobody holds it, and there is nothing to break");
    Status::DONE
}

/// Whose lease would be ended, and how; none where nobody has one.
fn would_break(state: &LockState) -> Option<String> {
    let name = &state.name;
    let holders = |mut leases: Vec<&Lease>| {
        leases.sort_by(|a, b| a.holder.cmp(&b.holder));
        let holders: Vec<_> = leases
            .iter()
            .map(|lease| format!("{:?}", lease.holder))
            .collect();
        holders.join(", ")
    };
    let (held, expired) = (state.holders().collect(), state.expired().next());
    match (holders(held), expired) {
        (by, _) if !by.is_empty() => Some(format!(
            "lock {name} is held by {by}: to end its lease, repeat with --yes"
        )),
        (_, Some(lease)) => {
            let (by, how) = (&lease.holder, expired_ago(lease, state.now));
            Some(format!(
                "the lease of {by:?} on lock {name} {how}: to end it, repeat with --yes"
            ))
        }
        _ => None,
    }
}

fn would_have(lease: &Lease, now: Timestamp) -> String {
    if lease.is_expired(now) {
        expired_ago(lease, now)
    } else if lease.expires.is_never() {
        "would have had no end".to_owned()
    } else {
        format!("would have lasted until {}", lease.expires.to_the_second())
    }
}

/// Who this is, for those whose leases are ended. It proves nothing.
fn who() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"].map(|name| std::env::var(name).ok());
    let name = names.into_iter().flatten().find(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| format!("user {}", nix::unistd::geteuid()));
    match host() {
        Ok(host) => format!("{name}@{host}"),
        Err(_) => name,
    }
}
