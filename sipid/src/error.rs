//! Errors, each with the pidfile it is about.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use coord_core::{Errno, HasErrno};

use crate::{Pid, Signal, trust::Doubt};

/// A failed operation on a pidfile: on which file, and why.
#[derive(Debug)]
pub struct Error {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// A system call failed during this operation.
    Io(&'static str, io::Error),
    /// The content is not a PID; with the start of it, quoted.
    Invalid(String),
    /// The path is not a regular file; with what it is.
    NotAFile(&'static str),
    /// A symbolic link in a directory that others may write to.
    Link,
    /// A symbolic link to nothing.
    DanglingLink,
    /// Somebody holds the lock.
    Locked,
    /// The process in the file is running.
    Running(Pid),
    /// The file already contains the process that was to be claimed for.
    AlreadyIn(Pid),
    /// There is no such process to claim for.
    NoProcess(Pid),
    /// PID 1, without an identity that proves that it was claimed.
    UnknownInit,
    /// The file may not mean this process, so it is not trusted.
    Doubtful(Pid, Doubt),
    /// The same, in a wait for the process's end.
    #[cfg_attr(
        not(feature = "health"),
        expect(dead_code, reason = "only waits watch")
    )]
    Unwatchable(Pid, Doubt),
    /// There is no file, so there is no process to signal.
    NoFile,
    /// There is no process to signal.
    NotRunning,
    /// The process does not lead its group.
    NotLeader(Pid),
    /// The signal could not be sent.
    Signal(Signal, Pid, io::Error),
    /// The schedule ended before the process did.
    StillRunning(Vec<Pid>),
    /// The process has ended, but these, which inherited its lock, have not.
    Survivors(Pid, Vec<Pid>),
}

impl Error {
    /// The error number:
    ///
    /// - `EEXIST` when the process is running
    /// - `EAGAIN` when somebody else holds the lock
    /// - `EINVAL` for content that is not a PID
    /// - `ELOOP` for an untrusted symbolic link
    /// - `EACCES` for an untrusted file
    /// - `ESRCH` when there is no process to claim for or to signal
    /// - `ETIMEDOUT` when a schedule ended before the process did
    /// - otherwise the number of the system call that failed
    #[must_use]
    pub fn errno(&self) -> Errno {
        match &self.kind {
            Kind::Io(_, error) | Kind::Signal(_, _, error) => error.errno(),
            Kind::Invalid(_) | Kind::NotAFile(_) | Kind::UnknownInit | Kind::NotLeader(_) => {
                Errno::EINVAL
            }
            Kind::Link => Errno::ELOOP,
            Kind::DanglingLink => Errno::ENOENT,
            Kind::Locked | Kind::Survivors(..) => Errno::EAGAIN,
            Kind::Running(_) | Kind::AlreadyIn(_) => Errno::EEXIST,
            Kind::NoProcess(_) | Kind::NoFile | Kind::NotRunning => Errno::ESRCH,
            Kind::Doubtful(..) | Kind::Unwatchable(..) => Errno::EACCES,
            Kind::StillRunning(_) => Errno::ETIMEDOUT,
        }
    }

    /// The path of the pidfile.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Kind {
    pub(crate) fn at(self, path: &Path) -> Error {
        Error {
            path: path.to_owned(),
            kind: self,
        }
    }
}

/// Turns the error of a system call into a [`Kind`], with the operation it was for.
pub(crate) trait While<T> {
    fn during(self, doing: &'static str) -> Result<T, Kind>;
}

impl<T, E: Into<io::Error>> While<T> for Result<T, E> {
    fn during(self, doing: &'static str) -> Result<T, Kind> {
        self.map_err(|error| Kind::Io(doing, error.into()))
    }
}

impl HasErrno for Error {
    fn errno(&self) -> Errno {
        self.errno()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, kind } = self;
        match kind {
            Kind::Io(doing, _) => write!(f, "cannot {doing} {path:?}"),
            Kind::Invalid(quoted) => write!(f, "{path:?} does not contain a valid PID: {quoted}"),
            Kind::NotAFile(what) => write!(f, "{path:?} is {what}, not a pidfile"),
            Kind::Link => write!(
                f,
                "{path:?} is a symbolic link in a directory that others may write to"
            ),
            Kind::DanglingLink => write!(f, "{path:?} is a symbolic link to nothing"),
            Kind::Locked => write!(f, "another process has locked {path:?}"),
            Kind::Running(pid) => {
                write!(f, "cannot claim {path:?}: process {pid} is already running")
            }
            Kind::AlreadyIn(pid) => write!(
                f,
                "cannot claim {path:?}: it is already claimed for process {pid}"
            ),
            Kind::NoProcess(pid) => write!(f, "cannot claim {path:?}: there is no process {pid}"),
            Kind::UnknownInit => write!(
                f,
                "refusing to signal PID 1: {path:?} was not written by sipid"
            ),
            Kind::Doubtful(pid, doubt) => write!(
                f,
                "refusing to signal process {pid}, which {path:?} names: {doubt}; check it, and use kill(1)"
            ),
            Kind::Unwatchable(pid, doubt) => write!(
                f,
                "cannot tell whether {path:?} names process {pid}: {doubt}; check it, or leave --pid-file out"
            ),
            Kind::NoFile => write!(f, "no process to signal: no pidfile at {path:?}"),
            Kind::NotRunning => write!(f, "the process in {path:?} is not running"),
            Kind::NotLeader(pid) => write!(
                f,
                "process {pid} ({path:?}) does not lead its process group: leave --group out"
            ),
            Kind::Signal(signal, pid, _) => {
                write!(f, "cannot send {signal} to process {pid} ({path:?})")
            }
            Kind::StillRunning(pids) => write!(
                f,
                "still running after the whole schedule: {} ({path:?})",
                List(pids)
            ),
            Kind::Survivors(pid, pids) => {
                write!(
                    f,
                    "process {pid} is gone, but its lock on {path:?} is still held by {}",
                    List(pids)
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Io(_, error) | Kind::Signal(_, _, error) => Some(error),
            _ => None,
        }
    }
}

struct List<'a>(&'a [Pid]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 {
            "process"
        } else {
            "processes"
        })?;
        self.0.iter().try_for_each(|pid| write!(f, " {pid}"))
    }
}
