//! What can go wrong, with the path it was about.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use coord_core::{Errno, HasErrno};

/// An operation on a pipe that failed: which one, on which path, and why.
#[derive(Debug)]
pub struct Error {
    action: Action,
    path: PathBuf,
    kind: Kind,
}

/// What was being done.
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
    /// The same for a call that a filter may refuse, or that there may be no more room for; says which.
    Call(&'static str, io::Error),
    /// Something that is not a FIFO is at the path; says what.
    NotFifo(&'static str),
    /// The FIFO was removed, or another was put in its place, while it was waited on.
    Removed,
    /// The wait ran out.
    TimedOut(Duration),
}

impl Error {
    /// The error number: that of the system call that failed, `EEXIST` when something other than a FIFO is at the path,
    /// `ENOENT` when the FIFO was removed while it was waited on, `ETIMEDOUT` when the wait ran out.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match &self.kind {
            Kind::Io(error) | Kind::Call(_, error) => error.errno(),
            Kind::NotFifo(_) => Errno::EEXIST,
            Kind::Removed => Errno::ENOENT,
            Kind::TimedOut(_) => Errno::ETIMEDOUT,
        }
    }

    /// The path of the pipe that the operation was about.
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
                "cannot {action} pipe at {path:?}: it was removed or replaced while it was waited on"
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
    /// What did not come in time.
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
