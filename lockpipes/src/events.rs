//! Notifies a waiter when something happens to its FIFO, so that it need not poll.
//!
//! The kernel takes ten milliseconds to close an inotify instance, because it waits until nobody
//! uses a mark any more. A process that exits has to wait for that. `F_NOTIFY` of `fcntl(2)` costs
//! nothing at the end, but reports everything that appears or disappears in the FIFO's directory.
//! So we watch the directory where that is allowed, and the FIFO itself where too much else happens
//! in the directory.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
    time::Duration,
};

use nix::{
    errno::Errno,
    libc::{self, c_int},
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        signal::{SigSet, SigmaskHow, pthread_sigmask},
        time::TimeSpec,
    },
    unistd::gettid,
};

use crate::interrupt::{INTERRUPT, make_interruptible};

/// From `linux/dnotify.h` and `asm-generic/fcntl.h`. The libc crate lacks them on some
/// architectures.
const DN_CREATE: c_int = 0x4;
const DN_DELETE: c_int = 0x8;
const DN_RENAME: c_int = 0x10;
const DN_MULTISHOT: c_int = c_int::MIN;
const F_SETSIG: c_int = 10;
const F_SETOWN_EX: c_int = 15;
const F_OWNER_TID: c_int = 0;

#[repr(C)]
struct Owner {
    kind: c_int,
    id: libc::pid_t,
}

/// Events for the thread that asked for them.
#[derive(Debug)]
pub(crate) enum Events {
    /// Events of the whole directory: [`INTERRUPT`] ends a sleep.
    Directory { _watched: Watched },
    /// Events of the FIFO alone.
    Fifo(Inotify),
}

/// A directory that the kernel reports on until it is closed. It is closed before the signal is
/// unblocked.
#[derive(Debug)]
pub(crate) struct Watched {
    _directory: File,
    _blocked: Blocked,
}

/// Keeps the signal blocked while its thread does not sleep.
#[derive(Debug)]
struct Blocked;

impl Events {
    /// Whether this system has such events.
    pub(crate) const EXIST: bool = true;

    /// Watches a directory.
    pub(crate) fn of_directory(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let directory = options
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(path)?;
        if SigSet::thread_get_mask()?.contains(INTERRUPT) {
            return Err(io::Error::other("the signal is blocked already"));
        }
        make_interruptible()?;
        let owner = Owner {
            kind: F_OWNER_TID,
            id: gettid().as_raw(),
        };
        let file = directory.as_raw_fd();
        // SAFETY: the kernel reads `owner` during the call, and the other arguments are numbers.
        unsafe {
            Errno::result(libc::fcntl(file, F_SETSIG, INTERRUPT as c_int))?;
            Errno::result(libc::fcntl(file, F_SETOWN_EX, &raw const owner))?;
        }
        // From now on the signal interrupts only the sleep.
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&INTERRUPT.into()), None)?;
        let watched = Watched {
            _directory: directory,
            _blocked: Blocked,
        };
        let wanted = DN_CREATE | DN_DELETE | DN_RENAME | DN_MULTISHOT;
        // SAFETY: the arguments are numbers.
        Errno::result(unsafe { libc::fcntl(file, libc::F_NOTIFY, wanted) })?;
        Ok(Self::Directory { _watched: watched })
    }

    /// Watches the file at this path.
    pub(crate) fn of_fifo(path: &Path) -> nix::Result<Self> {
        let events = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let gone =
            AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
        events.add_watch(path, gone)?;
        Ok(Self::Fifo(events))
    }

    /// Whether they report other files, too.
    pub(crate) fn is_of_directory(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }

    /// Takes the waiting events and returns whether there were any. `interrupted` is the outcome of
    /// the last sleep.
    pub(crate) fn take_events(&self, interrupted: bool) -> bool {
        match self {
            Self::Directory { .. } => interrupted,
            Self::Fifo(events) => events.read_events().is_ok(),
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // It fails only for an invalid first argument, sigprocmask(2).
        let _ = pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&INTERRUPT.into()), None);
    }
}

/// Sleeps until the descriptor is ready, an event comes, or the time is over. Returns what the
/// descriptor is ready for, or `None` after a signal. An event of a directory is a signal.
pub(crate) fn sleep(
    fd: BorrowedFd<'_>,
    events: Option<&Events>,
    limit: Duration,
) -> nix::Result<Option<PollFlags>> {
    let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let mut polled = vec![readable(fd)];
    let mut mask = None;
    match events {
        Some(Events::Fifo(events)) => polled.push(readable(events.as_fd())),
        Some(Events::Directory { .. }) => {
            let mut open = SigSet::thread_get_mask()?;
            open.remove(INTERRUPT);
            mask = Some(open);
        }
        None => {}
    }
    match ppoll(&mut polled, Some(TimeSpec::from_duration(limit)), mask) {
        Ok(_) => Ok(Some(polled[0].revents().unwrap_or(PollFlags::empty()))),
        Err(Errno::EINTR) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
    };

    use nix::{
        fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
        sys::stat::Mode,
        unistd::mkfifo,
    };

    use super::*;

    #[test]
    fn a_fifo_that_goes_or_changes_is_reported_and_nobody_waits_for_that() {
        let directory = tempfile::tempdir().unwrap();
        let [fifo, moved] = ["fifo", "moved"].map(|name| directory.path().join(name));
        mkfifo(&fifo, Mode::S_IRUSR).unwrap();
        let events = Events::of_fifo(&fifo).unwrap();
        let Events::Fifo(inotify) = &events else {
            panic!("{events:?}");
        };
        let flags = |which| fcntl(inotify.as_fd(), which).unwrap();
        let status = OFlag::from_bits_retain(flags(FcntlArg::F_GETFL));
        assert!(status.contains(OFlag::O_NONBLOCK));
        let closing = FdFlag::from_bits_retain(flags(FcntlArg::F_GETFD));
        assert!(closing.contains(FdFlag::FD_CLOEXEC));
        assert!(!events.is_of_directory());
        assert!(!events.take_events(true), "nothing has happened");
        fs::set_permissions(&fifo, Permissions::from_mode(0o444)).unwrap();
        assert!(
            events.take_events(false),
            "its mode, or its number of names"
        );
        fs::rename(&fifo, moved).unwrap();
        assert!(events.take_events(false), "its name");
    }

    #[test]
    fn the_signal_is_blocked_while_a_directory_is_watched() {
        let is_blocked = || SigSet::thread_get_mask().unwrap().contains(INTERRUPT);
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_blocked());
        let events = Events::of_directory(directory.path()).unwrap();
        assert!(events.is_of_directory() && is_blocked());
        assert!(events.take_events(true) && !events.take_events(false));
        drop(events);
        assert!(!is_blocked());
    }
}
