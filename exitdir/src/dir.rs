//! The directory: signal in it, read it, clear it.

use std::{
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Error, Leader, Record,
    entries::{self, Found, WRITING},
    error::Kind,
    leader,
};

/// A directory in which an entry means that it is time to exit.
///
/// ```
/// use exitdir::{ExitDir, Record};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let dir = ExitDir::new(directory.path());
/// assert_eq!(dir.signalled()?, None);
/// dir.signal(&Record::exited(7).named("migration"))?;
/// let record = dir.signalled()?.expect("it is time to exit");
/// assert_eq!(record.status, Some(7));
/// dir.clear()?; // before a restart
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitDir(PathBuf);

/// Signals when it is dropped, also during a panic.
#[derive(Debug)]
#[must_use = "it signals when it is dropped"]
pub struct ExitGuard(Option<Leader>);

/// Signals in the directory of `EXIT_DIR` that it is time to exit. Does nothing without a
/// directory.
///
/// # Errors
/// See [`ExitDir::signal`].
pub fn signal_exit() -> Result<(), Error> {
    ExitDir::from_env().map_or(Ok(()), |dir| dir.signal(&Record::exited(0)).map(drop))
}

/// Leads the directory of `EXIT_DIR` until the guard is dropped, which signals. Does nothing
/// without a directory.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let _guard = exitdir::on_exit()?; // followers end when it is dropped, in a panic too
/// // the work
/// # Ok(())
/// # }
/// ```
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
    /// A directory at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory of `EXIT_DIR`, or `None` if the variable is unset or empty.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        env::var_os("EXIT_DIR")
            .filter(|dir| !dir.is_empty())
            .map(Self::new)
    }

    /// The directory's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Signals that it is time to exit. Returns true for the first signal; an existing record stays
    /// unchanged.
    ///
    /// The record appears in full. On a filesystem without `O_TMPFILE` it is empty for a moment.
    ///
    /// # Errors
    /// Those of `open(2)` and `linkat(2)`: `ENOENT`, `ENOTDIR`, `EACCES`, `EROFS`, `ENOSPC`.
    pub fn signal(&self, record: &Record) -> Result<bool, Error> {
        let line = record.now().to_json() + "\n";
        match entries::write(&self.0, line.as_bytes()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Kind::Io("signal in", error).at(&self.0)),
        }
    }

    /// Becomes the directory's leader: followers notice if it dies without signalling.
    ///
    /// # Errors
    /// `EBUSY` when another leader is running. When signalling there is impossible, those of
    /// `open(2)`: `ENOENT`, `ENOTDIR`, `EACCES`, `EROFS`.
    pub fn lead(self) -> Result<Leader, Error> {
        Leader::of(self)
    }

    /// Returns the leader's record if it is time to exit. If the record is new and empty, the
    /// leader may still be writing it. Then this waits up to 0.2 s for its content.
    ///
    /// # Errors
    /// Those of `opendir(3)`: `ENOENT`, `ENOTDIR`, `EACCES`, `EMFILE`.
    pub fn signalled(&self) -> Result<Option<Record>, Error> {
        let started = Instant::now();
        loop {
            match entries::look(&self.0).map_err(|kind| kind.at(&self.0))? {
                Found::Nothing => return Ok(None),
                Found::Signal(record) => return Ok(Some(record)),
                Found::Empty if started.elapsed() >= WRITING => return Ok(Some(Record::default())),
                Found::Empty => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// The names of the entries that signal.
    ///
    /// # Errors
    /// As for [`signalled`](Self::signalled).
    pub fn entries(&self) -> Result<Vec<OsString>, Error> {
        entries::names(&self.0).map_err(|error| Kind::Io("read", error).at(&self.0))
    }

    /// Removes the signal, for a restart.
    ///
    /// # Errors
    /// `EBUSY` while a leader is running; `ENOTEMPTY` when there are entries that do not come from
    /// signalling, and then nothing is removed; and those of `unlink(2)`.
    pub fn clear(&self) -> Result<(), Error> {
        self.alone(entries::remove_signal)
    }

    /// Removes every entry, with everything below it.
    ///
    /// # Errors
    /// `EBUSY` while a leader is running, and those of `unlink(2)`.
    pub fn clear_all(&self) -> Result<(), Error> {
        self.alone(entries::remove_all)
    }

    /// Runs `act` while nobody leads. Followers do not notice.
    fn alone(&self, act: impl FnOnce(&Path) -> Result<(), Kind>) -> Result<(), Error> {
        let done = leader::exclude(&self.0).and_then(|(_excluded, is_alone)| {
            if !is_alone {
                leader::warn_of_lock(&self.0);
            }
            act(&self.0)
        });
        done.map_err(|kind| kind.at(&self.0))
    }
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let record = if thread::panicking() {
            Record::exited(101)
        } else {
            Record::exited(0)
        };
        // Nobody can receive the error: followers see that the leader died.
        if let Some(Err(error)) = self.0.as_ref().map(|leader| leader.signal(&record)) {
            log::error!("{error}");
        }
    }
}
