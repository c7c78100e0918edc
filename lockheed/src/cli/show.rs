//! `list` and `inspect`.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use coord_core::{
    Status,
    cli::{Failure, print, readable},
    text::escaped,
};
use coord_lease::{
    block_on,
    output::{ListFormat, ShowFormat, Table, json, yaml},
};
use lockheed::{
    Condition, Lease, LockName, LockState, Mode, Timestamp, Waiter,
    store::{Change, Object, Scope, Store, StoreError, StoreErrorKind, Watch},
};
use serde_json::{Value, json};

use super::{LockArg, StoreArg, admin::break_command, hold::condition, store::AnyStore};

#[derive(Args)]
pub(crate) struct List {
    /// Only locks for which this condition holds, such as: tags contains "prod" and acquired equals
    /// true [default: all]
    #[arg(long = "where", value_name = "CONDITION", value_parser = condition)]
    condition: Option<Condition>,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = ListFormat::Table)]
    output: ListFormat,
    /// Keep running and print each lock as it changes
    #[arg(short, long)]
    watch: bool,
    /// List the locks of all namespaces
    #[arg(short = 'A', long, conflicts_with = "watch")]
    all_namespaces: bool,
}

#[derive(Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    lock: LockArg,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = ShowFormat::Text)]
    output: ShowFormat,
}

/// A lock, and its namespace where the locks are not all in one.
type Listed = (Option<String>, LockState);

/// Before a watch that has ended is begun again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a watch is followed no more.
enum Ended {
    Watching(StoreError),
    Printing(Failure),
}

impl List {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        block_on(async { self.list(&store.open().await?).await })
    }

    async fn list(&self, store: &AnyStore) -> Result<Status, Failure> {
        if self.watch {
            if matches!(self.output, ListFormat::Table | ListFormat::Wide) {
                print(&self.table().header())?;
            }
            return self.follow(store).await;
        }
        let condition = self.condition.as_ref();
        let locks: Vec<_> = if self.all_namespaces {
            let all = store.everywhere(condition).await?.into_iter();
            all.map(|(namespace, lock)| lock.map(|state| (Some(namespace), state)))
                .collect()
        } else {
            let all = lockheed::locks(store, condition).await?.into_iter();
            all.map(|lock| lock.map(|state| (None, state))).collect()
        };
        let (locks, status) = readable(locks, |error| {
            log::error!("{error}");
        });
        print(&self.whole(&locks))?;
        Ok(status)
    }

    fn wants(&self, state: &LockState) -> bool {
        self.condition
            .as_ref()
            .is_none_or(|condition| state.matches(condition))
    }

    fn table(&self) -> Table {
        let namespace = self.all_namespaces.then_some(("NAMESPACE", 20));
        let columns = [
            ("NAME", 30),
            ("HOLDER", 40),
            ("EXPIRES IN", 20),
            ("TAGS", 20),
            ("KEY", 30),
        ];
        let more = [
            ("EXPIRES", 25),
            ("MODE", 9),
            ("WAITING", 7),
            ("TYPE", 8),
            ("VERSION", 10),
        ];
        let more = (self.output == ListFormat::Wide).then_some(more);
        let columns = namespace.into_iter().chain(columns);
        Table::new(columns.chain(more.into_iter().flatten()))
    }

    fn row(&self, (namespace, state): &Listed) -> String {
        let cells = namespace.iter().cloned().chain(cells(state));
        self.table().row(cells.chain(more_cells(state)))
    }

    /// What is printed of one lock while locks are watched.
    fn line(&self, state: LockState) -> String {
        let listed = (None, state);
        match self.output {
            ListFormat::Table | ListFormat::Wide => self.row(&listed),
            ListFormat::Json => format!("{}\n", json(&listed_in_json(&listed))),
            ListFormat::Yaml => format!("---\n{}", yaml(&listed_in_json(&listed))),
            ListFormat::Name => full_name(&listed),
        }
    }

    fn whole(&self, locks: &[Listed]) -> String {
        let all = || locks.iter().map(listed_in_json).collect();
        match self.output {
            ListFormat::Table | ListFormat::Wide => std::iter::once(self.table().header())
                .chain(locks.iter().map(|listed| self.row(listed)))
                .collect(),
            ListFormat::Json => format!("{}\n", json(&all())),
            ListFormat::Yaml => yaml(&all()),
            ListFormat::Name => locks.iter().map(full_name).collect(),
        }
    }

    async fn follow(&self, store: &AnyStore) -> Result<Status, Failure> {
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
    async fn follow_once(
        &self,
        store: &AnyStore,
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
                    print(&self.line(state)).map_err(Ended::Printing)?;
                }
                Ok(_) => {}
                Err(error) => log::warn!("{error}"),
            }
        }
        Ok(())
    }
}

impl Inspect {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        let name = self.lock.name()?;
        block_on(async {
            let state = lockheed::inspect(&store.open().await?, &name).await?;
            print(&match self.output {
                ShowFormat::Text => in_words(&state, store),
                ShowFormat::Json => format!("{}\n", json(&all_in_json(&state))),
                ShowFormat::Yaml => yaml(&all_in_json(&state)),
            })?;
            Ok(Status::DONE)
        })
    }
}

/// The lease that a line is about: one that is over is still shown, as long as nobody has taken the
/// lock.
fn shown(state: &LockState) -> Option<&Lease> {
    state.holders().next().or_else(|| state.expired().next())
}

fn cells(state: &LockState) -> [String; 5] {
    let lease = shown(state);
    let none = || "-".to_owned();
    [
        state.name.to_string(),
        lease.map_or_else(none, |lease| holders_of(state, lease)),
        lease.map_or_else(none, |lease| left(state, lease)),
        state.record.tags.join(","),
        state.key.clone().unwrap_or_default(),
    ]
}

/// The first, and how many others there are.
fn holders_of(state: &LockState, first: &Lease) -> String {
    match state.holders().count() {
        0 | 1 => first.holder.clone(),
        count => format!("{} +{}", first.holder, count - 1),
    }
}

fn more_cells(state: &LockState) -> [String; 5] {
    let lease = shown(state);
    [
        lease.map_or_else(
            || "-".to_owned(),
            |lease| lease.expires.to_the_second().to_string(),
        ),
        mode(state.record.mode),
        state.waiting.len().to_string(),
        kind(state).to_owned(),
        state.version.to_string(),
    ]
}

/// Names of locks and namespaces are DNS names: nothing in them is to be escaped.
fn full_name((namespace, state): &Listed) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}/{}\n", state.name),
        None => format!("{}\n", state.name),
    }
}

fn listed_in_json((namespace, state): &Listed) -> Value {
    let mut json = in_json(state);
    if let Some(namespace) = namespace {
        json["namespace"] = namespace.as_str().into();
    }
    json
}

pub(super) fn all_in_json(state: &LockState) -> Value {
    let mut json = in_json(state);
    json["record"] = serde_json::from_str(&state.record.to_json()).unwrap_or_default();
    json
}

fn kind(state: &LockState) -> &str {
    match state.record.lock_type.as_str() {
        "" => "mutex",
        kind => kind,
    }
}

/// As the options say it.
fn mode(mode: Mode) -> String {
    match mode.slots() {
        Some(count) => format!("slots={count}"),
        None => mode.to_string(),
    }
}

fn in_words(state: &LockState, store: &StoreArg) -> String {
    let mut text = format!("name     {}\n", state.name);
    if let Some(key) = &state.key {
        text += &format!("key      {key:?}\n");
    }
    text += &format!("version  {}\n", state.version);
    text += &format!("type     {}\n", escaped(kind(state)));
    if !state.record.tags.is_empty() {
        let tags = state.record.tags.join(", ");
        text += &format!("tags     {}\n", escaped(&tags));
    }
    if state.record.mode != Mode::Exclusive {
        text += &format!("mode     {}\n", mode(state.record.mode));
    }
    for lease in state.holders() {
        let (held, until) = (&lease.holder, lease.expires.to_the_second());
        let left = left(state, lease);
        text += &if lease.is_granted() {
            format!("next     {held:?}, which has until {until} to come ({left})\n")
        } else {
            format!("held     by {held:?} until {until} ({left})\n")
        };
    }
    for waiter in &state.waiting {
        let (id, since) = (&waiter.id, waiter.since.to_the_second());
        let (mode, priority) = (mode(waiter.mode()), waiter.rank());
        text += &format!("waiting  {id:?} since {since}, {mode}, priority {priority}\n");
    }
    for lease in state.expired() {
        let how = expired_ago(lease, state.now);
        text += &format!("over     the lease of {:?} {how}\n", lease.holder);
    }
    for lease in state.holders().chain(state.expired()) {
        text += &format!("break    {}\n", break_command(store, state, lease));
    }
    if state.record.leases.is_empty() {
        text += "free\n";
    }
    text
}

/// To the second.
fn left(state: &LockState, lease: &Lease) -> String {
    if lease.expires.is_never() {
        return "never".to_owned();
    }
    if lease.is_expired(state.now) {
        return expired_ago(lease, state.now);
    }
    whole(lease.expires.after(state.now))
}

/// What is known of a lease that is over by this clock, which may not be its holder's: nobody has
/// taken the lock since.
pub(super) fn expired_ago(lease: &Lease, now: Timestamp) -> String {
    let ago = whole(now.after(lease.expires));
    format!("expired {ago} ago")
}

fn whole(duration: Duration) -> String {
    let whole = Duration::from_secs(duration.as_secs());
    humantime::format_duration(whole).to_string()
}

/// Documented in the README, and kept.
fn in_json(state: &LockState) -> Value {
    let holders: Vec<_> = state.holders().map(|lease| holder(state, lease)).collect();
    let expired: Vec<_> = state.expired().map(|lease| over(state, lease)).collect();
    json!({
        "name": state.name.as_str(),
        "key": state.key,
        "held": state.is_held(),
        "mode": state.record.mode.to_string(),
        "slots": state.record.mode.slots(),
        "holders": holders,
        "expired": expired,
        "waiting": state.waiting.iter().map(waiter).collect::<Vec<_>>(),
        "tags": state.record.tags,
        "version": state.version.as_str(),
    })
}

fn holder(state: &LockState, lease: &Lease) -> Value {
    let never = lease.expires.is_never();
    json!({
        "id": lease.holder,
        "named": lease.is_granted(),
        "expires": lease.expires.to_string(),
        "expiresInSeconds": (!never).then(|| lease.expires.after(state.now).as_secs_f64()),
        "durationSeconds": lease.duration().map(|duration| duration.as_secs_f64()),
    })
}

fn waiter(waiter: &Waiter) -> Value {
    json!({
        "id": waiter.id,
        "since": waiter.since.to_string(),
        "mode": waiter.mode().to_string(),
        "slots": waiter.mode().slots(),
        "priority": waiter.priority,
        "raised": waiter.raised,
    })
}

fn over(state: &LockState, lease: &Lease) -> Value {
    json!({
        "id": lease.holder,
        "expires": lease.expires.to_string(),
        "expiredSecondsAgo": state.now.after(lease.expires).as_secs_f64(),
        "durationSeconds": lease.duration().map(|duration| duration.as_secs_f64()),
    })
}
