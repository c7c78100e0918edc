//! Signals the process in a pidfile, and only that process.

use std::{fmt, str::FromStr};

use coord_core::signal_name;
pub use coord_core::signal_name::Error as InvalidSignal;
use log::info;
use nix::libc;

use crate::{Error, PidFile, error::Kind};

/// A signal by name, with or without `SIG`, or by number, each with an optional `-` in front:
/// `HUP`, `SIGHUP`, `-HUP`, `1`, `-1`, `RTMIN+3`.
///
/// ```
/// let signal: sipid::Signal = "hup".parse()?;
/// assert_eq!(signal.to_string(), "SIGHUP");
/// # Ok::<(), sipid::InvalidSignal>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(i32);

impl PidFile {
    /// Sends a signal to the process in the file, after the same checks as [`kill`](Self::kill).
    ///
    /// # Errors
    /// `ESRCH` when there is no file, or its process is not running; otherwise those of
    /// [`kill`](Self::kill).
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.send(signal).map_err(|kind| kind.at(&self.path))
    }

    fn send(&self, signal: Signal) -> Result<(), Kind> {
        let snapshot = self.snapshot()?.ok_or(Kind::NoFile)?;
        let pid = snapshot.content.pid()?.ok_or(Kind::NotRunning)?;
        let process = self
            .killable(pid, &snapshot.metadata)?
            .ok_or(Kind::NotRunning)?;
        let sent = process.send(signal.raw());
        if !sent.map_err(|error| Kind::Signal(signal, pid, error))? {
            return Err(Kind::NotRunning);
        }
        info!("sent {signal} to process {pid}");
        Ok(())
    }
}

impl Signal {
    pub(crate) const QUIT: Self = Self(libc::SIGQUIT);
    pub(crate) const KILL: Self = Self(libc::SIGKILL);
    pub(crate) const TERM: Self = Self(libc::SIGTERM);
    pub(crate) const CONT: Self = Self(libc::SIGCONT);
    pub(crate) const STOP: Self = Self(libc::SIGSTOP);

    /// The number, `signal(7)`.
    pub(crate) const fn raw(self) -> i32 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = InvalidSignal;

    fn from_str(text: &str) -> Result<Self, InvalidSignal> {
        signal_name::parse(text.strip_prefix('-').unwrap_or(text)).map(Self)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = signal_name::name(self.0);
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            write!(f, "signal {name}")
        } else {
            write!(f, "SIG{name}")
        }
    }
}
