//! `status` and `list`.

use clap::Args;
use cmlock::{State, Verdict};
use coord_core::{
    Status,
    cli::{Failure, ListFormat, ShowFormat, print, readable},
};
use serde_json::{Value, json};

use super::client::PodArgs;

#[derive(Args)]
pub(crate) struct Show {
    /// The lock
    name: String,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = ShowFormat::Text)]
    output: ShowFormat,
}

#[derive(Args)]
pub(crate) struct List {
    /// How to print them
    #[arg(short, long, value_enum, default_value_t = ListFormat::Table)]
    output: ListFormat,
}

impl Show {
    pub(crate) async fn run(self, pod: &PodArgs) -> Result<Status, Failure> {
        let client = pod.client().await?;
        let state = cmlock::status(&client, &self.name).await?;
        let text = match self.output {
            ShowFormat::Text => in_words(&self.name, state.as_ref()),
            ShowFormat::Json => in_json(&self.name, state.as_ref()).to_string(),
        };
        print(&format!("{text}\n"))?;
        let held = state.is_some_and(|state| state.obstacle().is_some());
        Ok(if held { Status::DONE } else { Status::NO })
    }
}

impl List {
    pub(crate) async fn run(self, pod: &PodArgs) -> Result<Status, Failure> {
        let client = pod.client().await?;
        let (states, status) = readable(cmlock::locks(&client).await?, |error| {
            log::error!("{error}");
        });
        print(&self.whole(&states))?;
        Ok(status)
    }

    fn whole(&self, states: &[State]) -> String {
        match self.output {
            ListFormat::Table => std::iter::once(HEAD.to_owned())
                .chain(states.iter().map(row))
                .collect(),
            ListFormat::Name => states
                .iter()
                .map(|state| format!("{}\n", state.record.name))
                .collect(),
            ListFormat::Json => {
                let all = states
                    .iter()
                    .map(|state| in_json(&state.record.name, Some(state)));
                format!("{}\n", Value::Array(all.collect()))
            }
        }
    }
}

const HEAD: &str = "NAME                           POD                                      EXPIRES               STATE\n";

fn row(state: &State) -> String {
    let record = &state.record;
    let expires = record
        .expires
        .map_or_else(|| "never".to_owned(), |at| at.to_string());
    let means = freed(state).map_or_else(|| "held".to_owned(), |why| format!("free: {why}"));
    format!(
        "{:<30} {:<40} {expires:<21} {means}\n",
        record.name, record.owner.name
    )
}

fn in_words(name: &str, state: Option<&State>) -> String {
    let Some(state) = state else {
        return format!("lock {name} is free");
    };
    match (state.obstacle(), freed(state)) {
        (Some(obstacle), _) => format!("lock {name} is {obstacle}"),
        (None, Some(why)) => format!("lock {name} is free: {why}"),
        (None, None) => format!("lock {name} is free"),
    }
}

/// Documented in the README, and kept.
fn in_json(name: &str, state: Option<&State>) -> Value {
    let record = state.map(|state| &state.record);
    let run = record.and_then(|record| record.run.as_ref());
    json!({
        "name": name,
        "held": state.is_some_and(|state| state.obstacle().is_some()),
        "pod": record.map(|record| &record.owner.name),
        "podUID": record.map(|record| &record.owner.uid),
        "holder": record.and_then(|record| record.holder.as_ref()),
        "container": run.map(|run| &run.container),
        "restarts": run.map(|run| run.restarts),
        "expiresAt": record.and_then(|record| record.expires).map(cmlock::Time::as_secs),
        "freeBecause": state.and_then(freed),
        "labels": record.map(|record| &record.labels),
    })
}

fn freed(state: &State) -> Option<String> {
    match &state.verdict {
        Verdict::Free(why) => Some(why.to_string()),
        _ => None,
    }
}
