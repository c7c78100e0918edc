//! `break` and `delete`.

use clap::Args;
use coord_core::{
    Status,
    cli::{Failure, print},
};
use coord_lease::block_on;
use lockheed::{Condition, LockName};

use super::{Backend, StoreArg, backend::Work, hold::condition, name};

#[derive(Args)]
pub(crate) struct Break {
    /// The lock
    name: String,
    /// Only if this holds
    #[arg(long = "if", value_name = "CONDITION", value_parser = condition)]
    condition: Option<Condition>,
    /// Really do it: until its holder has heard of it, two holders may both believe they have the lock
    #[arg(long)]
    yes: bool,
}

#[derive(Args)]
pub(crate) struct Delete {
    /// The lock
    name: String,
    /// Only if this holds
    #[arg(long = "if", value_name = "CONDITION", value_parser = condition)]
    condition: Option<Condition>,
}

struct BreakOn {
    name: LockName,
    condition: Option<Condition>,
    yes: bool,
}

struct DeleteOn {
    name: LockName,
    condition: Option<Condition>,
}

impl Break {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        let Self { condition, yes, .. } = self;
        let name = name(&self.name)?;
        block_on(store.with(
            false,
            BreakOn {
                name,
                condition,
                yes,
            },
        ))
    }
}

impl Delete {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        let name = name(&self.name)?;
        let condition = self.condition;
        block_on(store.with(false, DeleteOn { name, condition }))
    }
}

impl Work for BreakOn {
    type Done = Status;

    async fn on<S: Backend>(self, store: S) -> Result<Status, Failure> {
        if !self.yes {
            let state = lockheed::inspect(&store, &self.name).await?;
            let holders: Vec<_> = state.holders().map(|lease| lease.holder.as_str()).collect();
            return Err(Failure::usage(would_break(&self.name, &holders)));
        }
        let condition = self.condition.as_ref();
        let Some(broken) = lockheed::break_lock(&store, &self.name, condition).await? else {
            return Ok(Status::NO);
        };
        for lease in broken {
            print(&format!(
                "ended the lease of {:?}, which would have lasted until {}\n",
                lease.holder, lease.expires
            ))?;
        }
        Ok(Status::DONE)
    }
}

impl Work for DeleteOn {
    type Done = Status;

    async fn on<S: Backend>(self, store: S) -> Result<Status, Failure> {
        let condition = self.condition.as_ref();
        let deleted = lockheed::delete_lock(&store, &self.name, condition).await?;
        Ok(if deleted { Status::DONE } else { Status::NO })
    }
}

fn would_break(name: &LockName, holders: &[&str]) -> String {
    match holders {
        [] => format!("nobody holds lock {name}; there is nothing to break"),
        _ => format!(
            "lock {name} is held by {}: to end its lease, repeat with --yes",
            holders.join(", ")
        ),
    }
}
