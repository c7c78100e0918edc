//! `list` and `inspect`.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use coord_core::{
    Status,
    cli::{Failure, ListFormat, ShowFormat, print, readable},
};
use coord_lease::block_on;
use lockheed::{
    Condition, LockName, State,
    store::{Change, Object, Scope, Store, StoreError, StoreErrorKind, Watch},
};
use serde_json::{Value, json};

use super::{Backend, StoreArg, backend::Work, hold::condition, name};

#[derive(Args)]
pub(crate) struct List {
    /// Only those for which this holds, such as: tags contains "prod" and acquired equals true
    #[arg(long = "where", value_name = "CONDITION", value_parser = condition)]
    condition: Option<Condition>,
    /// How to print them
    #[arg(short, value_enum, default_value_t = ListFormat::Table)]
    output: ListFormat,
    /// Go on, and print each lock that changes
    #[arg(short, long)]
    watch: bool,
}

#[derive(Args)]
pub(crate) struct Inspect {
    /// The lock
    name: String,
    /// How to print it
    #[arg(short, value_enum, default_value_t = ShowFormat::Text)]
    output: ShowFormat,
}

/// Before a watch that has ended is begun again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a watch is followed no more.
enum Ended {
    Watching(StoreError),
    Printing(Failure),
}

impl List {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        block_on(store.with(false, self))
    }

    fn wants(&self, state: &State) -> bool {
        self.condition
            .as_ref()
            .is_none_or(|condition| state.matches(condition))
    }

    /// One line of it.
    fn line(&self, state: &State) -> String {
        match self.output {
            ListFormat::Table => row(state),
            ListFormat::Json => format!("{}\n", in_json(state)),
            ListFormat::Name => format!("{}\n", state.name),
        }
    }

    fn whole(&self, states: &[State]) -> String {
        if self.output == ListFormat::Json && !self.watch {
            let all: Vec<_> = states.iter().map(in_json).collect();
            return format!("{}\n", Value::Array(all));
        }
        let head = (self.output == ListFormat::Table).then(|| HEAD.to_owned());
        head.into_iter()
            .chain(states.iter().map(|state| self.line(state)))
            .collect()
    }

    async fn follow<S: Store>(&self, store: &S) -> Result<Status, Failure> {
        let mut shown = BTreeMap::new();
        loop {
            match self.follow_once(store, &mut shown).await {
                Ok(()) => {}
                Err(Ended::Printing(failure)) => return Err(failure),
                Err(Ended::Watching(error)) if error.kind() == StoreErrorKind::Unavailable => {
                    log::warn!("the store does not answer, trying again: {error}");
                }
                Err(Ended::Watching(error)) => return Err(error.into()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Until the watch ends.
    async fn follow_once<S: Store>(
        &self,
        store: &S,
        shown: &mut BTreeMap<LockName, Object>,
    ) -> Result<(), Ended> {
        let watch = store.watch(&Scope::All, None).await;
        let mut watch = watch.map_err(Ended::Watching)?;
        while let Some(change) = watch.next().await.map_err(Ended::Watching)? {
            let Change::Written(object) = change else {
                shown.remove(&change.object().name);
                continue;
            };
            if shown.insert(object.name.clone(), object.clone()).as_ref() == Some(&object) {
                continue;
            }
            match lockheed::inspect(store, &object.name).await {
                Ok(state) if self.wants(&state) => {
                    print(&self.line(&state)).map_err(Ended::Printing)?;
                }
                Ok(_) => {}
                Err(error) => log::warn!("{error}"),
            }
        }
        Ok(())
    }
}

impl Work for List {
    type Done = Status;

    async fn on<S: Backend>(self, store: S) -> Result<Status, Failure> {
        if self.watch {
            print(&self.whole(&[]))?;
            return self.follow(&store).await;
        }
        let locks = lockheed::locks(&store, self.condition.as_ref()).await?;
        let (states, status) = readable(locks, |error| {
            log::error!("{error}");
        });
        print(&self.whole(&states))?;
        Ok(status)
    }
}

impl Inspect {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        let name = name(&self.name)?;
        let whole = self.output == ShowFormat::Json;
        block_on(store.with(false, InspectOn { name, json: whole }))
    }
}

struct InspectOn {
    name: LockName,
    json: bool,
}

impl Work for InspectOn {
    type Done = Status;

    async fn on<S: Backend>(self, store: S) -> Result<Status, Failure> {
        let state = lockheed::inspect(&store, &self.name).await?;
        if self.json {
            let mut json = in_json(&state);
            json["record"] = serde_json::from_str(&state.record.to_json()).unwrap_or_default();
            print(&format!("{json}\n"))?;
        } else {
            print(&in_words(&state))?;
        }
        Ok(Status::DONE)
    }
}

const HEAD: &str =
    "NAME                           HOLDER                                   EXPIRES IN   TAGS\n";

fn row(state: &State) -> String {
    let holder = state.holders().next();
    let by = holder.map_or("-", |lease| &lease.holder);
    let left = holder.map_or_else(|| "-".to_owned(), |lease| left(state, lease));
    let tags = state.record.tags.join(",");
    let line = format!("{:<30} {by:<40} {left:<12} {tags}", state.name);
    format!("{}\n", line.trim_end())
}

fn in_words(state: &State) -> String {
    let mut text = format!("name     {}\nversion  {}\n", state.name, state.version);
    let kind = Some(state.record.lock_type.as_str()).filter(|kind| !kind.is_empty());
    text += &format!(
        "type     {}\ntags     {}\n",
        kind.unwrap_or("mutex"),
        state.record.tags.join(", ")
    );
    for lease in state.record.leases.values() {
        let over = if lease.is_expired(state.now) {
            "over"
        } else {
            "held"
        };
        text += &format!(
            "{over}     by {:?} until {} ({})\n",
            lease.holder,
            lease.expires,
            left(state, lease)
        );
    }
    if state.record.leases.is_empty() {
        text += "free\n";
    }
    text
}

fn left(state: &State, lease: &lockheed::Lease) -> String {
    if lease.expires.is_never() {
        return "never".to_owned();
    }
    let seconds = lease.expires.after(state.now).as_secs();
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}

/// Documented in the README, and kept.
fn in_json(state: &State) -> Value {
    let holders: Vec<_> = state.holders().map(|lease| holder(state, lease)).collect();
    json!({
        "name": state.name.as_str(),
        "held": state.is_held(),
        "holders": holders,
        "tags": state.record.tags,
        "version": state.version.as_str(),
    })
}

fn holder(state: &State, lease: &lockheed::Lease) -> Value {
    let never = lease.expires.is_never();
    json!({
        "id": lease.holder,
        "expires": lease.expires.to_string(),
        "expiresInSeconds": (!never).then(|| lease.expires.after(state.now).as_secs_f64()),
        "durationSeconds": lease.duration().map(|duration| duration.as_secs_f64()),
    })
}
