//! The watched process of a wait, and all waiting for other things while it is running.

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

/// How often to read the pidfile before the process has been seen, and to check the process if
/// there are no pidfds.
pub(super) const GLANCE: Duration = Duration::from_millis(100);

/// The longest single poll, below the limit of `poll(2)`'s milliseconds.
const LONGEST_POLL: Duration = Duration::from_secs(60 * 60);

/// The process in a pidfile. We look for it until it is seen, and then watch it.
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
    /// Those of the pidfile, except that it is missing, empty, or names a process that is not
    /// running.
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

    /// Whether a process was seen and has ended.
    pub(super) fn is_gone(&self) -> bool {
        self.process();
        self.gone.load(Ordering::Relaxed)
    }

    /// Waits until the process is seen, if one is to be watched. Returns false if it is not seen in
    /// time.
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

    /// Waits until one of the files is ready, and returns its index. Returns `None` when the time
    /// is over or the process has ended.
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
            // A signal may interrupt it, and then the next round continues; nothing else can fail.
            let _ = poll(&mut polled, self.pause(left, handle.is_some()));
            let is_ready = |file: &PollFd<'_>| file.any().unwrap_or(false);
            match polled[..files.len()].iter().position(is_ready) {
                None if !left.is_zero() => {}
                ready => return ready,
            }
        }
    }

    /// Waits until then. Returns false if the process ends before.
    pub(super) fn sleep(&self, until: Instant) -> bool {
        self.wait(&[], until);
        !self.is_gone()
    }

    /// Rounded up, so that we do not spin during the last part of a millisecond.
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

    /// The process that is now being watched.
    fn process(&self) -> Option<Arc<Process>> {
        let pidfile = self.pidfile.as_ref()?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &seen.process {
            Some(process) if process.is_alive() => {}
            // A daemon that forks or restarts may have replaced its PID in the file.
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

/// If the file cannot be read at this moment, that says nothing.
fn look(pidfile: &PidFile) -> Option<Arc<Process>> {
    let found = pidfile.process().unwrap_or_else(|error| {
        debug!("{error}");
        None
    });
    found.map(Arc::new)
}
