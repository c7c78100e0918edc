//! Handles TERM, INT and HUP while something must be released: the wait ends first, and then the
//! process.

use std::{
    fs,
    sync::Arc,
    sync::atomic::{AtomicI32, Ordering},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

use coord_core::{Status, cli::Failure};

/// The first of these signals that came, if any.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    number: Arc<AtomicI32>,
    came: Arc<Notify>,
}

impl Signals {
    /// Call this in a runtime, before anything is held. A signal that is ignored stays ignored, for
    /// example under `nohup(1)`.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn catch() -> Result<Self, Failure> {
        let signals = Self::default();
        let ignored = ignored();
        let kinds = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
        ];
        for kind in kinds
            .into_iter()
            .filter(|kind| ignored & (1 << (kind.as_raw_value() - 1)) == 0)
        {
            let mut stream = signal(kind)?;
            let signals = signals.clone();
            tokio::spawn(async move {
                if stream.recv().await.is_some() {
                    let _ = signals.number.compare_exchange(
                        0,
                        kind.as_raw_value(),
                        Ordering::SeqCst,
                        Ordering::SeqCst,
                    );
                    signals.came.notify_one();
                }
            });
        }
        Ok(signals)
    }

    /// Returns when a signal has come.
    pub async fn came(self) {
        while self.status().is_none() {
            self.came.notified().await;
        }
    }

    /// The exit status for the signal that came.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let number = self.number.load(Ordering::SeqCst);
        (number != 0).then(|| Status::from_signal(number))
    }
}

#[cfg(test)]
impl Signals {
    /// As if this signal had come.
    pub(crate) fn of(number: i32) -> Self {
        let signals = Self::default();
        signals.number.store(number, Ordering::SeqCst);
        signals
    }
}

/// The mask of ignored signals (`proc_pid_status(5)`); zero if it cannot be read.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
