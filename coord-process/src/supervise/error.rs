//! What can go wrong beside CMD itself.

use std::{ffi::OsString, fmt, io};

use coord_core::{Errno, HasErrno, Status};

/// Why CMD was not started, or is no longer supervised.
#[derive(Debug)]
pub struct Error(Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    /// The program could not be executed.
    Exec(OsString, io::Error),
    /// A system call that supervising needs failed; says what for.
    Io(&'static str, io::Error),
    /// The guard process was killed; the tree has been ended.
    GuardDied,
    /// The process has threads already.
    Threads,
    /// Another command is supervised in this process.
    Busy,
}

impl Error {
    /// The exit status of a wrapper that fails with this: 127 when CMD was not found, 126 when it cannot be executed, else 125.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.0 {
            Kind::Exec(_, error) => match error.errno() {
                Errno::ENOENT => Status::NOT_FOUND,
                Errno::EAGAIN | Errno::ENOMEM => Status::FAILED,
                _ => Status::CANNOT_EXECUTE,
            },
            _ => Status::FAILED,
        }
    }
}

impl Kind {
    /// For `map_err`: an error of the system call that was needed for `what`.
    pub(crate) fn io<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
        move |error| Error(Self::Io(what, error.into()))
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self(kind)
    }
}

impl HasErrno for Error {
    /// That of the system call; `ESRCH` when the guard died, `EBUSY` for threads or a second command.
    fn errno(&self) -> Errno {
        match &self.0 {
            Kind::Exec(_, error) | Kind::Io(_, error) => error.errno(),
            Kind::GuardDied => Errno::ESRCH,
            Kind::Threads | Kind::Busy => Errno::EBUSY,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Exec(program, _) => write!(f, "cannot execute {program:?}"),
            Kind::Io(what, _) => write!(f, "cannot {what}"),
            Kind::GuardDied => {
                f.write_str("the guard process was killed, and the command was ended")
            }
            Kind::Threads => {
                f.write_str("the guard must be started before the process has threads")
            }
            Kind::Busy => f.write_str("a process supervises one command at a time"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Exec(_, error) | Kind::Io(_, error) => Some(error),
            _ => None,
        }
    }
}
