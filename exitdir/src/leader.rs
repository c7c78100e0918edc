//! The leader's life, as a kernel lock on the directory itself.
//!
//! Two locks, both dropped by the kernel however the leader ends: an exclusive `flock(2)` keeps a second leader out, and a read lock
//! on the open file description (`F_OFD_SETLK`, `fcntl_locking(2)`) is what followers ask about, never taking any.

use std::{
    fs::File,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, Flock, FlockArg, fcntl},
    libc,
};

use crate::{Error, ExitDir, error::Kind};

/// A living leader of a directory, as long as this lives.
#[derive(Debug)]
pub struct Leader {
    dir: ExitDir,
    lock: Flock<File>,
}

impl Leader {
    pub(crate) fn of(dir: ExitDir) -> Result<Self, Error> {
        match lock(dir.path()) {
            Ok(lock) => Ok(Self { dir, lock }),
            Err(kind) => Err(kind.at(dir.path())),
        }
    }

    /// The directory it leads.
    #[must_use]
    pub fn dir(&self) -> &ExitDir {
        &self.dir
    }

    /// Removes every entry, for a restart.
    ///
    /// # Errors
    /// Those of `unlink(2)`.
    pub fn clear(&self) -> Result<(), Error> {
        let emptied = self.dir.empty().map_err(Kind::io("clear"));
        emptied.map_err(|kind| kind.at(self.dir.path()))
    }
}

/// For a process that is to hold the locks too.
impl AsFd for Leader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }
}

/// Opens the directory, and nothing else.
pub(crate) fn open(dir: &Path) -> Result<File, Kind> {
    File::options()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(dir)
        .map_err(Kind::io("open"))
}

/// Whether a leader lives.
pub(crate) fn lives(dir: &File) -> Result<bool, Kind> {
    let mut lock = whole(libc::F_WRLCK);
    fcntl(dir, FcntlArg::F_OFD_GETLK(&mut lock)).map_err(Kind::io("ask for the leader of"))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

fn lock(dir: &Path) -> Result<Flock<File>, Kind> {
    let lock = Flock::lock(open(dir)?, FlockArg::LockExclusiveNonblock);
    let lock = lock.map_err(|(_, error)| match error {
        Errno::EWOULDBLOCK => Kind::Led,
        error => Kind::io("lock")(error),
    })?;
    fcntl(&*lock, FcntlArg::F_OFD_SETLK(&whole(libc::F_RDLCK))).map_err(Kind::io("lock"))?;
    Ok(lock)
}

/// A lock of this kind on the whole file.
fn whole(kind: i32) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
