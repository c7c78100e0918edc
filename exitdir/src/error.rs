//! Errors, each with the directory it is about.

use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use coord_core::{Errno, HasErrno};
use nix::libc;

/// A failed operation on an exit directory.
#[derive(Debug)]
pub struct Error {
    dir: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// A system call failed; with what it was needed for.
    Io(&'static str, io::Error),
    /// As `Io`, for a call that a filter may refuse; with the call's name.
    Call(&'static str, &'static str, io::Error),
    /// Another leader holds the directory.
    Led,
    /// The wait timed out.
    TimedOut(Duration),
    /// The directory was removed during the watch.
    Removed,
    /// There are entries that do not come from signalling.
    Foreign(Vec<OsString>),
}

/// Names of entries. There may be thousands, so it shows the first three.
#[derive(Debug)]
pub struct Names<'a>(pub &'a [OsString]);

impl Error {
    /// The error number:
    ///
    /// - `EBUSY` when another leader is running
    /// - `ETIMEDOUT` when a wait timed out
    /// - `ENOENT` when the directory was removed
    /// - `ENOTEMPTY` when there are other entries
    /// - otherwise the number of the system call that failed
    #[must_use]
    pub fn errno(&self) -> Errno {
        match &self.kind {
            Kind::Io(_, error) | Kind::Call(_, _, error) => error.errno(),
            Kind::Led => Errno::EBUSY,
            Kind::TimedOut(_) => Errno::ETIMEDOUT,
            Kind::Removed => Errno::ENOENT,
            Kind::Foreign(_) => Errno::from_raw(libc::ENOTEMPTY),
        }
    }

    /// The directory; empty for a wait without a directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Kind {
    /// For `map_err`: an error of the system call that `what` needed.
    pub(crate) fn io<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Kind {
        move |error| Self::Io(what, error.into())
    }

    /// As `io`, with the name of the call.
    pub(crate) fn call<E: Into<io::Error>>(
        what: &'static str,
        call: &'static str,
    ) -> impl FnOnce(E) -> Kind {
        move |error| Self::Call(what, call, error.into())
    }

    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io(_, error) | Self::Call(_, _, error) if error.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn at(self, dir: &Path) -> Error {
        Error {
            dir: dir.to_owned(),
            kind: self,
        }
    }
}

impl HasErrno for Error {
    fn errno(&self) -> Errno {
        self.errno()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = &self.dir;
        match &self.kind {
            Kind::Io(what, _) => write!(f, "cannot {what} exit directory {dir:?}"),
            Kind::Call(what, call, _) => write!(f, "cannot {what} exit directory {dir:?} ({call})"),
            Kind::Led => write!(f, "exit directory {dir:?} already has a running leader"),
            Kind::TimedOut(limit) if dir.as_os_str().is_empty() => {
                write!(
                    f,
                    "no exit directory given (--dir or EXIT_DIR), so nothing can signal; waited {limit:?}"
                )
            }
            Kind::TimedOut(limit) => {
                write!(f, "no exit was signalled in {dir:?} within {limit:?}")
            }
            Kind::Removed => write!(f, "exit directory {dir:?} was removed while it was watched"),
            Kind::Foreign(names) => write!(
                f,
                "exit directory {dir:?} has entries that exitdir did not create: {}",
                Names(names)
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Io(_, error) | Kind::Call(_, _, error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let shown: Vec<_> = self
            .0
            .iter()
            .take(SHOWN)
            .map(|name| format!("{name:?}"))
            .collect();
        write!(f, "{}", shown.join(", "))?;
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
