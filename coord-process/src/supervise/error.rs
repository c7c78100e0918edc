//! Errors of supervising, as opposed to CMD's own.

use std::{borrow::Cow, ffi::OsString, fmt, io};

use coord_core::{Errno, HasErrno, Status};

use super::wire::Report;

/// Why CMD was not started, or is no longer supervised.
#[derive(Debug)]
pub struct Error(Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    /// The program could not be executed.
    Exec(OsString, io::Error),
    /// A system call that supervising needs failed; with its purpose.
    Io(Cow<'static, str>, io::Error),
    /// The guard process was killed; the tree has been ended.
    GuardDied,
    /// The guard was stopped, and did not continue; the tree has been ended.
    GuardStopped,
    /// The deadline was near before CMD was reported to have started; the tree has been ended.
    Late,
    /// The process already has threads.
    Threads,
    /// This process already supervises another command.
    Busy,
    /// `/proc` shows other processes than the ones that this process can signal.
    ForeignProc,
}

impl Error {
    /// A wrapper's exit status for this error: 127 when CMD was not found, 126 when it cannot be
    /// executed, otherwise 125.
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

    /// The report that the guard sends its client when it cannot work.
    pub(crate) fn into_report(self) -> Report {
        let errno = self.errno().raw();
        match self.0 {
            Kind::Io(what, _) => Report::Failed(what.into_owned(), errno),
            _ => Report::Failed("start the guard".to_owned(), errno),
        }
    }
}

impl Kind {
    /// For `map_err`: an error of the system call that `what` needed.
    pub(crate) fn io<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
        move |error| Error(Self::Io(what.into(), error.into()))
    }

    /// What the guard failed to do.
    pub(crate) fn failed(what: String, errno: i32) -> Self {
        Self::Io(what.into(), io::Error::from_raw_os_error(errno))
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self(kind)
    }
}

impl HasErrno for Error {
    /// The number of the failed system call; `ESRCH` when the guard died, `ETIMEDOUT` when it did
    /// not start the command in time, `EBUSY` for threads or a second command, `EOPNOTSUPP` for a
    /// foreign `/proc`.
    fn errno(&self) -> Errno {
        match &self.0 {
            Kind::Exec(_, error) | Kind::Io(_, error) => error.errno(),
            Kind::GuardDied => Errno::ESRCH,
            Kind::GuardStopped | Kind::Late => Errno::ETIMEDOUT,
            Kind::Threads | Kind::Busy => Errno::EBUSY,
            Kind::ForeignProc => Errno::EOPNOTSUPP,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Exec(program, error) if is_fork(error) => {
                write!(f, "cannot start a process for {program:?} (fork)")
            }
            Kind::Exec(program, _) => write!(f, "cannot execute {program:?}"),
            Kind::Io(what, _) => write!(f, "cannot {what}"),
            Kind::GuardDied => {
                f.write_str("the guard process was killed, and the command was ended")
            }
            Kind::GuardStopped => f.write_str(
                "the guard process was stopped (by a debugger?) and cannot be continued, so it and the command were ended",
            ),
            Kind::Late => f.write_str("the deadline was near before the command had started, so it was ended"),
            Kind::Threads => {
                f.write_str("the guard must be started before the process has threads")
            }
            Kind::Busy => f.write_str("a process supervises one command at a time"),
            Kind::ForeignProc => f.write_str(
                "/proc shows another PID namespace, so the command's processes cannot be found: mount the /proc of this one \
                 (unshare --mount-proc, bwrap --proc /proc)",
            ),
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

/// Whether it is an error of `fork(2)`. `execve(2)` returns these too, but only when there is no
/// memory or no process left.
fn is_fork(error: &io::Error) -> bool {
    matches!(error.errno(), Errno::EAGAIN | Errno::ENOMEM)
}

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::*;

    #[test]
    fn a_command_for_which_there_is_no_process_is_not_one_that_cannot_be_executed() {
        let of = |errno: i32| {
            let error = Error(Kind::Exec("it".into(), io::Error::from_raw_os_error(errno)));
            (error.status(), error.to_string().contains("(fork)"))
        };
        for errno in [libc::EAGAIN, libc::ENOMEM] {
            assert_eq!(of(errno), (Status::FAILED, true));
        }
        assert_eq!(of(libc::EACCES), (Status::CANNOT_EXECUTE, false));
        assert_eq!(of(libc::ENOENT), (Status::NOT_FOUND, false));
    }
}
