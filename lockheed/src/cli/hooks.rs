//! `run --on-wait` and `--on-lost`: scripts that hear of the lock's events and never delay the
//! lock.

mod runner;

use std::{sync::Arc, time::Duration};

use clap::{Args, builder::NonEmptyStringValueParser};
use coord_core::{
    cli::{Failure, help::heading},
    duration,
    errno::with_sources,
};
use coord_lease::{Signals, WaitReport};
use lockheed::{Event, LockName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

pub(crate) use self::runner::Running;
use self::runner::{Due, Shared};
use super::{quiet_thread, show::all_in_json, store::AnyStore};

/// How long the lock's state is asked for.
const SOON: Duration = Duration::from_secs(1);

/// How often it is looked whether a script has ended.
const TICK: Duration = Duration::from_millis(20);

#[derive(Args, Clone)]
pub(crate) struct HookArgs {
    /// Shell script to run (sh -c) when the wait begins because somebody else holds the lock; it
    /// gets the lock as JSON on standard input
    #[arg(long, value_name = "SCRIPT", value_parser = NonEmptyStringValueParser::new(), help_heading = heading::REPORTING)]
    on_wait: Option<String>,
    /// Shell script to run (sh -c) when the lock was lost; it gets the lock as JSON on standard
    /// input
    #[arg(long, value_name = "SCRIPT", value_parser = NonEmptyStringValueParser::new(), help_heading = heading::REPORTING)]
    on_lost: Option<String>,
    /// Time limit of a script of --on-wait or --on-lost, after which it is ended
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive, default_value = "10s", help_heading = heading::REPORTING)]
    hook_timeout: Duration,
}

/// What a script is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Wait,
    Lost,
}

/// What has happened, for a script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notice {
    event: Kind,
    /// Who is in the way, or why the lock was lost.
    reason: String,
    /// Whose wait it is, or whose lock it was.
    id: String,
    token: Option<u64>,
}

/// What one life leaves to the next.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Unfinished {
    running: Option<Running>,
    lost: Option<Notice>,
}

/// The scripts, and the thread that runs one of them at a time; nothing where there are none.
#[derive(Clone)]
pub(crate) struct Hooks(Option<Arc<Shared>>);

impl HookArgs {
    pub(crate) fn are_given(&self) -> bool {
        self.on_wait.is_some() || self.on_lost.is_some()
    }

    fn script(&self, kind: Kind) -> Option<&str> {
        match kind {
            Kind::Wait => self.on_wait.as_deref(),
            Kind::Lost => self.on_lost.as_deref(),
        }
    }
}

impl Kind {
    fn option(self) -> &'static str {
        match self {
            Self::Wait => "--on-wait",
            Self::Lost => "--on-lost",
        }
    }
}

impl Hooks {
    /// For the holder of this ID, after what the life before has left.
    pub(crate) fn start(
        arguments: &HookArgs,
        id: &str,
        report: &WaitReport,
        before: Option<Unfinished>,
    ) -> Result<Self, Failure> {
        if !arguments.are_given() {
            return Ok(Self(None));
        }
        let Unfinished { running, lost } = before.unwrap_or_default();
        let shared = Shared::new(arguments.clone(), id, running, lost);
        let (runner, report) = (shared.clone(), report.clone());
        quiet_thread("lockheed-hook", move || runner.run(&report))?;
        Ok(Self(Some(shared)))
    }

    /// Something has happened. It returns at once.
    pub(crate) fn tell(&self, event: &Event) {
        let Some(shared) = &self.0 else { return };
        match event {
            Event::Waiting(why) => shared.waiting(why),
            Event::Acquired(token) => shared.acquired(token.get()),
            Event::Lost(why) => shared.lost(&why.to_string()),
            _ => {}
        }
    }

    /// Finds out for each script what it is to know, as long as the runtime lives.
    pub(crate) fn serve(&self, store: &Arc<AnyStore>, name: &LockName) {
        let Some(shared) = self.0.clone() else { return };
        let (store, name) = (store.clone(), name.clone());
        drop(tokio::spawn(async move {
            loop {
                let notice = shared.next_notice().await;
                let input = input(&store, &name, &notice).await;
                shared.give(&notice, input);
            }
        }));
    }

    /// The run is over: a script for its wait is ended, one for its loss has the rest of its time,
    /// unless a signal comes.
    pub(crate) async fn finish(&self, signals: &Signals) {
        let Some(shared) = &self.0 else { return };
        shared.end_waiting("the wait is over");
        while !shared.is_idle() {
            if signals.status().is_some() {
                shared.end_all("a signal has come");
            }
            sleep(TICK).await;
        }
    }

    /// Leaves everything to the next life, and starts nothing more.
    pub(crate) fn hand_over(&self) -> Unfinished {
        self.0
            .as_ref()
            .map(|shared| shared.hand_over())
            .unwrap_or_default()
    }
}

/// The lock as `inspect` shows it, and what has happened.
async fn input(store: &Arc<AnyStore>, name: &LockName, notice: &Notice) -> Vec<u8> {
    let unknown =
        |why: String| json!({"name": name.as_str(), "key": name.key(), "held": null, "error": why});
    let mut json = match timeout(SOON, lockheed::inspect(store, name)).await {
        Ok(Ok(state)) => all_in_json(&state),
        Ok(Err(error)) => unknown(with_sources(&error)),
        Err(_) => unknown("the store does not answer".to_owned()),
    };
    if let (Value::Object(json), Ok(Value::Object(notice))) =
        (&mut json, serde_json::to_value(notice))
    {
        json.extend(notice);
    }
    format!("{json}\n").into_bytes()
}

impl Due {
    fn of(notice: Notice) -> Self {
        Self {
            notice,
            input: None,
        }
    }
}
