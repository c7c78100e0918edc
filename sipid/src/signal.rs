//! Signalling the process in a pidfile, and only that one.

use std::{fmt, str::FromStr};

use coord_core::{Errno, HasErrno};
use log::info;
use nix::sys::signal;

use crate::{Error, PidFile, error::Kind};

/// A signal by name, with or without `SIG`, or by number, with or without a `-` before: `HUP`, `SIGHUP`, `-HUP`, `1`, `-1`. Those
/// of real time have no names here.
///
/// ```
/// let signal: sipid::Signal = "hup".parse()?;
/// assert_eq!(signal.to_string(), "SIGHUP");
/// # Ok::<(), sipid::InvalidSignal>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(signal::Signal);

/// A text that names no signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSignal(String);

impl PidFile {
    /// Sends a signal to the process in the file, after all that [`kill`](Self::kill) makes sure of.
    ///
    /// # Errors
    /// `ESRCH` when there is no file, or the process in it does not run; those of [`kill`](Self::kill) otherwise.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.send(signal.raw()).map_err(|kind| kind.at(&self.path))
    }

    fn send(&self, signal: signal::Signal) -> Result<(), Kind> {
        let snapshot = self.snapshot()?.ok_or(Kind::NoFile)?;
        let pid = snapshot.content.pid()?.ok_or(Kind::NotRunning)?;
        let process = self
            .killable(pid, &snapshot.metadata)?
            .ok_or(Kind::NotRunning)?;
        let sent = process.send(signal as i32);
        if !sent.map_err(|error| Kind::Signal(signal, pid, error))? {
            return Err(Kind::NotRunning);
        }
        info!("sent {signal} to process {pid}");
        Ok(())
    }
}

impl Signal {
    pub(crate) const fn raw(self) -> signal::Signal {
        self.0
    }
}

impl FromStr for Signal {
    type Err = InvalidSignal;

    fn from_str(text: &str) -> Result<Self, InvalidSignal> {
        let name = text.strip_prefix('-').unwrap_or(text).to_ascii_uppercase();
        let signal = match name.parse::<i32>() {
            Ok(number) if !name.starts_with('+') => signal::Signal::try_from(number).ok(),
            _ if name.starts_with("SIG") => name.parse().ok(),
            _ => format!("SIG{name}").parse().ok(),
        };
        signal
            .map(Self)
            .ok_or_else(|| InvalidSignal(text.to_owned()))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for InvalidSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a signal: write HUP, USR1 or 15", self.0)
    }
}

impl std::error::Error for InvalidSignal {}

impl HasErrno for InvalidSignal {
    /// Always `EINVAL`.
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}
