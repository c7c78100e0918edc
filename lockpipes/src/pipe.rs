//! The public type for a pipe.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use log::{debug, info, warn};
use nix::{errno::Errno, libc::mode_t, sys::stat::Mode, unistd::mkfifo};

use crate::{
    error::{Action, Error, Kind},
    fifo::{self, Fifo},
    read::drain,
    write::meet_reader,
};

/// A named pipe that processes wait on. Nothing is opened or created before you call a method.
///
/// ```
/// use std::{thread, time::Duration};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let pipe = lockpipes::LockPipe::new(directory.path().join("ready"));
/// pipe.create()?;
/// let waiter = thread::spawn({
///     let pipe = pipe.clone();
///     move || pipe.read_timeout(Duration::from_secs(10))
/// });
/// pipe.write()?; // lets every waiting reader go
/// waiter.join().expect("no panic")?;
/// pipe.delete()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockPipe {
    path: PathBuf,
    mode: Mode,
}

impl LockPipe {
    /// A pipe at this path. Methods that create it use mode 0600.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            mode: Mode::S_IRUSR | Mode::S_IWUSR,
        }
    }

    /// Sets the permission bits for pipes that are created from now on, less the process's umask
    /// (`mkfifo(3)`). Bits other than 0777 are dropped.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "nine bits are left")]
    pub fn with_mode(mut self, mode: u32) -> Self {
        self.mode = Mode::from_bits_truncate((mode & 0o777) as mode_t);
        self
    }

    /// The path of the pipe.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the FIFO. Returns true if it was created, false if it already exists.
    ///
    /// # Errors
    /// `EEXIST` when something other than a FIFO is at the path, which stays unchanged; and those
    /// of `mkfifo(3)`: `ENOENT`, `ENOTDIR`, `EACCES`, `EROFS`, `ENOSPC`, `ENAMETOOLONG`, `ELOOP`.
    pub fn create(&self) -> Result<bool, Error> {
        let made = self
            .make()
            .map_err(|kind| kind.at(Action::Create, &self.path))?;
        if !made {
            warn!("pipe already exists at {:?}", self.path);
        }
        Ok(made)
    }

    /// Whether a FIFO is at the path.
    ///
    /// # Errors
    /// `EEXIST` when something else is there, and those of `open(2)`: `ENOTDIR`, `EACCES`,
    /// `ENAMETOOLONG`, `ELOOP`.
    pub fn exists(&self) -> Result<bool, Error> {
        debug!("checking if pipe exists at {:?}", self.path);
        let found = Fifo::find(&self.path)
            .map_err(|kind| kind.at(Action::Check, &self.path))?
            .is_some();
        info!(
            "pipe {} at {:?}",
            if found { "exists" } else { "does not exist" },
            self.path
        );
        Ok(found)
    }

    /// Waits for a writer, then discards what is written until the last writer has closed. Creates
    /// the FIFO if it is missing.
    ///
    /// # Errors
    /// Those of [`create`](Self::create); `EACCES` without the right to read; `ENOENT` when the
    /// FIFO is removed or replaced before a writer has come. Where there are events, it notices
    /// both at once.
    pub fn read(&self) -> Result<(), Error> {
        self.read_within(None)
    }

    /// Like [`read`](Self::read), for at most this long, including the discarding.
    ///
    /// # Errors
    /// As for [`read`](Self::read), and `ETIMEDOUT`.
    pub fn read_timeout(&self, limit: Duration) -> Result<(), Error> {
        self.read_within(Some(limit))
    }

    /// Waits for a reader and writes nothing. Creates the FIFO if it is missing.
    ///
    /// # Errors
    /// Those of [`create`](Self::create); `EACCES` without the right to write; `ENOENT` when the
    /// FIFO is removed or replaced before a reader has come. Where there are events, it notices
    /// both at once.
    pub fn write(&self) -> Result<(), Error> {
        self.write_within(None)
    }

    /// Like [`write`](Self::write), for at most this long.
    ///
    /// # Errors
    /// As for [`write`](Self::write), and `ETIMEDOUT`.
    pub fn write_timeout(&self, limit: Duration) -> Result<(), Error> {
        self.write_within(Some(limit))
    }

    /// Removes the FIFO. Returns true if it was removed, false if nothing was there.
    ///
    /// The check and the removal are two steps. If another file replaces the FIFO between them,
    /// that file is removed.
    ///
    /// # Errors
    /// `EEXIST` when something else is there, also a symbolic link to a FIFO; it stays unchanged.
    /// And those of `unlink(2)`: `EACCES`, `EROFS`, `ENOTDIR`, `EBUSY`.
    pub fn delete(&self) -> Result<bool, Error> {
        let deleted = self
            .unlink()
            .map_err(|kind| kind.at(Action::Delete, &self.path))?;
        if deleted {
            info!("deleted pipe at {:?}", self.path);
        } else {
            warn!("pipe does not exist at {:?}", self.path);
        }
        Ok(deleted)
    }

    fn read_within(&self, limit: Option<Duration>) -> Result<(), Error> {
        let read = || {
            let fifo = self.ensure()?;
            debug!("reading from pipe at {:?}", self.path);
            drain(fifo, limit)
        };
        read().map_err(|kind| kind.at(Action::Read, &self.path))?;
        info!("read from pipe at {:?}", self.path);
        Ok(())
    }

    fn write_within(&self, limit: Option<Duration>) -> Result<(), Error> {
        let write = || {
            let fifo = self.ensure()?;
            debug!("writing to pipe at {:?}", self.path);
            meet_reader(fifo, limit)
        };
        write().map_err(|kind| kind.at(Action::Write, &self.path))?;
        info!("wrote to pipe at {:?}", self.path);
        Ok(())
    }

    /// Finds the FIFO at the path, or creates it. If another process creates it first, uses that
    /// one.
    fn ensure(&self) -> Result<Fifo, Kind> {
        debug!("ensuring pipe exists at {:?}", self.path);
        if let Some(fifo) = Fifo::find(&self.path)? {
            info!("pipe exists at {:?}", self.path);
            return Ok(fifo);
        }
        warn!("pipe does not exist at {:?}", self.path);
        if !self.make()? {
            info!("pipe exists at {:?}", self.path);
        }
        Fifo::find(&self.path)?.ok_or(Kind::Removed)
    }

    fn make(&self) -> Result<bool, Kind> {
        debug!("creating pipe at {:?}", self.path);
        match mkfifo(&self.path, self.mode) {
            Ok(()) => {
                info!("created pipe at {:?}", self.path);
                Ok(true)
            }
            Err(Errno::EEXIST) => Fifo::find(&self.path)?.map(|_| false).ok_or(Kind::Removed),
            // System call filters return these.
            Err(error @ (Errno::EPERM | Errno::ENOSYS)) => Err(Kind::call("mknod")(error)),
            Err(error) => Err(error.into()),
        }
    }

    fn unlink(&self) -> Result<bool, Kind> {
        if Fifo::find(&self.path)?.is_none() {
            return Ok(false);
        }
        fifo::check_is_no_link(&self.path)?;
        was_there(fs::remove_file(&self.path))
    }
}

/// Whether there was anything to remove.
fn was_there(removed: io::Result<()>) -> Result<bool, Kind> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => Ok(removed.map(|()| true)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody else was faster.
    #[test]
    fn what_is_gone_need_not_be_removed() {
        let was_there = |removed| was_there(removed).ok();
        assert_eq!(was_there(Ok(())), Some(true));
        assert_eq!(was_there(Err(Errno::ENOENT.into())), Some(false));
        assert_eq!(was_there(Err(Errno::EBUSY.into())), None);
    }
}
