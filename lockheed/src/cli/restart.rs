//! `run --restart`: after a loss, this program executes itself again and waits for the lock as a
//! new holder.

use std::{sync::Arc, time::Duration};

use coord_core::{BootInstant, Errno, Status, cli::Failure};
use coord_lease::{Backoff, Random, Signals, WaitReport};
use coord_process::supervise::reexec::{self, Inherited, SignalMask};
use lockheed::{HeldSet, LeaseLost, Lock, LockName};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::{events::Recorded, hooks::Unfinished, metrics::Counts, store::AnyStore};

/// Where one life finds what the one before has left.
const VARIABLE: &str = "LOCKHEED_LIFE";

/// A lock that was held for so long was not lost at once.
const LONG: Duration = Duration::from_secs(10);

/// The longest pause before the lock is tried for again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long the old lease is seen to before the lock is tried for.
const SOON: Duration = Duration::from_secs(1);

/// What was before this life of the command.
pub(crate) struct Past {
    /// None in the first life.
    left: Option<Left>,
    /// The signal mask that the process was started with. In later lives all are blocked until the
    /// handlers are installed.
    pub(crate) mask: SignalMask,
}

/// What one life leaves to the next.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Left {
    /// How often in a row the lock was lost soon after it was acquired.
    losses: u32,
    /// The holder's ID, whose lease may still be there.
    holder: Option<String>,
    pub(crate) hooks: Unfinished,
    pub(crate) counts: Option<Counts>,
    pub(crate) events: Vec<Recorded>,
}

impl Past {
    /// To be called before there are threads.
    pub(crate) fn inherited(restart: bool) -> Self {
        let inherited = restart.then(|| reexec::inherited(VARIABLE)).flatten();
        match inherited {
            Some(Inherited { text, mask }) => Self {
                // This very process wrote it.
                left: Some(serde_json::from_str(&text).unwrap_or_default()),
                mask,
            },
            None => Self {
                left: None,
                mask: SignalMask::current(),
            },
        }
    }

    pub(crate) fn is_there(&self) -> bool {
        self.left.is_some()
    }

    pub(crate) fn hooks(&self) -> Option<Unfinished> {
        self.left.as_ref().map(|left| left.hooks.clone())
    }

    pub(crate) fn counts(&self) -> Option<Counts> {
        self.left.as_ref().and_then(|left| left.counts.clone())
    }

    pub(crate) fn events(&self) -> Vec<Recorded> {
        let left = self.left.as_ref();
        left.map(|left| left.events.clone()).unwrap_or_default()
    }

    /// Ends the old lease, under which nothing runs any more, and pauses where locks are lost again
    /// and again.
    pub(crate) async fn settle(
        &self,
        store: &Arc<AnyStore>,
        names: &[LockName],
        signals: &Signals,
        report: &WaitReport,
    ) {
        let Some(left) = &self.left else { return };
        report.announce("waiting to run the command again");
        for name in names {
            let Some(holder) = &left.holder else { break };
            let old = Lock::new(store.clone(), name.clone()).id(holder).patient();
            if timeout(SOON, old.release()).await.is_err() {
                drop(tokio::spawn(release_in_time(old)));
            }
        }
        tokio::select! {
            () = sleep(left.pause()) => {}
            () = signals.clone().came() => {}
        }
    }

    /// What is left of locks that were held since then.
    pub(crate) fn left(&self, held: &HeldSet, since: BootInstant) -> Left {
        let before = self.left.as_ref().map_or(0, |left| left.losses);
        let was_long = BootInstant::now().since(since) >= LONG;
        let is_gone = [Some(LeaseLost::Taken), Some(LeaseLost::Deleted)];
        let mut left = held.iter();
        let left = left.find(|held| !is_gone.contains(&held.lease().lost_because()));
        Left {
            losses: if was_long {
                0
            } else {
                before.saturating_add(1)
            },
            holder: left.map(|held| held.id().to_owned()),
            ..Left::default()
        }
    }

    /// Begins another life. Signals are blocked. Returns only when it fails: why.
    pub(crate) fn execute_again(&self, left: &Left) -> Failure {
        let error = match serde_json::to_string(left) {
            Ok(left) => reexec::execute(VARIABLE, &left, &self.mask),
            Err(error) => error.into(),
        };
        let text = format!("cannot execute this program again: {error}");
        Failure::new(Status::FAILED, text)
    }
}

impl Left {
    fn pause(&self) -> Duration {
        let mut random = Random::new(getrandom::u64().unwrap_or_default());
        let mut backoff = Backoff::new(LONGEST_PAUSE);
        let pauses = (0..self.losses.min(u64::BITS)).map(|_| backoff.pause(&mut random, None));
        pauses.last().unwrap_or_default()
    }
}

/// A store that was away longer than a lease's length: the lease would keep the lock from everybody
/// for as long again.
async fn release_in_time(lock: Lock<Arc<AnyStore>>) {
    while let Err(error) = lock.release().await {
        if [Errno::EACCES, Errno::EINVAL].contains(&error.errno()) {
            return;
        }
        sleep(SOON).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_with_each_loss_and_ends_growing() {
        let pause = |losses| {
            let left = Left {
                losses,
                ..Left::default()
            };
            left.pause()
        };
        assert_eq!(pause(0), Duration::ZERO);
        assert!(pause(1) < Duration::from_millis(100));
        assert!(pause(5) > Duration::from_millis(300));
        for losses in [20, 1_000, u32::MAX] {
            let half = LONGEST_PAUSE / 2;
            assert!((half..=half * 3).contains(&pause(losses)));
        }
    }
}
