//! Locks in a directory, for the processes of one machine.
//!
//! Each lock is a file, replaced by `rename(2)`, so that readers need no lock of their own. Writers take a `flock(2)` on `.guard`, which is
//! never removed. `.counter` gives every write its version, and is on the disk before the version is used, so that tokens rise across
//! deletions, crashes and reboots. `.clock` says what the directory's time is: `CLOCK_BOOTTIME` and an epoch, of one boot and one
//! time namespace. `.holders` is where living holders hold a byte each (`F_OFD_SETLK`, `fcntl_locking(2)`).

mod alive;
mod files;
mod format;
mod place;
mod watch;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use coord_core::{Errno, HasErrno};

use super::{Object, Scope, Store, StoreError, StoreErrorKind, Version};
use crate::{LockName, Timestamp};
pub use alive::ProofOfLife;
use files::Files;
use place::Place;
pub use watch::DirWatch;

/// A store in a directory of this machine.
///
/// The file system must be a local one: on NFS and the like, opening it fails. A process that is stopped in the middle of a write keeps
/// others from writing; they go on when it does.
#[derive(Clone, Debug)]
pub struct DirStore {
    files: Arc<Files>,
    place: Arc<Place>,
}

impl DirStore {
    /// Opens a directory that is there.
    ///
    /// # Errors
    /// `ENOENT` when it is not; `EOPNOTSUPP` on a network file system; `EINVAL` when it is in use from another time namespace; those of
    /// `open(2)`.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let files = Files::new(path.into());
        let place = Place::find(&files)?;
        Ok(Self {
            files: Arc::new(files),
            place: Arc::new(place),
        })
    }

    /// Opens a directory, and makes it if it is not there.
    ///
    /// # Errors
    /// As [`open`](Self::open), and those of `mkdir(2)`.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        std::fs::create_dir_all(&path).map_err(|error| failed("create", &path, error))?;
        Self::open(path)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.files.dir()
    }

    /// What shows others that this process lives, or whoever else has the descriptor: a lease that names it is over as soon as
    /// nobody has it any more.
    ///
    /// # Errors
    /// Those of `open(2)` and `fcntl(2)`.
    pub fn prove_life(&self) -> Result<ProofOfLife, StoreError> {
        ProofOfLife::new(&self.files)
    }

    /// Blocking work, away from the runtime's own thread: a slow disk must not keep timers from firing.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.unwrap_or_else(|error| {
            let text = format!("work on {:?} did not end", self.path());
            Err(StoreError::new(StoreErrorKind::Unknown, Errno::EIO, text).caused_by(error))
        })
    }

    fn look(&self, name: &LockName) -> Result<Object, StoreError> {
        let text = self.files.read(name)?;
        let mut object = format::read(name, &text);
        format::drop_void(&mut object, &self.place, |number| {
            alive::is_dead(&self.files, number)
        });
        Ok(object.object)
    }

    fn put(&self, object: &Object, expected: Option<&Object>) -> Result<Object, StoreError> {
        self.place.check(&self.files)?;
        let _guard = self.files.guard()?;
        match (self.files.read(&object.name), expected) {
            (Ok(text), Some(expected)) => {
                compare(&format::read(&expected.name, &text).object, expected)?;
            }
            (Ok(_), None) => return Err(refused(StoreErrorKind::Exists, &object.name)),
            (Err(error), None) if error.kind() == StoreErrorKind::NotFound => {}
            (Err(error), _) => return Err(error),
        }
        let number = self.files.count()?;
        let mut new = object.clone();
        new.version = Version::new(number.to_string());
        if expected.is_none() {
            new.uid = format!("dir-{number}");
        }
        let text = format::write(&new, &self.place.boot);
        self.files.replace(&new.name, &text)?;
        Ok(format::read(&new.name, &text).object)
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.place.check(&self.files)?;
        let _guard = self.files.guard()?;
        let text = self.files.read(&object.name)?;
        compare(&format::read(&object.name, &text).object, object)?;
        self.files.count()?;
        self.files.remove(&object.name)
    }

    fn all(&self) -> Result<Vec<Object>, StoreError> {
        let mut found = Vec::new();
        for name in self.files.names()? {
            match self.look(&name) {
                Ok(object) => found.push(object),
                Err(error) if error.kind() == StoreErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

impl Store for DirStore {
    type Watch = DirWatch;

    async fn get(&self, name: &LockName) -> Result<Object, StoreError> {
        let name = name.clone();
        self.blocking(move |store| store.look(&name)).await
    }

    async fn create(&self, object: &Object) -> Result<Object, StoreError> {
        let object = object.clone();
        self.blocking(move |store| store.put(&object, None)).await
    }

    async fn update(&self, object: &Object) -> Result<Object, StoreError> {
        let object = object.clone();
        self.blocking(move |store| store.put(&object, Some(&object)))
            .await
    }

    async fn delete(&self, object: &Object) -> Result<(), StoreError> {
        let object = object.clone();
        self.blocking(move |store| store.remove(&object)).await
    }

    async fn list(&self) -> Result<Vec<Object>, StoreError> {
        self.blocking(Self::all).await
    }

    async fn watch(&self, scope: &Scope, since: Option<&Version>) -> Result<DirWatch, StoreError> {
        DirWatch::begin(self.clone(), scope.clone(), since).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_unix(
            self.place.epoch + coord_core::boottime(),
        ))
    }

    fn clock_skew(&self) -> Duration {
        Duration::ZERO
    }
}

fn compare(there: &Object, expected: &Object) -> Result<(), StoreError> {
    if there.version == expected.version && there.uid == expected.uid {
        Ok(())
    } else {
        Err(refused(StoreErrorKind::Conflict, &expected.name))
    }
}

fn refused(kind: StoreErrorKind, name: &LockName) -> StoreError {
    let (errno, text) = match kind {
        StoreErrorKind::Exists => (Errno::EEXIST, "exists already"),
        _ => (Errno::EAGAIN, "was changed by somebody else"),
    };
    StoreError::new(kind, errno, format!("lock {name} {text}"))
}

/// A system call failed; nothing was changed. What may work later by itself is told from what needs somebody to act.
fn failed(doing: &str, path: &Path, error: io::Error) -> StoreError {
    let errno = error.errno();
    let kind = match errno {
        Errno::ENOENT => StoreErrorKind::NotFound,
        Errno::EACCES | Errno::EPERM => StoreErrorKind::Denied,
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EAGAIN | Errno::EINTR => {
            StoreErrorKind::Unavailable
        }
        _ => StoreErrorKind::Invalid,
    };
    StoreError::new(kind, errno, format!("cannot {doing} {path:?}")).caused_by(error)
}
