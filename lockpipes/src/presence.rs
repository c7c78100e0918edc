//! Whether a FIFO is still at its path, without looking again and again: `inotify(7)` on the FIFO itself tells when it is unlinked, replaced or
//! moved. Where there are no events it is looked once a second.
//!
//! Closing an inotify instance takes the kernel milliseconds, which a process that ends has to wait for. So a wait that is over soon
//! does without.

use std::{
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use log::warn;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
};

use crate::{error::Kind, fifo::Fifo};

/// How long a wait does without events.
const SOON: Duration = Duration::from_millis(100);

/// How often is looked where there are no events.
const OFTEN: Duration = Duration::from_secs(1);

/// How often is looked beside the events: a directory further up that is moved is no event of the FIFO.
const SELDOM: Duration = Duration::from_secs(90);

/// Waits that end when the FIFO goes from its path.
#[derive(Debug)]
pub(crate) struct Presence<'a> {
    fifo: &'a Fifo,
    events: Option<Inotify>,
    next_look: Instant,
    pause: Duration,
}

impl<'a> Presence<'a> {
    pub(crate) fn of(fifo: &'a Fifo) -> Self {
        Self {
            fifo,
            events: None,
            next_look: Instant::now() + SOON,
            pause: SOON,
        }
    }

    /// Sleeps until the descriptor is ready, and returns what it is ready for: nothing after a signal, at the deadline, and when it is
    /// time to ask [`check`](Self::check).
    pub(crate) fn poll(
        &self,
        fd: BorrowedFd<'_>,
        deadline: Option<Instant>,
    ) -> Result<PollFlags, Kind> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut polled = vec![readable(fd)];
        polled.extend(self.events.iter().map(|events| readable(events.as_fd())));
        let wake = deadline.map_or(self.next_look, |deadline| deadline.min(self.next_look));
        let left = wake.saturating_duration_since(Instant::now());
        match poll(&mut polled, in_millis(left)) {
            Ok(_) => Ok(polled[0].revents().unwrap_or(PollFlags::empty())),
            Err(Errno::EINTR) => Ok(PollFlags::empty()),
            Err(error) => Err(Kind::call("poll")(error)),
        }
    }

    /// Fails when the FIFO has gone.
    pub(crate) fn check(&mut self) -> Result<(), Kind> {
        let told = self
            .events
            .as_ref()
            .is_some_and(|events| events.read_events().is_ok());
        let is_due = self.next_look <= Instant::now();
        if !told && !is_due {
            return Ok(());
        }
        if self.events.is_none() {
            self.events = self.watch();
            self.pause = if self.events.is_some() { SELDOM } else { OFTEN };
        }
        self.next_look = Instant::now() + self.pause;
        self.fifo.still_there()
    }

    fn watch(&self) -> Option<Inotify> {
        let watch = || {
            let events = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            let gone = AddWatchFlags::IN_ATTRIB
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF;
            self.fifo.reached(|path| events.add_watch(path, gone))?;
            Ok(events)
        };
        let watching: nix::Result<_> = watch();
        watching.inspect_err(|error| self.warn_once(*error)).ok()
    }

    /// Where they are used up there may be events again later.
    fn warn_once(&self, error: Errno) {
        if self.pause == SOON {
            let path = self.fifo.path();
            warn!(
                "no events for the pipe at {path:?}, checking once a second whether it is there: inotify: {error}"
            );
        }
    }
}

pub(crate) fn passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}

/// Whole milliseconds, rounded up, so that the last one before the deadline is slept through and not spun through.
fn in_millis(duration: Duration) -> PollTimeout {
    let millis = i32::try_from(duration.as_nanos().div_ceil(1_000_000)).ok();
    let timeout = millis.and_then(|millis| PollTimeout::try_from(millis).ok());
    timeout.unwrap_or(PollTimeout::MAX)
}
