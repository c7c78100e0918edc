//! `run --events`: Kubernetes Events on the lock's object. They never delay the lock.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clap::Args;
use coord_core::{
    BootInstant,
    cli::{Failure, help::heading},
    duration,
    errno::with_sources,
};
use coord_lease::{Signals, WaitReport};
use lockheed::{
    Event, LockName,
    store::{StoreError, StoreErrorKind},
};
#[cfg(feature = "kube")]
use lockheed::{Timestamp, store::ObjectEvent};
use log::Level;
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::sleep};

use super::{StoreArg, backend::Place, store::AnyStore};

/// So many are kept for a server that is away; older ones go. The next life gets them in a variable
/// of its environment, which has room for 128 KiB (`execve(2)`).
const MOST: usize = 16;

/// As many characters of a text are kept; an Event has room for no more.
const LONGEST: usize = 1024;

/// How soon it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// How long the last ones may take before the process ends without them.
const LAST: Duration = Duration::from_secs(2);

const TICK: Duration = Duration::from_millis(20);

#[derive(Args, Clone)]
pub(crate) struct EventArgs {
    /// Record Kubernetes Events on the lock's ConfigMap or Lease when the lock is acquired or lost
    #[arg(long, help_heading = heading::REPORTING)]
    events: bool,
    /// With --events, also record a wait that is longer than this, once
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive, requires = "events", default_value = "5m", help_heading = heading::REPORTING)]
    long_wait: Duration,
}

/// One that is still to be recorded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Recorded {
    is_warning: bool,
    reason: String,
    message: String,
    reporter: String,
    /// Milliseconds since the boot.
    at: u64,
    nonce: u64,
}

/// What records them; nothing where none are wanted.
#[derive(Clone)]
pub(crate) struct Recorder(Option<Arc<Shared>>);

struct Shared {
    id: String,
    long_wait: Duration,
    state: Mutex<State>,
    noticed: Notify,
}

#[derive(Default)]
struct State {
    due: VecDeque<Recorded>,
    /// Since when the lock is waited for, and who is in the way.
    wait: Option<(BootInstant, String)>,
    is_long: bool,
}

impl EventArgs {
    pub(crate) fn are_given(&self) -> bool {
        self.events
    }

    /// # Errors
    /// 64 for a store that has no Events.
    pub(crate) fn check(&self, store: &StoreArg) -> Result<(), Failure> {
        check(self.events, store)
    }
}

/// # Errors
/// 64 for a store that has no Events.
pub(super) fn check(events: bool, store: &StoreArg) -> Result<(), Failure> {
    match store.place() {
        Place::Dir(_) if events => Err(Failure::usage(
            "--events is for --store kube and lease: a directory has no Events",
        )),
        _ => Ok(()),
    }
}

impl Recorded {
    /// Now, by whoever has this ID.
    pub(super) fn now(reporter: &str, is_warning: bool, reason: &str, message: &str) -> Self {
        Self {
            is_warning,
            reason: reason.to_owned(),
            message: message.chars().take(LONGEST).collect(),
            reporter: reporter.chars().take(LONGEST).collect(),
            at: millis(BootInstant::now()),
            nonce: getrandom::u64().unwrap_or_else(|_| millis(BootInstant::now())),
        }
    }

    /// By the store's clock, which shows this now.
    #[cfg(feature = "kube")]
    pub(super) fn whole(&self, now: Timestamp) -> ObjectEvent {
        let ago = millis(BootInstant::now()).saturating_sub(self.at);
        let at = now.since_unix().saturating_sub(Duration::from_millis(ago));
        ObjectEvent {
            is_warning: self.is_warning,
            reason: self.reason.clone(),
            message: self.message.clone(),
            reporter: self.reporter.clone(),
            at: Timestamp::from_unix(at),
            nonce: self.nonce,
        }
    }
}

impl Recorder {
    /// For the holder of this ID, after what the life before has not recorded yet.
    pub(crate) fn new(arguments: &EventArgs, id: &str, before: Vec<Recorded>) -> Self {
        let shared = || Shared {
            id: id.to_owned(),
            long_wait: arguments.long_wait,
            state: Mutex::new(State {
                due: before.into(),
                ..State::default()
            }),
            noticed: Notify::new(),
        };
        Self(arguments.events.then(|| Arc::new(shared())))
    }

    /// Something has happened. It returns at once.
    pub(crate) fn tell(&self, event: &Event) {
        let Some(shared) = &self.0 else { return };
        let mut state = shared.state();
        let id = &shared.id;
        match event {
            Event::Waiting(why) | Event::StillWaiting(why) => {
                let since = state.wait.take().map(|(since, _)| since);
                let since = since.unwrap_or_else(BootInstant::now);
                state.wait = Some((since, why.clone()));
            }
            Event::Acquired(token) => {
                state.wait = None;
                let message = format!("{id:?} acquired the lock, with token {token}");
                shared.push(&mut state, false, "LockAcquired", &message);
            }
            Event::Lost(why) => {
                let message = format!("{id:?} lost the lock: {why}");
                shared.push(&mut state, true, "LockLost", &message);
            }
            Event::NotAcquired(_) => state.wait = None,
            _ => return,
        }
        shared.noticed.notify_one();
    }

    /// Records what is due, as long as the runtime lives.
    pub(crate) fn serve(&self, store: &Arc<AnyStore>, name: &LockName, report: &WaitReport) {
        let Some(shared) = self.0.clone() else { return };
        let (store, name, report) = (store.clone(), name.clone(), report.clone());
        drop(tokio::spawn(async move {
            let mut has_warned = false;
            loop {
                shared.note_long_wait();
                let Some(next) = shared.first() else {
                    shared.idle().await;
                    continue;
                };
                let done = store.record(&name, &next).await;
                if let (Err(error), false) = (&done, has_warned) {
                    let error = with_sources(error);
                    report.log(Level::Warn, format!("cannot record an Event: {error}"));
                    has_warned = true;
                }
                match done {
                    Err(error) if is_passing(&error) => sleep(AGAIN).await,
                    _ => shared.is_done(next.nonce),
                }
            }
        }));
    }

    /// The run is over: the last ones have a short time, unless a signal comes.
    pub(crate) async fn finish(&self, signals: &Signals) {
        let Some(shared) = &self.0 else { return };
        let until = BootInstant::now() + LAST;
        while shared.first().is_some() && BootInstant::now() < until && signals.status().is_none() {
            sleep(TICK).await;
        }
    }

    /// Leaves to the next life what is not recorded yet.
    pub(crate) fn left(&self) -> Vec<Recorded> {
        let due = self.0.as_ref().map(|shared| shared.state().due.clone());
        due.unwrap_or_default().into()
    }
}

impl Shared {
    fn push(&self, state: &mut State, is_warning: bool, reason: &str, message: &str) {
        if state.due.len() == MOST {
            state.due.pop_front();
        }
        let new = Recorded::now(&self.id, is_warning, reason, message);
        state.due.push_back(new);
    }

    fn note_long_wait(&self) {
        let mut state = self.state();
        let Some((since, why)) = state.wait.clone() else {
            return;
        };
        if !state.is_long && BootInstant::now().since(since) >= self.long_wait {
            state.is_long = true;
            let (id, waited) = (&self.id, humantime::format_duration(self.long_wait));
            let message = format!("{id:?} has waited for {waited}: {why}");
            self.push(&mut state, true, "LockWaitLong", &message);
        }
    }

    /// Until something happens, or the wait is long.
    async fn idle(&self) {
        let left = {
            let state = self.state();
            let wait = state.wait.as_ref().filter(|_| !state.is_long);
            wait.map(|(since, _)| {
                self.long_wait
                    .saturating_sub(BootInstant::now().since(*since))
            })
        };
        let noticed = self.noticed.notified();
        match left {
            Some(left) => tokio::select! {
                () = noticed => {}
                () = sleep(left) => {}
            },
            None => noticed.await,
        }
    }

    fn first(&self) -> Option<Recorded> {
        self.state().due.front().cloned()
    }

    fn is_done(&self, nonce: u64) {
        self.state().due.retain(|due| due.nonce != nonce);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// It may be well the next time.
fn is_passing(error: &StoreError) -> bool {
    let kinds = [StoreErrorKind::Unavailable, StoreErrorKind::Unknown];
    kinds.contains(&error.kind())
}

fn millis(at: BootInstant) -> u64 {
    u64::try_from(at.since_boot().as_millis()).unwrap_or_default()
}
