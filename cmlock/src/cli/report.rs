//! What a command says while it waits and while it holds: log lines, and the live line on a terminal.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cmlock::Event;
use coord_core::live::LiveLine;

/// Says what happens to one lock.
#[derive(Clone)]
pub(crate) struct Report {
    name: String,
    line: Arc<Mutex<Option<LiveLine>>>,
}

impl Report {
    /// Shows that the lock is waited for, on a terminal.
    pub(crate) fn waiting(name: &str, limit: Option<Duration>) -> Self {
        let line = LiveLine::start(format!("waiting for lock {name}"), limit);
        Self {
            name: name.to_owned(),
            line: Arc::new(Mutex::new(Some(line))),
        }
    }

    /// The wait is over.
    pub(crate) fn done_waiting(&self) {
        drop(
            self.line
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    /// For [`cmlock::Lock::on_event`].
    pub(crate) fn handler(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let report = self.clone();
        move |event| report.event(event)
    }

    fn event(&self, event: &Event) {
        let name = &self.name;
        match event {
            Event::Waiting(obstacle) => self.show(&obstacle.to_string()),
            Event::Unreachable(why) => self.show(why),
            _ => {}
        }
        match event {
            Event::Lost(_) => log::error!("lock {name}: {event}"),
            Event::NotExtended(_)
            | Event::NotReleased(_)
            | Event::Unreachable(_)
            | Event::Reachable
            | Event::NotWatchingPods(_) => {
                log::warn!("lock {name}: {event}");
            }
            Event::NoContainer(_)
            | Event::Acquired(_)
            | Event::Freeing(_)
            | Event::Released
            | Event::Waiting(_) => {
                log::info!("lock {name}: {event}");
            }
            _ => log::debug!("lock {name}: {event}"),
        }
    }

    fn show(&self, why: &str) {
        if let Some(line) = &*self.line.lock().unwrap_or_else(PoisonError::into_inner) {
            line.set(format!("waiting for lock {}: {why}", self.name));
        }
    }
}
