//! What can go wrong, with the directory it was about.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use coord_core::{Errno, HasErrno};

/// An operation on an exit directory that failed.
#[derive(Debug)]
pub struct Error {
    dir: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// A system call failed; says what for.
    Io(&'static str, io::Error),
    /// Another leader holds the directory.
    Led,
    /// The wait ran out.
    TimedOut(Duration),
    /// The directory was removed while it was watched.
    Removed,
}

impl Error {
    /// The directory; empty for a wait without one.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Kind {
    /// For `map_err`: an error of the system call that was needed for `what`.
    pub(crate) fn io<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Kind {
        move |error| Self::Io(what, error.into())
    }

    pub(crate) fn at(self, dir: &Path) -> Error {
        Error {
            dir: dir.to_owned(),
            kind: self,
        }
    }
}

impl HasErrno for Error {
    /// That of the system call; `EBUSY` while another leader lives, `ETIMEDOUT`, and `ENOENT` for a directory removed under a watcher.
    fn errno(&self) -> Errno {
        match &self.kind {
            Kind::Io(_, error) => error.errno(),
            Kind::Led => Errno::EBUSY,
            Kind::TimedOut(_) => Errno::ETIMEDOUT,
            Kind::Removed => Errno::ENOENT,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = &self.dir;
        match &self.kind {
            Kind::Io(what, _) => write!(f, "cannot {what} exit directory {dir:?}"),
            Kind::Led => write!(f, "exit directory {dir:?} has a leader that lives"),
            Kind::TimedOut(limit) if dir.as_os_str().is_empty() => {
                write!(
                    f,
                    "nothing can signal without a directory; waited {limit:?}"
                )
            }
            Kind::TimedOut(limit) => {
                write!(f, "no exit was signalled in {dir:?} within {limit:?}")
            }
            Kind::Removed => write!(f, "exit directory {dir:?} was removed while it was watched"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Io(_, error) => Some(error),
            _ => None,
        }
    }
}
