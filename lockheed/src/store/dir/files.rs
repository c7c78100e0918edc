//! The files of the directory, and how they are changed so that none is ever half-written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use coord_core::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::failed;
use crate::{
    LockName,
    store::{StoreError, StoreErrorKind},
};

/// What a lock's file is called after.
const SUFFIX: &str = ".json";

/// How long another writer is waited for. One takes as long as the disk does, unless it was stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// Digits of the counter, so that it never grows.
const DIGITS: usize = 20;

/// The directory.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
}

/// While this lives, nobody else writes.
pub(super) struct Guard(#[expect(dead_code, reason = "dropping it frees the lock")] Flock<File>);

impl Files {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    fn lock_path(&self, name: &LockName) -> PathBuf {
        self.dir.join(format!("{name}{SUFFIX}"))
    }

    /// The text of a lock.
    pub(super) fn read(&self, name: &LockName) -> Result<String, StoreError> {
        let path = self.lock_path(name);
        let bytes = fs::read(&path).map_err(|error| failed("read", &path, error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The locks there are, in order.
    pub(super) fn names(&self) -> Result<Vec<LockName>, StoreError> {
        let error = |error| failed("list", &self.dir, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(error)? {
            let file = entry.map_err(error)?.file_name();
            let stem = file.to_str().and_then(|file| file.strip_suffix(SUFFIX));
            names.extend(stem.and_then(|stem| stem.parse::<LockName>().ok()));
        }
        names.sort();
        Ok(names)
    }

    /// The lock that a file of the directory is, if it is one.
    pub(super) fn name_of(file: &str) -> Option<LockName> {
        file.strip_suffix(SUFFIX)?.parse().ok()
    }

    /// Keeps other writers out.
    pub(super) fn guard(&self) -> Result<Guard, StoreError> {
        let path = self.path(".guard");
        let mut file = self.open_shared(".guard")?;
        let started = Instant::now();
        let mut pause = Duration::from_micros(100);
        loop {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(guard) => return Ok(Guard(guard)),
                Err((file, nix::errno::Errno::EWOULDBLOCK)) => file,
                Err((_, error)) => return Err(failed("lock", &path, error.into())),
            };
            if started.elapsed() > PATIENCE {
                let text = format!(
                    "another process has held {path:?} for {PATIENCE:?}: it may be stopped"
                );
                return Err(StoreError::new(
                    StoreErrorKind::Unavailable,
                    Errno::ETIMEDOUT,
                    text,
                ));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(2));
        }
    }

    /// Opens a file that all processes share and nobody removes, and makes it if need be. Never with both at once: the kernel refuses to
    /// open another user's file in a sticky directory with `O_CREAT` (`protected_regular`, `proc_sys_fs(5)`).
    pub(super) fn open_shared(&self, file: &str) -> Result<File, StoreError> {
        let path = self.path(file);
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o666);
        loop {
            match options.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => return done.map_err(|error| failed("open", &path, error)),
            }
            match options.clone().create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => return done.map_err(|error| failed("create", &path, error)),
            }
        }
    }

    /// The next version. It is on the disk when this returns. To be called under the guard.
    pub(super) fn count(&self) -> Result<u64, StoreError> {
        let path = self.path(".counter");
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.begin_counter()?,
            Err(error) => return Err(failed("open", &path, error)),
        };
        let next = read_counter(&file, &path)? + 1;
        let text = format!("{next:0DIGITS$}\n");
        let written = file
            .write_all_at(text.as_bytes(), 0)
            .and_then(|()| file.sync_data());
        written.map_err(|error| failed("write", &path, error))?;
        Ok(next)
    }

    /// The last version that was given; zero before the first.
    pub(super) fn counted(&self) -> Result<u64, StoreError> {
        let path = self.path(".counter");
        match File::open(&path) {
            Ok(file) => read_counter(&file, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(failed("open", &path, error)),
        }
    }

    /// A directory that has locks and no counter has lost it: beginning again would give tokens that were given before.
    fn begin_counter(&self) -> Result<File, StoreError> {
        let path = self.path(".counter");
        if !self.names()?.is_empty() {
            let text = format!(
                "{path:?} is missing, though there are locks: write a number there that is higher than every token so far"
            );
            return Err(StoreError::new(
                StoreErrorKind::Invalid,
                Errno::EINVAL,
                text,
            ));
        }
        self.write_whole(".counter", &format!("{:0DIGITS$}\n", 0))?;
        self.open_shared(".counter")
    }

    /// Replaces a lock, whole or not at all. To be called under the guard.
    pub(super) fn replace(&self, name: &LockName, text: &str) -> Result<(), StoreError> {
        self.write_whole(&format!("{name}{SUFFIX}"), text)
    }

    /// Removes a lock. To be called under the guard.
    pub(super) fn remove(&self, name: &LockName) -> Result<(), StoreError> {
        let path = self.lock_path(name);
        fs::remove_file(&path).map_err(|error| failed("remove", &path, error))
    }

    /// Under a temporary name first, and on the disk before it gets its own. To be called under the guard.
    pub(super) fn write_whole(&self, file: &str, text: &str) -> Result<(), StoreError> {
        let (path, new) = (self.path(file), self.path(&format!(".{file}.new")));
        let write = || {
            // One that a killed writer left may be another user's.
            let _ = fs::remove_file(&new);
            let mut written = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o666)
                .open(&new)?;
            written.write_all(text.as_bytes())?;
            written.sync_data()?;
            fs::rename(&new, &path)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&new);
            failed("write", &path, error)
        })
    }
}

fn read_counter(mut file: &File, path: &Path) -> Result<u64, StoreError> {
    let mut text = String::new();
    let read = file.read_to_string(&mut text);
    read.map_err(|error| failed("read", path, error))?;
    let digits = text
        .strip_suffix('\n')
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        let text = format!("{path:?} does not contain a number: write one there that is higher than every token so far");
        StoreError::new(StoreErrorKind::Invalid, Errno::EINVAL, text)
    })
}
