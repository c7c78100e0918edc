//! The directory: to signal, to look, to clear.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Write},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use coord_core::{Errno, HasErrno};
use log::debug;
use nix::{
    fcntl::{AT_FDCWD, AtFlags},
    libc,
    unistd::linkat,
};

use crate::{Error, Leader, Record, error::Kind, leader};

const FILE: &str = "exitFile";

/// How long an empty record may be one that is being written.
const WRITING: Duration = Duration::from_millis(100);

/// A directory in which an entry means: time to exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitDir(PathBuf);

/// Signals when it is dropped, in a panic too.
#[derive(Debug)]
#[must_use = "it signals when it is dropped"]
pub struct ExitGuard {
    dir: Option<ExitDir>,
    _leader: Option<Leader>,
}

/// Signals that it is time to exit, in the directory of `EXIT_DIR`. Without one, nothing happens.
///
/// # Errors
/// See [`ExitDir::exit`].
pub fn exit() -> Result<(), Error> {
    ExitDir::from_env().map_or(Ok(()), |dir| dir.exit(&Record::exited(0)).map(drop))
}

/// Leads the directory of `EXIT_DIR` until the guard is dropped, which signals. Without a directory, nothing happens.
///
/// # Errors
/// See [`ExitDir::lead`].
pub fn on_exit() -> Result<ExitGuard, Error> {
    let dir = ExitDir::from_env();
    let leader = dir.as_ref().map(ExitDir::lead).transpose()?;
    Ok(ExitGuard {
        dir,
        _leader: leader,
    })
}

impl ExitDir {
    /// A directory by its path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory of `EXIT_DIR`; none if that is unset or empty.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        env::var_os("EXIT_DIR")
            .filter(|dir| !dir.is_empty())
            .map(Self::new)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Signals. True if this was the first signal; a record that is there already is left as it is.
    ///
    /// The record appears whole. On a filesystem without `O_TMPFILE` it is empty for a moment.
    ///
    /// # Errors
    /// Those of `open(2)` and `linkat(2)`: `ENOENT`, `ENOTDIR`, `EACCES`, `EROFS`, `ENOSPC`.
    pub fn exit(&self, record: &Record) -> Result<bool, Error> {
        let line = record.now().to_json() + "\n";
        match self.write(line.as_bytes()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Kind::Io("signal in", error).at(&self.0)),
        }
    }

    /// Becomes the directory's leader: followers notice when it dies without a word.
    ///
    /// # Errors
    /// `EBUSY` when another leader lives, and those of `open(2)`.
    pub fn lead(&self) -> Result<Leader, Error> {
        Leader::of(&self.0).map_err(|kind| kind.at(&self.0))
    }

    /// Whether it is time to exit, and what the leader said.
    ///
    /// # Errors
    /// Those of `opendir(3)`: `ENOENT`, `ENOTDIR`, `EACCES`, `EMFILE`.
    pub fn signalled(&self) -> Result<Option<Record>, Error> {
        self.look().map_err(|kind| kind.at(&self.0))
    }

    /// Removes every entry, for a restart.
    ///
    /// # Errors
    /// `EBUSY` while a leader lives, and those of `unlink(2)`.
    pub fn clear(&self) -> Result<(), Error> {
        let _leader = self.lead()?;
        self.empty()
            .map_err(|error| Kind::Io("clear", error).at(&self.0))
    }

    /// Removes every entry; the caller leads the directory.
    ///
    /// # Errors
    /// Those of `unlink(2)`.
    pub fn clear_as(&self, _leader: &Leader) -> Result<(), Error> {
        self.empty()
            .map_err(|error| Kind::Io("clear", error).at(&self.0))
    }

    pub(crate) fn look(&self) -> Result<Option<Record>, Kind> {
        let mut found = false;
        for name in self.names().map_err(Kind::io("read"))? {
            if name == FILE {
                return Ok(Some(self.read()));
            }
            found = true;
        }
        Ok(found.then(Record::default))
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        let names = fs::read_dir(&self.0)?.map(|entry| entry.map(|entry| entry.file_name()));
        names
            .filter(|name| !matches!(name, Ok(name) if name == OsStr::new("lost+found")))
            .collect()
    }

    /// A record that cannot be read is one that says nothing.
    fn read(&self) -> Record {
        let read = || fs::read(self.0.join(FILE)).unwrap_or_default();
        let mut bytes = read();
        if bytes.is_empty() {
            thread::sleep(WRITING);
            bytes = read();
        }
        Record::parse(&bytes)
    }

    fn write(&self, line: &[u8]) -> io::Result<()> {
        let target = self.0.join(FILE);
        let nameless = File::options()
            .write(true)
            .mode(0o644)
            .custom_flags(libc::O_TMPFILE)
            .open(&self.0);
        match nameless {
            Ok(mut file) => {
                file.write_all(line)?;
                let source = format!("/proc/self/fd/{}", file.as_raw_fd());
                let link = linkat(
                    AT_FDCWD,
                    source.as_str(),
                    AT_FDCWD,
                    &target,
                    AtFlags::AT_SYMLINK_FOLLOW,
                );
                match link {
                    Err(nix::Error::ENOENT) if !Path::new(&source).exists() => {
                        create(&target, line)
                    }
                    other => Ok(other?),
                }
            }
            // What filesystems and kernels without O_TMPFILE answer, open(2).
            Err(error) if [Errno::EOPNOTSUPP, Errno::EISDIR].contains(&error.errno()) => {
                create(&target, line)
            }
            Err(error) => Err(error),
        }
    }

    fn empty(&self) -> io::Result<()> {
        for name in self.names()? {
            let path = self.0.join(name);
            debug!("removing {path:?}");
            let removed = if fs::symlink_metadata(&path).is_ok_and(|entry| entry.is_dir()) {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.or_else(|error| {
                if error.kind() == io::ErrorKind::NotFound {
                    Ok(())
                } else {
                    Err(error)
                }
            })?;
        }
        Ok(())
    }

    /// The directory itself, for its lock and its identity.
    pub(crate) fn open(&self) -> Result<File, Kind> {
        leader::open(&self.0)
    }
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let record = if thread::panicking() {
            Record::exited(101)
        } else {
            Record::exited(0)
        };
        if let Some(Err(error)) = self.dir.as_ref().map(|dir| dir.exit(&record)) {
            log::error!("{error}");
        }
    }
}

fn create(target: &Path, line: &[u8]) -> io::Result<()> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(target)?
        .write_all(line)
}
