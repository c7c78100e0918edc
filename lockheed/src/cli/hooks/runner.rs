//! The thread that runs the scripts one at a time, and the state that it shares with the observers.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use coord_core::BootInstant;
use coord_lease::WaitReport;
use coord_process::supervise::{Exit, Hook, HookState};
use log::Level;
use nix::libc;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{HookArgs, Kind, Notice, TICK};

/// How long a script has after a TERM, and something that was killed to be gone.
const GRACE: Duration = Duration::from_secs(1);

/// How long a script that is being started is waited for at most before the next life.
const STARTING: u32 = 50;

pub(super) struct Shared {
    arguments: HookArgs,
    id: String,
    state: Mutex<State>,
    changed: Condvar,
    noticed: Notify,
}

#[derive(Default)]
struct State {
    due: VecDeque<Due>,
    is_starting: bool,
    running: Option<Running>,
    is_closed: bool,
    has_waited: bool,
    token: Option<u64>,
}

/// A script that is to be run, as soon as it is known what it is to read.
pub(super) struct Due {
    pub(super) notice: Notice,
    pub(super) input: Option<Vec<u8>>,
}

/// A script that was started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    kind: Kind,
    id: i32,
    /// When it is asked to end, and when it is killed: milliseconds since the boot.
    end_at: u64,
    kill_at: u64,
    #[serde(skip)]
    exit: Option<Exit>,
    /// It was asked to end; why.
    #[serde(skip)]
    asked: Option<&'static str>,
}

impl Shared {
    pub(super) fn new(
        arguments: HookArgs,
        id: &str,
        running: Option<Running>,
        lost: Option<Notice>,
    ) -> Arc<Self> {
        let state = State {
            due: lost.map(Due::of).into_iter().collect(),
            running,
            ..State::default()
        };
        let shared = Arc::new(Self {
            arguments,
            id: id.to_owned(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            noticed: Notify::new(),
        });
        shared.noticed.notify_one();
        shared
    }

    pub(super) fn waiting(&self, why: &str) {
        let mut state = self.state();
        if !state.has_waited {
            state.has_waited = true;
            self.notice(&mut state, Kind::Wait, why);
        }
    }

    pub(super) fn acquired(&self, token: u64) {
        self.state().token = Some(token);
    }

    /// What is known of a wait, or of an earlier loss, matters less: it makes room.
    pub(super) fn lost(&self, why: &str) {
        let mut state = self.state();
        if self.arguments.script(Kind::Lost).is_some() {
            state.due.clear();
            if let Some(running) = &mut state.running {
                running.end("the lock was lost", Duration::ZERO);
            }
        }
        self.notice(&mut state, Kind::Lost, why);
    }

    fn notice(&self, state: &mut State, event: Kind, reason: &str) {
        if self.arguments.script(event).is_none() {
            return;
        }
        state.due.push_back(Due::of(Notice {
            event,
            reason: reason.to_owned(),
            id: self.id.clone(),
            token: state.token,
        }));
        self.noticed.notify_one();
    }

    /// The next one of which it is not known what its script is to read.
    pub(super) async fn next_notice(&self) -> Notice {
        loop {
            let next = {
                let state = self.state();
                let mut unknown = state.due.iter().filter(|due| due.input.is_none());
                unknown.next().map(|due| due.notice.clone())
            };
            match next {
                Some(notice) => return notice,
                None => self.noticed.notified().await,
            }
        }
    }

    /// What the script for this is to read.
    pub(super) fn give(&self, notice: &Notice, input: Vec<u8>) {
        let mut state = self.state();
        if let Some(due) = state.due.iter_mut().find(|due| due.notice == *notice) {
            due.input = Some(input);
        }
        self.changed.notify_all();
    }

    pub(super) fn end_waiting(&self, why: &'static str) {
        let mut state = self.state();
        state.due.retain(|due| due.notice.event == Kind::Lost);
        let running = state.running.as_mut();
        if let Some(running) = running.filter(|running| running.kind == Kind::Wait) {
            running.end(why, GRACE);
        }
    }

    pub(super) fn end_all(&self, why: &'static str) {
        let mut state = self.state();
        state.due.clear();
        if let Some(running) = &mut state.running {
            running.end(why, GRACE);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        let state = self.state();
        state.due.is_empty() && !state.is_starting && state.running.is_none()
    }

    pub(super) fn hand_over(&self) -> super::Unfinished {
        let mut state = self.state();
        state.is_closed = true;
        for _ in 0..STARTING {
            if !state.is_starting {
                break;
            }
            drop(state);
            thread::sleep(TICK);
            state = self.state();
        }
        let due: Vec<_> = state.due.drain(..).map(|due| due.notice).collect();
        let lost = due.into_iter().rfind(|notice| notice.event == Kind::Lost);
        super::Unfinished {
            running: state.running.take(),
            lost,
        }
    }

    /// Runs what is due, as long as the process lives.
    pub(super) fn run(&self, report: &WaitReport) {
        let mut state = self.state();
        while !state.is_closed {
            let said = state
                .running
                .as_mut()
                .map(|running| running.look(self.arguments.hook_timeout));
            match said {
                Some(Look::Runs) => state = self.tick(state),
                Some(Look::Over(kind, what)) => {
                    state.running = None;
                    drop(state);
                    if let Some(what) = what {
                        let option = kind.option();
                        report.log(Level::Warn, format!("the script of {option} {what}"));
                    }
                    state = self.state();
                }
                None => state = self.start_next(state, report),
            }
        }
    }

    fn tick<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let woken = self.changed.wait_timeout(state, TICK);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Nobody waits for the lock on the state while a script is being started.
    fn start_next<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        report: &WaitReport,
    ) -> MutexGuard<'a, State> {
        let is_ready = |due: &Due| due.input.is_some();
        let Some(at) = state.due.iter().position(is_ready) else {
            let woken = self.changed.wait(state);
            return woken.unwrap_or_else(PoisonError::into_inner);
        };
        let Some(due) = state.due.remove(at) else {
            return state;
        };
        state.is_starting = true;
        drop(state);
        let kind = due.notice.event;
        let script = OsStr::new(self.arguments.script(kind).unwrap_or_default());
        let started = Hook::start(script, &due.input.unwrap_or_default());
        if let Err(error) = &started {
            let option = kind.option();
            report.log(
                Level::Warn,
                format!("cannot run the script of {option}: {error}"),
            );
        }
        let mut state = self.state();
        state.is_starting = false;
        state.running = started.ok().map(|hook| {
            let end_at = now() + millis(self.arguments.hook_timeout);
            Running {
                kind,
                id: hook.id(),
                end_at,
                kill_at: end_at + millis(GRACE),
                exit: None,
                asked: None,
            }
        });
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Look {
    Runs,
    /// What there is to say of it.
    Over(Kind, Option<String>),
}

impl Running {
    /// Asks it to end now, and kills it so much later.
    fn end(&mut self, why: &'static str, grace: Duration) {
        if self.asked.is_none() {
            self.asked = Some(why);
            Hook::of(self.id).signal(libc::SIGTERM);
        }
        self.kill_at = self.kill_at.min(now() + millis(grace));
    }

    fn look(&mut self, limit: Duration) -> Look {
        let hook = Hook::of(self.id);
        loop {
            match hook.look() {
                HookState::Runs => break,
                HookState::Ended(exit) => self.exit = Some(exit),
                HookState::Gone => return Look::Over(self.kind, self.said(limit)),
            }
        }
        let now = now();
        if now >= self.kill_at + millis(GRACE) {
            let what = "cannot be killed, and is left alone";
            return Look::Over(self.kind, Some(what.to_owned()));
        }
        if now >= self.kill_at {
            hook.signal(libc::SIGKILL);
        } else if now >= self.end_at {
            self.end("", GRACE);
        }
        Look::Runs
    }

    fn said(&self, limit: Duration) -> Option<String> {
        match (self.asked, self.exit) {
            (Some(""), _) => {
                let limit = humantime::format_duration(limit);
                Some(format!("did not end within {limit}, and was ended"))
            }
            (Some(why), _) => Some(format!("was ended, since {why}")),
            (None, Some(Exit::Code(code))) if code > 0 => Some(format!("ended with status {code}")),
            (None, Some(Exit::Signal(number))) => Some(format!("was ended by signal {number}")),
            (None, _) => None,
        }
    }
}

fn now() -> u64 {
    millis(BootInstant::now().since_boot())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}
