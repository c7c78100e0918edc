//! The watched process of a wait, and every wait for something else while it lives.

use std::{
    os::fd::AsFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use log::debug;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::PidFile;
use coord_process::Process;

/// How often the pidfile is read before a process was seen, and the process is looked at where
/// there are no pidfds.
pub(super) const GLANCE: Duration = Duration::from_millis(100);

/// The longest single poll, below the limit of `poll(2)`'s milliseconds.
const LONGEST_POLL: Duration = Duration::from_secs(60 * 60);

/// The process of a pidfile, looked for until it is seen, and then watched.
pub(super) struct Watch {
    pidfile: Option<PidFile>,
    seen: Mutex<Seen>,
    gone: AtomicBool,
}

struct Seen {
    process: Option<Arc<Process>>,
    looked: Instant,
}

impl Watch {
    /// # Errors
    /// The pidfile's, other than that it is missing, empty, or names no process that runs.
    pub(super) fn new(pidfile: Option<PidFile>) -> Result<Self, crate::Error> {
        let process = pidfile
            .as_ref()
            .map(PidFile::process)
            .transpose()?
            .flatten();
        Ok(Self {
            pidfile,
            seen: Mutex::new(Seen {
                process: process.map(Arc::new),
                looked: Instant::now(),
            }),
            gone: AtomicBool::new(false),
        })
    }

    /// Whether a process was seen and is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.process();
        self.gone.load(Ordering::Relaxed)
    }

    /// Waits until the process is seen, where one is to be watched; false when it is not until then.
    pub(super) fn wait_for_process(&self, until: Instant) -> bool {
        let is_awaited = || self.pidfile.is_some() && self.process().is_none();
        while is_awaited() {
            let now = Instant::now();
            if now >= until || !self.sleep(until.min(now + GLANCE)) {
                return false;
            }
        }
        true
    }

    /// Waits until one of the files is ready, and says which; none when the time is over or the
    /// process is gone.
    pub(super) fn wait(&self, files: &[PollFd<'_>], until: Instant) -> Option<usize> {
        loop {
            let process = self.process();
            if self.gone.load(Ordering::Relaxed) {
                return None;
            }
            let handle = process.as_ref().and_then(|process| process.handle());
            let left = until.saturating_duration_since(Instant::now());
            let mut polled = files.to_vec();
            polled.extend(handle.map(|handle| PollFd::new(handle.as_fd(), PollFlags::POLLIN)));
            // A signal may interrupt it, which the next round makes good; nothing else can fail.
            let _ = poll(&mut polled, self.pause(left, handle.is_some()));
            let is_ready = |file: &PollFd<'_>| file.any().unwrap_or(false);
            match polled[..files.len()].iter().position(is_ready) {
                None if !left.is_zero() => {}
                ready => return ready,
            }
        }
    }

    /// Waits until then; false when the process is gone before.
    pub(super) fn sleep(&self, until: Instant) -> bool {
        self.wait(&[], until);
        !self.is_gone()
    }

    /// Rounded up, so that the last part of a millisecond is not spent spinning.
    fn pause(&self, left: Duration, has_handle: bool) -> PollTimeout {
        let longest = if self.pidfile.is_none() || has_handle {
            LONGEST_POLL
        } else {
            GLANCE
        };
        if left.is_zero() {
            return PollTimeout::ZERO;
        }
        let pause = left.min(longest) + Duration::from_micros(999);
        PollTimeout::try_from(pause).unwrap_or(PollTimeout::MAX)
    }

    /// The process that is watched by now.
    fn process(&self) -> Option<Arc<Process>> {
        let pidfile = self.pidfile.as_ref()?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &seen.process {
            Some(process) if process.is_alive() => {}
            // A daemon that forks, or is started again, may have left its PID for another's.
            Some(_) => {
                seen.process = look(pidfile);
                self.gone.store(seen.process.is_none(), Ordering::Relaxed);
            }
            None if self.gone.load(Ordering::Relaxed) || seen.looked.elapsed() < GLANCE => {}
            None => {
                seen.process = look(pidfile);
                seen.looked = Instant::now();
            }
        }
        seen.process.clone()
    }
}

/// A file that cannot be read at this moment tells nothing.
fn look(pidfile: &PidFile) -> Option<Arc<Process>> {
    let found = pidfile.process().unwrap_or_else(|error| {
        debug!("{error}");
        None
    });
    found.map(Arc::new)
}
