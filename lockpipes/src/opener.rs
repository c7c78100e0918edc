//! An open that blocks until somebody opens the other end.
//!
//! A separate thread blocks in it. When the wait is over, a signal to that thread alone interrupts
//! it.

use std::{
    fs::File,
    io::{self, PipeReader},
    os::{fd::AsFd, unix::thread::JoinHandleExt},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use log::warn;
use nix::{errno::Errno, libc};

use crate::{
    error::Kind,
    fifo::{End, Fifo},
    interrupt::{INTERRUPT, make_interruptible},
    presence::{Presence, passed},
};

/// Opens one end as soon as the other one is open.
pub(crate) fn open_met(
    fifo: &Arc<Fifo>,
    end: End,
    limit: Option<Duration>,
    deadline: Option<Instant>,
) -> Result<File, Kind> {
    let opener = match Opener::start(fifo.clone(), end) {
        Err(Kind::Call(call, error)) if limit.is_none() => {
            let path = fifo.path();
            warn!("nobody will notice if the pipe at {path:?} is removed: {call}: {error}");
            return open_for_ever(fifo, end);
        }
        started => started?,
    };
    let mut presence = Presence::of(fifo);
    loop {
        if !presence.poll(opener.done.as_fd(), deadline)?.is_empty() {
            return opener.outcome();
        }
        let over = match limit {
            Some(limit) if passed(deadline) => Err(Kind::TimedOut(limit)),
            _ => presence.check(),
        };
        if let Err(kind) = over {
            // Somebody who came at the last moment has been released, so the wait has succeeded.
            return opener.cancel().unwrap_or(Err(kind));
        }
    }
}

/// A thread that blocks in the open.
struct Opener {
    thread: JoinHandle<()>,
    opened: Receiver<Option<Result<File, Kind>>>,
    /// Hangs up when the thread has finished.
    done: PipeReader,
    cancelled: Arc<AtomicBool>,
}

impl Opener {
    fn start(fifo: Arc<Fifo>, end: End) -> Result<Self, Kind> {
        make_interruptible().map_err(Kind::call("sigaction"))?;
        let (sender, opened) = mpsc::sync_channel(1);
        let (done, not_done) = io::pipe().map_err(Kind::call("pipe"))?;
        let cancelled = Arc::new(AtomicBool::new(false));
        let seen = cancelled.clone();
        let thread = thread::Builder::new()
            .name("fifo open".to_owned())
            .spawn(move || {
                let _not_done = not_done;
                // The receiver is gone only if the waiting thread panicked.
                let _ = sender.send(open_unless_cancelled(&fifo, end, &seen));
            })
            .map_err(Kind::call("start a thread"))?;
        Ok(Self {
            thread,
            opened,
            done,
            cancelled,
        })
    }

    /// The outcome of a finished open.
    fn outcome(&self) -> Result<File, Kind> {
        match self.opened.recv() {
            Ok(Some(opened)) => opened,
            Ok(None) | Err(_) => Err(io::Error::other("the opening thread died").into()),
        }
    }

    /// Cancels the open. If it has just succeeded or failed, returns that outcome.
    ///
    /// A signal is lost if it arrives just before the thread enters the open, so we send one every
    /// millisecond. If sending is refused, the thread stays.
    fn cancel(self) -> Option<Result<File, Kind>> {
        self.cancelled.store(true, Ordering::SeqCst);
        loop {
            // SAFETY: the thread has not been joined, so its handle is valid. The cast is for musl,
            // where the standard library has a number and libc a pointer for the same thing.
            let refused =
                unsafe { libc::pthread_kill(self.thread.as_pthread_t() as _, INTERRUPT as i32) };
            if refused != 0 {
                return self.opened.try_recv().ok().flatten();
            }
            match self.opened.recv_timeout(Duration::from_millis(1)) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// Opens without a thread, where none can be started: only the other side or a fatal signal ends
/// it.
fn open_for_ever(fifo: &Fifo, end: End) -> Result<File, Kind> {
    let opened = open_unless_cancelled(fifo, end, &AtomicBool::new(false));
    opened.unwrap_or_else(|| Err(Errno::EINTR.into()))
}

/// Returns `None` if the wait was cancelled before the open finished.
fn open_unless_cancelled(
    fifo: &Fifo,
    end: End,
    cancelled: &AtomicBool,
) -> Option<Result<File, Kind>> {
    loop {
        match fifo.open(end) {
            Err(Kind::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {
                if cancelled.load(Ordering::SeqCst) {
                    return None;
                }
            }
            opened => return Some(opened),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;
    use crate::events::sleep;

    /// A signal that comes before the open has begun interrupts nothing.
    #[test]
    fn an_open_is_interrupted_again_until_it_ends_and_its_outcome_counts() {
        make_interruptible().unwrap();
        let (sender, opened) = mpsc::sync_channel(1);
        let (done, not_done) = io::pipe().unwrap();
        let (never, _writer) = io::pipe().unwrap();
        let cancelled = Arc::new(AtomicBool::new(false));
        let seen = cancelled.clone();
        let thread = thread::spawn(move || {
            let _not_done = not_done;
            for _ in 0..3 {
                while sleep(never.as_fd(), None, Duration::from_secs(3600))
                    .unwrap()
                    .is_some()
                {}
            }
            assert!(seen.load(Ordering::SeqCst));
            sender.send(Some(Err(Kind::Removed))).unwrap();
        });
        let opener = Opener {
            thread,
            opened,
            done,
            cancelled,
        };
        assert!(matches!(opener.cancel(), Some(Err(Kind::Removed))));
    }

    #[test]
    fn an_open_that_fails_is_not_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        mkfifo(&path, Mode::S_IWUSR).unwrap();
        let fifo = Fifo::find(&path).unwrap().unwrap();
        // Nobody has it open for reading.
        let opened = open_unless_cancelled(&fifo, End::WriteNow, &AtomicBool::new(true));
        let is_refused = |kind| crate::fifo::lacks_reader(kind);
        assert!(
            matches!(&opened, Some(Err(kind)) if is_refused(kind)),
            "{opened:?}"
        );
    }
}
