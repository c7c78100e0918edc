//! The follower's side: waiting until it is time to exit.

use std::{
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::{Error, ExitDir, Record, error::Kind, watch::Watch};

/// Waits for the signal in a directory. From wait to wait it remembers whether it has seen the
/// leader alive, and it misses nothing between two waits.
///
/// ```no_run
/// use std::time::Duration;
/// use exitdir::{Ended, Watcher};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut watcher = Watcher::from_env()?;
/// loop {
///     // one piece of work, and then a pause of a second at most
///     match watcher.wait_timeout(Duration::from_secs(1)) {
///         Ok(Ended::Signalled(_) | Ended::LeaderDied) => break,
///         Ok(Ended::Cancelled) => unreachable!("nobody cancels it"),
///         Err(error) if error.errno() == exitdir::Errno::ETIMEDOUT => {}
///         Err(error) => return Err(error.into()),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Watcher {
    watch: Option<Watch>,
    since: Instant,
    leader_by: Option<Duration>,
    /// When to check even without an event.
    next: Option<Instant>,
}

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is time to exit. The record is empty if the leader left none.
    Signalled(Record),
    /// The leader died without signalling, or did not appear in time.
    LeaderDied,
    /// The caller's descriptor became readable.
    Cancelled,
}

impl Watcher {
    /// Watches this directory from now on.
    ///
    /// # Errors
    /// Those of `open(2)`: `ENOENT`, `ENOTDIR`, `EACCES`, `EMFILE`.
    pub fn new(dir: ExitDir) -> Result<Self, Error> {
        Self::with(dir, None)
    }

    /// Checks this often and uses no events, for filesystems that have none. It misses a signal
    /// that is made and removed between two checks.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn polling(dir: ExitDir, every: Duration) -> Result<Self, Error> {
        Self::with(dir, Some(every))
    }

    /// Watches the directory of `EXIT_DIR`. Without a directory, no signal ever ends a wait.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn from_env() -> Result<Self, Error> {
        ExitDir::from_env().map_or_else(|| Ok(Self::idle()), Self::new)
    }

    /// Watches nothing: only a timeout or the caller's descriptor ends a wait.
    #[must_use]
    pub fn idle() -> Self {
        Self {
            watch: None,
            since: Instant::now(),
            leader_by: None,
            next: Some(Instant::now()),
        }
    }

    /// Treats the leader as dead if it has not been seen alive within this time from now.
    #[must_use]
    pub fn leader_by(mut self, limit: Duration) -> Self {
        self.since = Instant::now();
        self.leader_by = Some(limit);
        self.next = Some(self.since);
        self
    }

    /// Whether a leader was seen alive.
    #[must_use]
    pub fn saw_leader(&self) -> bool {
        self.watch
            .as_ref()
            .is_some_and(|watch| watch.leader.is_some())
    }

    /// Waits until it is time to exit.
    ///
    /// # Errors
    /// `ENOENT` when the directory is missing for more than a second; `ENOTDIR` or `EACCES` when
    /// the path is no longer a readable directory.
    pub fn wait(&mut self) -> Result<Ended, Error> {
        self.wait_or(None, None)
    }

    /// Waits at most this long.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait), and `ETIMEDOUT`.
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Ended, Error> {
        self.wait_or(Some(limit), None)
    }

    /// Waits at most this long, or until the descriptor is readable or hung up.
    ///
    /// # Errors
    /// As for [`wait_timeout`](Self::wait_timeout).
    pub fn wait_or(
        &mut self,
        limit: Option<Duration>,
        cancel: Option<BorrowedFd<'_>>,
    ) -> Result<Ended, Error> {
        let ended = self.wait_for(limit, cancel);
        ended.map_err(|kind| self.error(kind))
    }

    /// Checks if there is a reason to, and does not wait. It is for programs with an event loop of
    /// their own. Call it once at the start, and then whenever [`descriptor`](Self::descriptor) is
    /// readable or [`pause`](Self::pause) has passed.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn check(&mut self) -> Result<Option<Ended>, Error> {
        self.look().map_err(|kind| self.error(kind))
    }

    /// The descriptor that becomes readable when something happens; `None` without events.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let events = self.watch.as_ref()?.events.as_ref()?;
        Some(events.as_fd())
    }

    /// How long from now no check is needed while the descriptor is not readable; `None` means for
    /// ever.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        let next = self.watch.as_ref().and(self.next)?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn with(dir: ExitDir, poll: Option<Duration>) -> Result<Self, Error> {
        let path = dir.path().to_owned();
        let watch = Watch::new(dir, poll).map_err(|kind| kind.at(&path))?;
        Ok(Self {
            watch: Some(watch),
            ..Self::idle()
        })
    }

    fn wait_for(
        &mut self,
        limit: Option<Duration>,
        cancel: Option<BorrowedFd<'_>>,
    ) -> Result<Ended, Kind> {
        let started = Instant::now();
        self.next = Some(started);
        loop {
            if let Some(ended) = self.look()? {
                return Ok(ended);
            }
            let left = limit.map(|limit| limit.saturating_sub(started.elapsed()));
            if let (Some(limit), Some(Duration::ZERO)) = (limit, left) {
                return Err(Kind::TimedOut(limit));
            }
            let pause = self.pause().into_iter().chain(left).min();
            if sleep(pause, self.descriptor(), cancel)? {
                return Ok(Ended::Cancelled);
            }
        }
    }

    fn look(&mut self) -> Result<Option<Ended>, Kind> {
        let (now, since) = (Instant::now(), self.since);
        let Some(watch) = &mut self.watch else {
            return Ok(None);
        };
        let is_due = self.next.is_some_and(|next| next <= now);
        if !watch.hear() && !is_due {
            return Ok(None);
        }
        let left = self
            .leader_by
            .map(|limit| limit.saturating_sub(since.elapsed()));
        let ended = watch.look(left == Some(Duration::ZERO))?;
        let left = left.filter(|_| watch.leader.is_none());
        let pause = watch.pause().into_iter().chain(left).min();
        self.next = pause.and_then(|pause| now.checked_add(pause));
        Ok(ended)
    }

    fn error(&self, kind: Kind) -> Error {
        let dir = self.watch.as_ref().map(|watch| watch.dir.path());
        kind.at(dir.unwrap_or(Path::new("")))
    }
}

impl Ended {
    /// It is time to exit, and the leader's end is unknown.
    pub(crate) fn unknown() -> Self {
        Self::Signalled(Record::default())
    }
}

/// Returns true when the caller's descriptor is readable.
fn sleep(
    pause: Option<Duration>,
    events: Option<BorrowedFd<'_>>,
    cancel: Option<BorrowedFd<'_>>,
) -> Result<bool, Kind> {
    let fds = cancel.into_iter().chain(events);
    let mut polled: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    // Rounded up, so that a wait is never shorter than requested.
    let millis = pause.map(|pause| i32::try_from(pause.as_nanos().div_ceil(1_000_000)));
    let timeout = millis.map_or(PollTimeout::NONE, |millis| {
        millis
            .ok()
            .and_then(|millis| PollTimeout::try_from(millis).ok())
            .unwrap_or(PollTimeout::MAX)
    });
    match poll(&mut polled, timeout) {
        Ok(_) => Ok(cancel.is_some() && polled[0].any().unwrap_or(false)),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(Kind::call("watch", "poll")(error)),
    }
}
