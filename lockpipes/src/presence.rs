//! Whether a FIFO is still at its path, without looking again and again: see
//! [`events`](crate::events). Where there are no events it is looked once a second. A wait that is
//! over soon does without.

use std::{
    io,
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use log::{debug, warn};
use nix::poll::PollFlags;

use crate::{
    error::Kind,
    events::{Events, sleep},
    fifo::Fifo,
};

/// How long a wait does without events.
const SOON: Duration = Duration::from_millis(100);

/// How often is looked where there are no events.
const OFTEN: Duration = Duration::from_secs(1);

/// How often is looked beside the events: a directory further up that is moved is no event of the FIFO.
const SELDOM: Duration = Duration::from_secs(90);

/// After so many events of other files in the directory the FIFO is watched itself.
const PATIENCE: u32 = 16;

/// Waits that end when the FIFO goes from its path.
#[derive(Debug)]
pub(crate) struct Presence<'a> {
    fifo: &'a Fifo,
    events: Option<Events>,
    interrupted: bool,
    /// Events after which the FIFO was still there.
    in_vain: u32,
    next_look: Instant,
    pause: Duration,
}

impl<'a> Presence<'a> {
    pub(crate) fn of(fifo: &'a Fifo) -> Self {
        Self {
            fifo,
            events: None,
            interrupted: false,
            in_vain: 0,
            next_look: Instant::now() + SOON,
            pause: SOON,
        }
    }

    /// Sleeps until the descriptor is ready, and returns what it is ready for: nothing after a signal, at the deadline, and when it is
    /// time to ask [`check`](Self::check).
    pub(crate) fn poll(
        &mut self,
        fd: BorrowedFd<'_>,
        deadline: Option<Instant>,
    ) -> Result<PollFlags, Kind> {
        let wake = deadline.map_or(self.next_look, |deadline| deadline.min(self.next_look));
        let left = wake.saturating_duration_since(Instant::now());
        let ready = sleep(fd, self.events.as_ref(), left).map_err(Kind::call("poll"))?;
        self.interrupted = ready.is_none();
        Ok(ready.unwrap_or(PollFlags::empty()))
    }

    /// Fails when the FIFO has gone.
    pub(crate) fn check(&mut self) -> Result<(), Kind> {
        let interrupted = self.interrupted;
        let happened = self
            .events
            .as_ref()
            .is_some_and(|events| events.take_events(interrupted));
        let is_due = self.next_look <= Instant::now();
        if !happened && !is_due {
            return Ok(());
        }
        self.in_vain += u32::from(happened);
        let of_directory = self.events.as_ref().is_some_and(Events::is_of_directory);
        let is_crowded = of_directory && self.in_vain >= PATIENCE;
        if self.events.is_none() || is_crowded {
            self.events = self.watch();
            self.pause = if self.events.is_some() { SELDOM } else { OFTEN };
        }
        self.next_look = Instant::now() + self.pause;
        self.fifo.still_there()
    }

    fn watch(&self) -> Option<Events> {
        if !Events::EXIST {
            return None;
        }
        if self.in_vain < PATIENCE {
            match self.watch_directory() {
                Ok(events) => return Some(events),
                Err(error) => debug!("not watching the pipe's directory: {error}"),
            }
        }
        let watching = self.fifo.reached(Events::of_fifo);
        watching.inspect_err(|error| self.warn_once(*error)).ok()
    }

    fn watch_directory(&self) -> io::Result<Events> {
        let directory = self.fifo.directory()?;
        Events::of_directory(&directory)
    }

    /// Where they are used up there may be events again later.
    fn warn_once(&self, error: nix::Error) {
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
