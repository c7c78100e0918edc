//! Errors, each with the path it is about.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use coord_core::{Errno, HasErrno};

/// A failed operation on a pipe: which operation, on which path, and why.
#[derive(Debug)]
pub struct Error {
    action: Action,
    path: PathBuf,
    kind: Kind,
}

/// The operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Create,
    Check,
    Read,
    Write,
    Delete,
}

/// Why it failed.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A system call failed.
    Io(io::Error),
    /// As `Io`, for a call that a filter or a resource limit may refuse; with the call's name.
    Call(&'static str, io::Error),
    /// The path is not a FIFO; with what it is.
    NotFifo(&'static str),
    /// The FIFO was removed or replaced during the wait.
    Removed,
    /// The wait timed out.
    TimedOut(Duration),
}

impl Error {
    /// The error number:
    ///
    /// - `EEXIST` when something other than a FIFO is at the path
    /// - `ENOENT` when the FIFO was removed during the wait
    /// - `ETIMEDOUT` when the wait timed out
    /// - otherwise the number of the system call that failed
    #[must_use]
    pub fn errno(&self) -> Errno {
        match &self.kind {
            Kind::Io(error) | Kind::Call(_, error) => error.errno(),
            Kind::NotFifo(_) => Errno::EEXIST,
            Kind::Removed => Errno::ENOENT,
            Kind::TimedOut(_) => Errno::ETIMEDOUT,
        }
    }

    /// The path of the pipe.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Kind {
    /// For `map_err`: an error of this call.
    pub(crate) fn call<E: Into<io::Error>>(call: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Call(call, error.into())
    }

    pub(crate) fn at(self, action: Action, path: &Path) -> Error {
        Error {
            action,
            path: path.to_owned(),
            kind: self,
        }
    }
}

impl From<io::Error> for Kind {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<nix::Error> for Kind {
    fn from(error: nix::Error) -> Self {
        Self::Io(error.into())
    }
}

impl HasErrno for Error {
    fn errno(&self) -> Errno {
        self.errno()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, path, kind } = self;
        match kind {
            Kind::Io(_) => write!(f, "cannot {action} pipe at {path:?}"),
            Kind::Call(call, _) => write!(f, "cannot {action} pipe at {path:?} ({call})"),
            Kind::NotFifo(what) => write!(
                f,
                "cannot {action} pipe at {path:?}: {what} is there, and is left alone"
            ),
            Kind::Removed => write!(
                f,
                "cannot {action} pipe at {path:?}: it was removed or replaced during the wait"
            ),
            Kind::TimedOut(limit) => write!(
                f,
                "cannot {action} pipe at {path:?}: {} within {limit:?}",
                action.missing()
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Io(error) | Kind::Call(_, error) => Some(error),
            _ => None,
        }
    }
}

impl Action {
    /// What the wait was for.
    fn missing(self) -> &'static str {
        match self {
            Self::Read => "no writer opened it and closed it again",
            _ => "no reader opened it",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Check => "check",
            Self::Read => "read from",
            Self::Write => "write to",
            Self::Delete => "delete",
        })
    }
}
