//! Checks whether a FIFO is still at its path, without polling: see [`events`](crate::events).
//! Without events it checks once a second. A short wait does not set up events at all.

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

/// How often we check when there are no events.
const OFTEN: Duration = Duration::from_secs(1);

/// How often we check in addition to the events: moving a parent directory is not an event of the
/// FIFO.
const SELDOM: Duration = Duration::from_secs(90);

/// After this many events of other files in the directory, we watch the FIFO itself.
const PATIENCE: u32 = 16;

/// Waits that end when the FIFO disappears from its path.
#[derive(Debug)]
pub(crate) struct Presence<'a> {
    fifo: &'a Fifo,
    events: Option<Events>,
    interrupted: bool,
    /// How many events came although the FIFO was still there.
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

    /// Sleeps until the descriptor is ready, and returns what it is ready for. Returns nothing
    /// after a signal, at the deadline, and when it is time to call [`check`](Self::check).
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

    /// Fails when the FIFO has disappeared.
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
        let is_crowded = self.in_vain >= PATIENCE;
        let of_directory = self.events.as_ref().is_some_and(Events::is_of_directory);
        if self.events.is_none() || is_crowded && of_directory {
            self.events = self.watch(is_crowded);
            self.pause = if self.events.is_some() { SELDOM } else { OFTEN };
        }
        self.next_look = Instant::now() + self.pause;
        self.fifo.still_there()
    }

    fn watch(&self, is_crowded: bool) -> Option<Events> {
        if !Events::EXIST {
            return None;
        }
        if !is_crowded {
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

    /// Inotify may be used up only for now, so events may work again later.
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn where_too_much_else_happens_the_fifo_itself_is_watched() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        mkfifo(&path, Mode::S_IRUSR).unwrap();
        let fifo = Fifo::find(&path).unwrap().unwrap();
        let begun = Instant::now();
        let mut presence = Presence::of(&fifo);
        assert!(presence.events.is_none(), "a short wait needs none");
        assert!(presence.next_look >= begun + SOON);
        presence.next_look = Instant::now();
        presence.check().unwrap();
        for in_vain in 0..=PATIENCE {
            let events = presence.events.as_ref().unwrap();
            let is_crowded = in_vain == PATIENCE;
            assert_eq!(events.is_of_directory(), !is_crowded, "{in_vain}");
            presence.interrupted = true;
            presence.check().unwrap();
        }
        // It stays like that, whatever becomes of the events.
        presence.events = None;
        presence.next_look = Instant::now();
        presence.check().unwrap();
        assert!(!presence.events.unwrap().is_of_directory());
    }
}
