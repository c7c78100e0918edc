//! `break` and `delete`.

use clap::Args;
use coord_core::{
    Status,
    cli::{Failure, print},
};
use coord_lease::block_on;
use lockheed::{Condition, Lease, LockName, State, Store, Timestamp};

use super::{StoreArg, hold::condition, host, name, show::expired_ago, store::AnyStore};

#[derive(Args)]
pub(crate) struct Break {
    /// The lock
    name: String,
    /// Only if this holds, such as: tags contains "abandoned" [default: whatever holds]
    #[arg(long = "if", value_name = "CONDITION", value_parser = condition)]
    condition: Option<Condition>,
    /// Really do it, else only say whose lease it would end: until its holder has heard of it, two
    /// holders may both believe they have the lock
    #[arg(long)]
    yes: bool,
}

#[derive(Args)]
pub(crate) struct Delete {
    /// The lock
    name: String,
    /// Only if this holds, such as: tags contains "abandoned" [default: whatever holds]
    #[arg(long = "if", value_name = "CONDITION", value_parser = condition)]
    condition: Option<Condition>,
}

impl Break {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        let name = name(&self.name)?;
        block_on(async { self.end(&name, &store.open().await?).await })
    }

    async fn end(&self, name: &LockName, store: &AnyStore) -> Result<Status, Failure> {
        if !self.yes {
            let state = lockheed::inspect(store, name).await?;
            return Err(Failure::usage(would_break(&state)));
        }
        let condition = self.condition.as_ref();
        let broken = lockheed::break_lock_as(store, name, condition, &who()).await?;
        let Some(broken) = broken else {
            return Ok(does_not_hold(name));
        };
        if broken.is_empty() {
            log::info!("lock {name}: nobody holds it, and there is nothing to break");
        }
        let now = store.now().await?;
        for lease in broken {
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
        let name = name(&self.name)?;
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

fn does_not_hold(name: &LockName) -> Status {
    log::info!("lock {name}: the condition does not hold, and nothing was changed");
    Status::NO
}

fn would_break(state: &State) -> String {
    let name = &state.name;
    let holders = |mut leases: Vec<&Lease>| {
        leases.sort_by(|a, b| a.holder.cmp(&b.holder));
        let holders: Vec<_> = leases.iter().map(|lease| lease.holder.as_str()).collect();
        holders.join(", ")
    };
    let (held, expired) = (state.holders().collect(), state.expired().next());
    match (holders(held), expired) {
        (by, _) if !by.is_empty() => {
            format!("lock {name} is held by {by}: to end its lease, repeat with --yes")
        }
        (_, Some(lease)) => {
            let (by, how) = (&lease.holder, expired_ago(lease, state.now));
            format!("the lease of {by} on lock {name} {how}: to end it, repeat with --yes")
        }
        _ => format!("nobody holds lock {name}; there is nothing to break"),
    }
}

fn would_have(lease: &Lease, now: Timestamp) -> String {
    if lease.is_expired(now) {
        expired_ago(lease, now)
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
