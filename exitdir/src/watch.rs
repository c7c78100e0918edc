//! The follower's side: to wait until it is time.
//!
//! inotify wakes the watcher at once; besides, it looks four times a second whether the leader lives and whether the directory is
//! still the same. Where inotify is used up or a filesystem has no events, that look alone must do.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
    time::{Duration, Instant},
};

use log::debug;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::{
    Error, ExitDir, Record,
    dir::{Found, WRITING},
    error::Kind,
    events::Events,
    leader,
};

/// How often the leader and the directory are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How long a directory may be gone before it counts as removed.
const GONE: Duration = Duration::from_secs(1);

/// Waits for the signal in a directory. It remembers from wait to wait whether it has seen the leader alive.
#[derive(Debug)]
pub struct Watcher {
    watch: Option<Watch>,
    since: Instant,
    leader_by: Option<Duration>,
    poll: Option<Duration>,
}

/// What a wait ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is time to exit; the record is empty when the leader left none.
    Signalled(Record),
    /// The leader died without a word.
    LeaderDied,
    /// The caller's descriptor became readable.
    Cancelled,
}

/// A directory under watch.
#[derive(Debug)]
struct Watch {
    dir: ExitDir,
    file: File,
    events: Option<Events>,
    leader_seen: bool,
    gone_since: Option<Instant>,
    empty_since: Option<Instant>,
}

impl Watcher {
    /// Watches this directory from now on.
    ///
    /// # Errors
    /// Those of `open(2)`: `ENOENT`, `ENOTDIR`, `EACCES`, `EMFILE`.
    pub fn new(dir: ExitDir) -> Result<Self, Error> {
        let path = dir.path().to_owned();
        let watch = Watch::new(dir).map_err(|kind| kind.at(&path))?;
        Ok(Self::with(Some(watch)))
    }

    /// Watches the directory of `EXIT_DIR`. Without one, a wait never ends by a signal.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn from_env() -> Result<Self, Error> {
        ExitDir::from_env().map_or_else(|| Ok(Self::idle()), Self::new)
    }

    /// Watches nothing: its wait ends by its limit or the caller's descriptor alone.
    #[must_use]
    pub fn idle() -> Self {
        Self::with(None)
    }

    /// Takes a leader for dead that was not seen alive within this time from now.
    #[must_use]
    pub fn leader_by(mut self, limit: Duration) -> Self {
        self.since = Instant::now();
        self.leader_by = Some(limit);
        self
    }

    /// Looks this often, and uses no events, for filesystems that have none.
    #[must_use]
    pub fn poll(mut self, every: Duration) -> Self {
        self.poll = Some(every);
        self
    }

    /// Waits until it is time to exit.
    ///
    /// # Errors
    /// `ENOENT` when the directory is gone for more than a second, `ENOTDIR` or `EACCES` when it is no longer what it was.
    pub fn wait(&mut self) -> Result<Ended, Error> {
        self.wait_or(None, None)
    }

    /// Waits for at most this long.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait), and `ETIMEDOUT`.
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Ended, Error> {
        self.wait_or(Some(limit), None)
    }

    /// Waits for at most this long, or until the descriptor is readable or hung up.
    ///
    /// # Errors
    /// As for [`wait_timeout`](Self::wait_timeout).
    pub fn wait_or(
        &mut self,
        limit: Option<Duration>,
        cancel: Option<BorrowedFd<'_>>,
    ) -> Result<Ended, Error> {
        let ended = self.wait_for(limit, cancel);
        let path = self
            .watch
            .as_ref()
            .map_or(Path::new(""), |watch| watch.dir.path());
        ended.map_err(|kind| kind.at(path))
    }

    fn with(watch: Option<Watch>) -> Self {
        Self {
            watch,
            since: Instant::now(),
            leader_by: None,
            poll: None,
        }
    }

    fn wait_for(
        &mut self,
        limit: Option<Duration>,
        cancel: Option<BorrowedFd<'_>>,
    ) -> Result<Ended, Kind> {
        let started = Instant::now();
        if let (Some(watch), None) = (&mut self.watch, self.poll) {
            watch.arm()?;
        }
        loop {
            let overdue = self
                .leader_by
                .is_some_and(|limit| self.since.elapsed() >= limit);
            if let Some(watch) = &mut self.watch
                && let Some(ended) = watch.look(overdue)?
            {
                return Ok(ended);
            }
            let left = limit.map(|limit| limit.saturating_sub(started.elapsed()));
            if let (Some(limit), Some(Duration::ZERO)) = (limit, left) {
                return Err(Kind::TimedOut(limit));
            }
            let pause = self.watch.as_ref().map(|watch| watch.pause(self.poll));
            let pause = pause.into_iter().chain(left).min();
            let events = self.watch.as_ref().and_then(|watch| watch.events.as_ref());
            if sleep(pause, events.map(AsFd::as_fd), cancel)? {
                return Ok(Ended::Cancelled);
            }
        }
    }
}

impl Watch {
    /// Whether the leader lives is asked first of all: it may die before the first wait.
    fn new(dir: ExitDir) -> Result<Self, Kind> {
        let file = leader::open(dir.path())?;
        let leader_seen = leader::lives(&file)?;
        Ok(Self {
            dir,
            file,
            events: None,
            leader_seen,
            gone_since: None,
            empty_since: None,
        })
    }

    fn arm(&mut self) -> Result<(), Kind> {
        if self.events.is_none() {
            self.events = Events::of(self.dir.path())?;
        }
        Ok(())
    }

    fn pause(&self, poll: Option<Duration>) -> Duration {
        let look = poll.unwrap_or(LOOK);
        if self.empty_since.is_some() {
            look.min(WRITING)
        } else {
            look
        }
    }

    /// The lock is asked about first and the entry looked for then: a leader signals before it lets the lock go.
    fn look(&mut self, overdue: bool) -> Result<Option<Ended>, Kind> {
        let written = self.events.as_ref().is_some_and(Events::drain);
        let lives = leader::lives(&self.file)?;
        self.leader_seen |= lives;
        match self.dir.look() {
            Ok(Found::Signal(record)) => return Ok(Some(Ended::Signalled(record))),
            Ok(Found::Empty) => return Ok(self.empty(written)),
            Ok(Found::Nothing) => {}
            Err(Kind::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {
                return self.missing();
            }
            Err(error) => return Err(error),
        }
        self.gone_since = None;
        self.empty_since = None;
        if !lives && (self.leader_seen || overdue) {
            return Ok(Some(Ended::LeaderDied));
        }
        self.follow()
    }

    /// An older leader's record, or one that is being written.
    fn empty(&mut self, written: bool) -> Option<Ended> {
        let since = *self.empty_since.get_or_insert_with(Instant::now);
        (written || since.elapsed() >= WRITING).then(|| Ended::Signalled(Record::default()))
    }

    fn missing(&mut self) -> Result<Option<Ended>, Kind> {
        let since = *self.gone_since.get_or_insert_with(Instant::now);
        if since.elapsed() < GONE {
            Ok(None)
        } else {
            Err(Kind::Removed)
        }
    }

    /// Goes on with the directory that is at the path now. The lock of a living leader is still on the old one.
    fn follow(&mut self) -> Result<Option<Ended>, Kind> {
        let identity = |entry: fs::Metadata| (entry.dev(), entry.ino());
        let now = fs::metadata(self.dir.path()).map(identity);
        let (Ok(now), Ok(watched)) = (now, self.file.metadata().map(identity)) else {
            return Ok(None);
        };
        if now == watched || self.leader_seen {
            return Ok(None);
        }
        debug!(
            "exit directory {:?} was replaced; following the new one",
            self.dir.path()
        );
        self.file = leader::open(self.dir.path())?;
        if self.events.take().is_some() {
            self.arm()?;
        }
        // An entry, or a leader, may have come between.
        self.look(false)
    }
}

/// True when the caller's descriptor is readable.
fn sleep(
    pause: Option<Duration>,
    events: Option<BorrowedFd<'_>>,
    cancel: Option<BorrowedFd<'_>>,
) -> Result<bool, Kind> {
    let fds = cancel.into_iter().chain(events);
    let mut polled: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    // Rounded up, so that a wait is never shorter than was asked for.
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
        Err(error) => Err(Kind::io("watch")(error)),
    }
}
