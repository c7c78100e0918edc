//! The follower's side: to wait until it is time.
//!
//! While nothing happens it sleeps: entries, the leader's coming and going, and the end of the directory are all events. Where they
//! cannot be had it looks four times a second.

use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
    time::{Duration, Instant},
};

use log::{debug, warn};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::{
    Error, ExitDir, Record,
    entries::{self, Found, WRITING},
    error::Kind,
    events::{Events, News},
    leader,
    life::{self, Proof},
};

/// How often is looked where there are no events.
const LOOK: Duration = Duration::from_millis(250);

/// How often is looked whether the directory is still there, where that is no event.
const SELDOM: Duration = Duration::from_secs(1);

/// How long a directory may be gone before it counts as removed, and how often is looked meanwhile.
const GONE: Duration = Duration::from_secs(1);
const RETURN: Duration = Duration::from_millis(50);

/// A closed file is told before its lock is free, on a busy machine long before: so often is looked again, after a millisecond and then
/// after twice as long each time.
const AGAIN: Range<u32> = 0..12;

/// The same for one that was closed just before the watch began.
const AT_FIRST: Range<u32> = 0..8;

/// Waits for the signal in a directory. It remembers from wait to wait whether it has seen the leader alive, and misses nothing between
/// two waits.
#[derive(Debug)]
pub struct Watcher {
    watch: Option<Watch>,
    since: Instant,
    leader_by: Option<Duration>,
    /// When to look though nothing was heard.
    next: Option<Instant>,
}

/// What a wait ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is time to exit; the record is empty when the leader left none.
    Signalled(Record),
    /// The leader died without signalling, or was not there in time.
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
    /// How often is looked without events.
    poll: Option<Duration>,
    news: News,
    made: bool,
    /// The living leader that was seen.
    leader: Option<Proof>,
    /// Another directory is at the path than the one whose leader lives.
    astray: bool,
    /// The looks that are to come since a file was closed that may have been the leader's.
    again: Range<u32>,
    gone_since: Option<Instant>,
    empty_since: Option<Instant>,
}

impl Watcher {
    /// Watches this directory from now on.
    ///
    /// # Errors
    /// Those of `open(2)`: `ENOENT`, `ENOTDIR`, `EACCES`, `EMFILE`.
    pub fn new(dir: ExitDir) -> Result<Self, Error> {
        Self::with(dir, None)
    }

    /// Looks this often, and uses no events, for filesystems that have none. What is made and removed between two looks is missed.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn polling(dir: ExitDir, every: Duration) -> Result<Self, Error> {
        Self::with(dir, Some(every))
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
        ended.map_err(|kind| self.error(kind))
    }

    /// Looks if there is reason to, and does not wait, for programs with a loop of their own. They check at once, and then whenever
    /// [`descriptor`](Self::descriptor) is readable or the [`pause`](Self::pause) is over.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn check(&mut self) -> Result<Option<Ended>, Error> {
        self.look().map_err(|kind| self.error(kind))
    }

    /// What is readable when something has happened; none where there are no events.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let events = self.watch.as_ref()?.events.as_ref()?;
        Some(events.as_fd())
    }

    /// How long from now there is no need to check while the descriptor is not readable; none means for ever.
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

impl Watch {
    /// Whether the leader lives is asked first of all: it may die at any time.
    fn new(dir: ExitDir, poll: Option<Duration>) -> Result<Self, Kind> {
        let file = leader::open(dir.path())?;
        let leader = life::living(&file)?;
        let mut watch = Self {
            dir,
            file,
            events: None,
            poll,
            news: News::default(),
            made: false,
            again: if leader.is_some() { AT_FIRST } else { 0..0 },
            leader,
            astray: false,
            gone_since: None,
            empty_since: None,
        };
        watch.arm()?;
        Ok(watch)
    }

    fn arm(&mut self) -> Result<(), Kind> {
        if self.poll.is_some() {
            return Ok(());
        }
        self.events = Events::of(self.dir.path())?;
        if self.events.is_some() && !life::can_be_told(&self.file) {
            warn!(
                "the leader of {:?} is known by a lock only, looking four times a second",
                self.dir.path()
            );
        }
        Ok(())
    }

    fn pause(&self) -> Option<Duration> {
        let again = self.again.clone().next();
        let again = again.map(|doublings| Duration::from_millis(1 << doublings));
        let gone = self.gone_since.map(|_| RETURN);
        let empty = self.empty_since.map(|_| WRITING / 4);
        let look = match &self.events {
            None => Some(self.poll.unwrap_or(LOOK)),
            Some(_) if self.astray || self.is_known_by_lock() => Some(LOOK),
            Some(events) => events.may_go_unseen.then_some(SELDOM),
        };
        [again, gone, empty, look].into_iter().flatten().min()
    }

    fn is_known_by_lock(&self) -> bool {
        self.leader == Some(Proof::Directory) || !life::can_be_told(&self.file)
    }

    /// Takes the events; true if one of them is reason to look.
    fn hear(&mut self) -> bool {
        if let Some(events) = &self.events {
            events.drain(&mut self.news);
        }
        self.news.any
    }

    /// The leader is asked about first and the entry looked for then: a leader signals before its life ends.
    fn look(&mut self, overdue: bool) -> Result<Option<Ended>, Kind> {
        let news = std::mem::take(&mut self.news);
        self.made |= news.made;
        self.again.next();
        if !news.closed.is_empty() {
            self.again = AGAIN;
        }
        let living = life::living(&self.file)?;
        match entries::look(self.dir.path()) {
            Ok(Found::Signal(record)) => return Ok(Some(Ended::Signalled(record))),
            Ok(Found::Empty) => return Ok(self.empty(news.written)),
            // An entry that was made and removed has signalled.
            _ if self.made => return Ok(Some(Ended::Signalled(Record::default()))),
            Ok(Found::Nothing) => {}
            Err(Kind::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {
                return self.missing();
            }
            Err(error) => return Err(error),
        }
        self.gone_since = None;
        self.empty_since = None;
        let died = self
            .leader
            .as_ref()
            .is_some_and(|seen| living.as_ref() != Some(seen));
        if died || (living.is_none() && (overdue || self.came_and_died(&news))) {
            return Ok(Some(Ended::LeaderDied));
        }
        self.leader = living;
        self.follow()
    }

    /// Whether a leader has ended whose life was too short to be seen.
    fn came_and_died(&self, news: &News) -> bool {
        let last = life::last(&self.file);
        let of = |proof: &Proof| {
            let mut names = news.closed.iter().filter_map(|name| name.to_str());
            names.any(|name| proof.is_of(name))
        };
        last.as_ref().is_some_and(of)
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

    /// Goes on with the directory that is at the path now. A leader that lives is still in the old one.
    fn follow(&mut self) -> Result<Option<Ended>, Kind> {
        let identity = |entry: fs::Metadata| (entry.dev(), entry.ino());
        let now = fs::metadata(self.dir.path()).map(identity);
        let (Ok(now), Ok(watched)) = (now, self.file.metadata().map(identity)) else {
            return Ok(None);
        };
        self.astray = now != watched && self.leader.is_some();
        if now == watched || self.astray {
            return Ok(None);
        }
        debug!(
            "exit directory {:?} was replaced; following the new one",
            self.dir.path()
        );
        self.file = leader::open(self.dir.path())?;
        self.arm()?;
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
        Err(error) => Err(Kind::call("watch", "poll")(error)),
    }
}
