//! `status` and `list`.

use clap::Args;
use cmlock::{LockState, Record, Verdict};
use coord_core::{
    Status,
    cli::{Failure, print, readable},
    text::escaped,
};
use coord_lease::output::{ListFormat, ShowFormat, Table, json, yaml};
use serde_json::{Value, json};

use super::{client::PodArgs, hold::break_command};

#[derive(Args)]
pub(crate) struct Show {
    /// Name of the lock
    name: String,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = ShowFormat::Text)]
    output: ShowFormat,
}

#[derive(Args)]
pub(crate) struct List {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = ListFormat::Table)]
    output: ListFormat,
    /// List the locks of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

/// A lock, and its namespace where the locks are not all in one.
type Listed = (Option<String>, LockState);

impl Show {
    pub(crate) async fn run(self, pod: &PodArgs) -> Result<Status, Failure> {
        let client = pod.client().await?;
        let state = cmlock::status(&client, &self.name).await?;
        let whole = || in_json(&self.name, state.as_ref());
        print(&match self.output {
            ShowFormat::Text => {
                let words = in_words(&self.name, state.as_ref());
                let held = state.as_ref().filter(|state| state.held_by().is_some());
                let end =
                    held.map(|state| format!("break it: {}\n", break_command(pod, &state.record)));
                format!("{}\n{}", escaped(&words), end.unwrap_or_default())
            }
            ShowFormat::Json => format!("{}\n", json(&whole())),
            ShowFormat::Yaml => yaml(&whole()),
        })?;
        let held = state.is_some_and(|state| state.held_by().is_some());
        Ok(if held { Status::DONE } else { Status::NO })
    }
}

impl List {
    pub(crate) async fn run(self, pod: &PodArgs) -> Result<Status, Failure> {
        let client = pod.client().await?;
        let locks: Vec<_> = if self.all_namespaces {
            let all = cmlock::locks_everywhere(&client).await?.into_iter();
            all.map(|(namespace, lock)| lock.map(|state| (Some(namespace), state)))
                .collect()
        } else {
            let all = cmlock::locks(&client).await?.into_iter();
            all.map(|lock| lock.map(|state| (None, state))).collect()
        };
        let (locks, status) = readable(locks, |error| {
            log::error!("{error}");
        });
        print(&self.whole(&locks))?;
        Ok(status)
    }

    fn whole(&self, locks: &[Listed]) -> String {
        match self.output {
            ListFormat::Table | ListFormat::Wide => self.table(locks),
            ListFormat::Name => locks.iter().map(full_name).collect(),
            ListFormat::Json => format!("{}\n", json(&list_in_json(locks))),
            ListFormat::Yaml => yaml(&list_in_json(locks)),
        }
    }

    fn table(&self, locks: &[Listed]) -> String {
        let namespace = self.all_namespaces.then_some(("NAMESPACE", 20));
        let more = (self.output == ListFormat::Wide).then_some([
            ("HOLDER", 32),
            ("CONTAINER", 20),
            ("LABELS", 20),
        ]);
        let columns = [("NAME", 30), ("POD", 40), ("EXPIRES", 21), ("STATE", 20)];
        let columns = namespace.into_iter().chain(columns);
        let table = Table::new(columns.chain(more.into_iter().flatten()));
        let row = |(namespace, state): &Listed| {
            let cells = namespace.iter().cloned().chain(cells(state));
            table.row(cells.chain(more_cells(&state.record)))
        };
        std::iter::once(table.header())
            .chain(locks.iter().map(row))
            .collect()
    }
}

fn cells(state: &LockState) -> [String; 4] {
    let record = &state.record;
    let expires = record
        .expires
        .map_or_else(|| "never".to_owned(), |at| at.to_string());
    let means = freed(state).map_or_else(|| "held".to_owned(), |why| format!("free: {why}"));
    [
        record.name.clone(),
        record.owner.name.clone(),
        expires,
        means,
    ]
}

fn more_cells(record: &Record) -> [String; 3] {
    let labels = record.labels.iter();
    let labels: Vec<_> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let container = record.run.as_ref().map(|run| run.container.clone());
    [
        record.holder.clone().unwrap_or_else(|| "-".to_owned()),
        container.unwrap_or_else(|| "-".to_owned()),
        labels.join(","),
    ]
}

/// Names of locks are DNS names: nothing in them is to be escaped.
fn full_name((namespace, state): &Listed) -> String {
    let name = &state.record.name;
    match namespace {
        Some(namespace) => format!("{namespace}/{name}\n"),
        None => format!("{name}\n"),
    }
}

fn list_in_json(locks: &[Listed]) -> Value {
    let one = |(namespace, state): &Listed| {
        let mut one = in_json(&state.record.name, Some(state));
        if let Some(namespace) = namespace {
            one["namespace"] = namespace.as_str().into();
        }
        one
    };
    locks.iter().map(one).collect()
}

fn in_words(name: &str, state: Option<&LockState>) -> String {
    let Some(state) = state else {
        return format!("lock {name} is free");
    };
    match (state.held_by(), freed(state)) {
        (Some(obstacle), _) => format!("lock {name} is {obstacle}"),
        (None, Some(why)) => format!("lock {name} is free: {why}"),
        (None, None) => format!("lock {name} is free"),
    }
}

/// Documented in the README, and kept.
fn in_json(name: &str, state: Option<&LockState>) -> Value {
    let record = state.map(|state| &state.record);
    let run = record.and_then(|record| record.run.as_ref());
    json!({
        "name": name,
        "held": state.is_some_and(|state| state.held_by().is_some()),
        "pod": record.map(|record| &record.owner.name),
        "podUID": record.map(|record| &record.owner.uid),
        "holder": record.and_then(|record| record.holder.as_ref()),
        "uid": record.map(|record| &record.uid),
        "container": run.map(|run| &run.container),
        "restarts": run.map(|run| run.restarts),
        "expires": record.and_then(|record| record.expires).map(|at| at.to_string()),
        "expiresAt": record.and_then(|record| record.expires).map(cmlock::Time::as_secs),
        "freeBecause": state.and_then(freed),
        "labels": record.map(|record| &record.labels),
    })
}

fn freed(state: &LockState) -> Option<String> {
    match &state.verdict {
        Verdict::Free(why) => Some(why.to_string()),
        _ => None,
    }
}
