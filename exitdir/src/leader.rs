//! The leader: at most one, and alive as long as [`life`](crate::life) shows.

use std::{
    fs::File,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
    thread::sleep,
    time::Duration,
};

use coord_core::errno::with_sources;
use log::warn;
use nix::libc;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::{
    Error, ExitDir, Record, entries,
    error::Kind,
    life::{self, Proof},
    succession,
};

/// How often, and how long in all, we check whether the lock's holder announces that it leads.
const TRIES: u32 = 20;
const PATIENCE: Duration = Duration::from_millis(100);

/// A directory's leader. It leads until this value is dropped, or longer if another process holds
/// its descriptors.
///
/// ```
/// use exitdir::{ExitDir, Record};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
/// let leader = ExitDir::new(path).lead()?;
/// assert!(ExitDir::new(path).lead().is_err()); // there is one already
/// leader.signal(&Record::exited(0).named("main"))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Leader {
    dir: ExitDir,
    lock: File,
    life: Option<File>,
}

impl Leader {
    pub(crate) fn of(dir: ExitDir) -> Result<Self, Error> {
        let begun = begin(dir.path());
        match begun {
            Ok((lock, life)) => Ok(Self { dir, lock, life }),
            Err(kind) => Err(kind.at(dir.path())),
        }
    }

    /// The directory that it leads.
    #[must_use]
    pub fn dir(&self) -> &ExitDir {
        &self.dir
    }

    /// Signals the end of what was led. If the record cannot be written, for example on a full
    /// disk, an empty `exitFile` replaces it and the reason is logged. Returns false if there
    /// already was a signal.
    ///
    /// # Errors
    /// Those of [`ExitDir::signal`], when not even an empty file can be created. Followers then see
    /// that the leader died.
    pub fn signal(&self, record: &Record) -> Result<bool, Error> {
        let error = match self.dir.signal(record) {
            Err(error) => error,
            signalled => return signalled,
        };
        if entries::write_empty(self.dir.path()).is_err() {
            return Err(error);
        }
        warn!(
            "{}; an empty exitFile stands in for the record",
            with_sources(&error)
        );
        Ok(true)
    }

    /// Removes the signal of an earlier run, for a restart.
    ///
    /// # Errors
    /// `ENOTEMPTY` when there are entries that do not come from signalling, and then nothing is
    /// removed; and those of `unlink(2)`.
    pub fn clear(&self) -> Result<(), Error> {
        entries::remove_signal(self.dir.path()).map_err(|kind| kind.at(self.dir.path()))
    }

    /// Removes every entry, with everything below it.
    ///
    /// # Errors
    /// Those of `unlink(2)`.
    pub fn clear_all(&self) -> Result<(), Error> {
        entries::remove_all(self.dir.path()).map_err(|kind| kind.at(self.dir.path()))
    }

    /// The descriptors that show followers the leader is alive, for another process that must hold
    /// them too.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let life = self.life.iter().map(AsFd::as_fd);
        life.chain([self.lock.as_fd()])
    }
}

/// Opens the directory and nothing else.
pub(crate) fn open(dir: &Path) -> Result<File, Kind> {
    File::options()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(dir)
        .map_err(Kind::io("open"))
}

/// Keeps leaders out as long as the file is open. Returns false if someone else holds the lock and
/// does not lead, or not yet.
///
/// The lock alone decides nothing: anybody who may read the directory can take it. So the holder
/// has a moment to announce that it leads. If it does not, it is no leader, or one that was stopped
/// as it began, and then [`succession`] decides.
pub(crate) fn exclude(path: &Path) -> Result<(File, bool), Kind> {
    let dir = open(path)?;
    for _ in 0..=TRIES {
        let locked = match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(Errno::WOULDBLOCK) => false,
            Err(error) => return Err(Kind::call("lock", "flock")(error)),
        };
        if let Some(Proof::File(_)) = life::living(&dir)? {
            return Err(Kind::Led);
        }
        if locked {
            return Ok((dir, true));
        }
        sleep(PATIENCE / TRIES);
    }
    if life::can_be_told(&dir) {
        Ok((dir, false))
    } else {
        Err(Kind::Led)
    }
}

/// For [`exclude`]'s caller, if the lock did not matter.
pub(crate) fn warn_of_lock(path: &Path) {
    warn!("a process that does not lead has locked {path:?}; this does not keep leaders out");
}

/// The lock on the directory comes before the leader is named: whoever sees the name must see the
/// lock too.
fn begin(path: &Path) -> Result<(File, Option<File>), Kind> {
    let (dir, is_alone) = exclude(path)?;
    let begun = life::begin(&dir, path)?;
    if begun.is_none() && !is_alone {
        // Without a file it needs the lock that keeps leaders out, and another process has that.
        return Err(Kind::Led);
    }
    let (file, own) = match begun {
        Some((file, lock)) => (Some(file), Proof::File(lock)),
        None => (None, Proof::of_directory()),
    };
    life::lock_directory(&dir, &own)?;
    match succession::succeed(&dir, &own, is_alone) {
        Ok(false) => return Err(Kind::Led),
        Err(error) if !is_alone => return Err(Kind::call("name the leader of", "setxattr")(error)),
        Ok(true) | Err(Errno::OPNOTSUPP) => {}
        Err(error) => warn!(
            "followers will not notice if this leader dies, and another may lead beside it: \
            setxattr: {error}"
        ),
    }
    if !life::is_at(&dir, path)? {
        return Err(Kind::Removed);
    }
    if !is_alone {
        warn_of_lock(path);
    }
    Ok((dir, file))
}
