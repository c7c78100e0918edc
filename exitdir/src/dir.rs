//! The directory: to signal, to look, to clear.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read, Write},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use coord_core::{Errno, HasErrno};
use log::debug;
use nix::{
    fcntl::{AT_FDCWD, AtFlags},
    libc,
    unistd::linkat,
};

use crate::{Error, Leader, Record, error::Kind};

/// The leader's entry.
pub(crate) const FILE: &str = "exitFile";

/// How long an empty record may be one that is being written.
pub(crate) const WRITING: Duration = Duration::from_millis(200);

/// More than any record; what is longer is none.
const LONGEST: u64 = 64 * 1024;

/// A directory in which an entry means: time to exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitDir(PathBuf);

/// Signals when it is dropped, in a panic too.
#[derive(Debug)]
#[must_use = "it signals when it is dropped"]
pub struct ExitGuard(Option<Leader>);

/// What is in the directory.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing that counts.
    Nothing,
    /// It is time to exit.
    Signal(Record),
    /// An empty record: an older leader's, or one that is being written.
    Empty,
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
    ExitDir::from_env()
        .map(ExitDir::lead)
        .transpose()
        .map(ExitGuard)
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
    /// `EBUSY` when another leader lives, and those of `open(2)`: `ENOENT`, `ENOTDIR`, `EACCES`.
    pub fn lead(self) -> Result<Leader, Error> {
        Leader::of(self)
    }

    /// Whether it is time to exit, and what the leader said. A record that is just being written is waited for, for 0.2 s.
    ///
    /// # Errors
    /// Those of `opendir(3)`: `ENOENT`, `ENOTDIR`, `EACCES`, `EMFILE`.
    pub fn signalled(&self) -> Result<Option<Record>, Error> {
        let started = Instant::now();
        loop {
            match self.look().map_err(|kind| kind.at(&self.0))? {
                Found::Nothing => return Ok(None),
                Found::Signal(record) => return Ok(Some(record)),
                Found::Empty if started.elapsed() >= WRITING => return Ok(Some(Record::default())),
                Found::Empty => thread::sleep(WRITING / 20),
            }
        }
    }

    /// Removes every entry, for a restart.
    ///
    /// # Errors
    /// `EBUSY` while a leader lives, and those of `unlink(2)`.
    pub fn clear(&self) -> Result<(), Error> {
        self.clone().lead()?.clear()
    }

    pub(crate) fn look(&self) -> Result<Found, Kind> {
        let names = self.names().map_err(Kind::io("read"))?;
        if names.is_empty() {
            return Ok(Found::Nothing);
        }
        if !names.iter().any(|name| name == FILE) {
            return Ok(Found::Signal(Record::default()));
        }
        Ok(match self.read() {
            Ok(bytes) if bytes.is_empty() => Found::Empty,
            Ok(bytes) => Found::Signal(Record::parse(&bytes)),
            // Nobody can tell what it says, but it is there.
            Err(_) => Found::Signal(Record::default()),
        })
    }

    /// Removes every entry; what is gone meanwhile is fine.
    pub(crate) fn empty(&self) -> io::Result<()> {
        for name in self.names()? {
            let path = self.0.join(name);
            debug!("removing {path:?}");
            let removed = if fs::symlink_metadata(&path).is_ok_and(|entry| entry.is_dir()) {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        let names = fs::read_dir(&self.0)?.map(|entry| entry.map(|entry| entry.file_name()));
        names
            .filter(|name| !matches!(name, Ok(name) if name == OsStr::new("lost+found")))
            .collect()
    }

    /// Not blocking, whatever somebody has put there in a record's place.
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut options = File::options();
        let file = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(self.0.join(FILE))?;
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
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
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let record = if thread::panicking() {
            Record::exited(101)
        } else {
            Record::exited(0)
        };
        // There is nobody to return the error to: followers learn that the leader died.
        if let Some(Err(error)) = self.0.as_ref().map(|leader| leader.dir().exit(&record)) {
            log::error!("{error}");
        }
    }
}

/// Where the filesystem has no nameless files. A record that cannot be written is taken away again.
fn create(target: &Path, line: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(target)?;
    file.write_all(line).inspect_err(|_| {
        let _ = fs::remove_file(target);
    })
}
