//! The follower's side: to wait until it is time.
//!
//! inotify wakes the watcher at once; besides, it looks four times a second whether the leader lives and whether the directory is
//! still the same. Where inotify is used up or a filesystem has no events, that look alone must do.

use std::{
    fs::{self, File},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    time::{Duration, Instant},
};

use log::{debug, warn};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
};

use crate::{Error, ExitDir, Record, error::Kind, leader};

/// How often the leader and the directory are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How long a directory may be gone before it counts as removed.
const GONE: Duration = Duration::from_secs(1);

/// Waits for the signal in a directory.
#[derive(Clone, Debug)]
pub struct Watcher {
    dir: Option<ExitDir>,
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

impl Watcher {
    /// Watches this directory.
    #[must_use]
    pub fn new(dir: ExitDir) -> Self {
        Self {
            dir: Some(dir),
            leader_by: None,
            poll: None,
        }
    }

    /// Watches the directory of `EXIT_DIR`. Without one, a wait never ends by a signal.
    #[must_use]
    pub fn from_env() -> Self {
        Self {
            dir: ExitDir::from_env(),
            leader_by: None,
            poll: None,
        }
    }

    /// Takes a leader for dead that was not seen alive within this time.
    #[must_use]
    pub fn leader_by(mut self, limit: Duration) -> Self {
        self.leader_by = Some(limit);
        self
    }

    /// Looks this often, and uses no events.
    #[must_use]
    pub fn poll(mut self, every: Duration) -> Self {
        self.poll = Some(every);
        self
    }

    /// Waits until it is time to exit.
    ///
    /// # Errors
    /// `ENOENT` when there is no such directory or it was removed for more than a second, `ENOTDIR`, `EACCES`.
    pub fn wait(&self) -> Result<Ended, Error> {
        self.wait_or(None, None)
    }

    /// Waits for at most this long.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait), and `ETIMEDOUT`.
    pub fn wait_timeout(&self, limit: Duration) -> Result<Ended, Error> {
        self.wait_or(Some(limit), None)
    }

    /// Waits for at most this long, or until the descriptor is readable or hung up.
    ///
    /// # Errors
    /// As for [`wait_timeout`](Self::wait_timeout).
    pub fn wait_or(
        &self,
        limit: Option<Duration>,
        cancel: Option<BorrowedFd<'_>>,
    ) -> Result<Ended, Error> {
        let started = Instant::now();
        let Some(dir) = &self.dir else {
            return never(limit, cancel);
        };
        let wait = || {
            let mut watch = Watch::new(dir, self.poll.is_none())?;
            loop {
                if let Some(ended) = watch.look(self.leader_by, started)? {
                    return Ok(ended);
                }
                let left = limit.map(|limit| limit.saturating_sub(started.elapsed()));
                if let (Some(limit), Some(Duration::ZERO)) = (limit, left) {
                    return Err(Kind::TimedOut(limit));
                }
                let pause = self.poll.unwrap_or(LOOK).min(left.unwrap_or(Duration::MAX));
                if sleep(pause, watch.events.as_ref().map(AsFd::as_fd), cancel)? {
                    return Ok(Ended::Cancelled);
                }
            }
        };
        wait().map_err(|kind| kind.at(dir.path()))
    }
}

/// A directory under watch.
struct Watch<'a> {
    dir: &'a ExitDir,
    file: File,
    events: Option<Inotify>,
    leader_seen: bool,
    gone_since: Option<Instant>,
}

impl<'a> Watch<'a> {
    fn new(dir: &'a ExitDir, with_events: bool) -> Result<Self, Kind> {
        let file = dir.open()?;
        let events = if with_events { events(dir)? } else { None };
        Ok(Self {
            dir,
            file,
            events,
            leader_seen: false,
            gone_since: None,
        })
    }

    /// The lock is asked about first and the entry looked for then: a leader signals before it lets the lock go.
    fn look(
        &mut self,
        leader_by: Option<Duration>,
        started: Instant,
    ) -> Result<Option<Ended>, Kind> {
        self.drain();
        let lives = leader::lives(&self.file)?;
        self.leader_seen |= lives;
        match self.dir.look() {
            Ok(Some(record)) => return Ok(Some(Ended::Signalled(record))),
            Ok(None) => {}
            Err(Kind::Io(_, error)) if error.kind() == std::io::ErrorKind::NotFound => {
                return self.missing();
            }
            Err(error) => return Err(error),
        }
        self.gone_since = None;
        let overdue =
            !self.leader_seen && leader_by.is_some_and(|limit| started.elapsed() >= limit);
        if !lives && (self.leader_seen || overdue) {
            return Ok(Some(Ended::LeaderDied));
        }
        self.follow()
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
        if now != watched && !self.leader_seen {
            debug!(
                "exit directory {:?} was replaced; following the new one",
                self.dir.path()
            );
            self.file = self.dir.open()?;
            self.events = if self.events.is_some() {
                events(self.dir)?
            } else {
                None
            };
            return Ok(self.dir.look()?.map(Ended::Signalled));
        }
        Ok(None)
    }

    fn drain(&self) {
        while self
            .events
            .as_ref()
            .is_some_and(|events| events.read_events().is_ok())
        {}
    }
}

/// Events of the directory; none, with a warning, when inotify is used up.
fn events(dir: &ExitDir) -> Result<Option<Inotify>, Kind> {
    let watch = || {
        let events = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let wanted = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        events.add_watch(dir.path(), wanted).map(|_| events)
    };
    match watch() {
        Ok(events) => Ok(Some(events)),
        Err(
            error @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOSPC | Errno::ENOMEM | Errno::ENOSYS),
        ) => {
            warn!(
                "no events for {:?}, looking four times a second: {error}",
                dir.path()
            );
            Ok(None)
        }
        Err(error) => Err(Kind::io("watch")(error)),
    }
}

/// True when the caller's descriptor is readable.
fn sleep(
    pause: Duration,
    events: Option<BorrowedFd<'_>>,
    cancel: Option<BorrowedFd<'_>>,
) -> Result<bool, Kind> {
    let fds = cancel.into_iter().chain(events);
    let mut polled: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    let millis = u16::try_from(pause.as_nanos().div_ceil(1_000_000)).unwrap_or(u16::MAX);
    match poll(&mut polled, PollTimeout::from(millis)) {
        Ok(_) => Ok(cancel.is_some() && polled[0].any().unwrap_or(false)),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(Kind::io("watch")(error)),
    }
}

/// Without a directory nothing ever signals.
fn never(limit: Option<Duration>, cancel: Option<BorrowedFd<'_>>) -> Result<Ended, Error> {
    let started = Instant::now();
    let none = std::path::Path::new("");
    loop {
        let left = limit.map_or(Duration::MAX, |limit| {
            limit.saturating_sub(started.elapsed())
        });
        if let (Some(limit), Duration::ZERO) = (limit, left) {
            return Err(Kind::TimedOut(limit).at(none));
        }
        if sleep(left, None, cancel).map_err(|kind| kind.at(none))? {
            return Ok(Ended::Cancelled);
        }
    }
}
