//! What a command shows on a terminal while it waits for a lock.

use std::{
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use coord_core::live::LiveLine;

/// The live line of a wait for one lock.
#[derive(Clone, Debug)]
pub struct WaitLine {
    lock: String,
    line: Arc<Mutex<Option<LiveLine>>>,
}

impl WaitLine {
    /// Shows that the lock is waited for, and how much of the limit is left.
    #[must_use]
    pub fn start(lock: impl Display, limit: Option<Duration>) -> Self {
        let line = LiveLine::start(format!("waiting for lock {lock}"), limit);
        Self {
            lock: lock.to_string(),
            line: Arc::new(Mutex::new(Some(line))),
        }
    }

    /// The lock's name.
    #[must_use]
    pub fn lock(&self) -> &str {
        &self.lock
    }

    /// Shows what is in the way.
    pub fn show(&self, why: impl Display) {
        if let Some(line) = &*self.line.lock().unwrap_or_else(PoisonError::into_inner) {
            line.set(format!("waiting for lock {}: {why}", self.lock));
        }
    }

    /// The wait is over.
    pub fn end(&self) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        drop(line.take());
    }
}
