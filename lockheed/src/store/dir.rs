//! Locks in a directory, for the processes of one machine.
//!
//! Each lock is a file that is replaced by `rename(2)`, so readers need no lock of their own. The
//! other files are:
//!
//! - `.guard`: writers take a `flock(2)` on it, and wait for it in the kernel.
//! - `.counter`: gives every write its version. A limit is on the disk before versions up to it are
//!   used, so tokens rise across deletions, crashes and reboots.
//! - `.clock`: defines the directory's time as `CLOCK_BOOTTIME` plus an epoch, for one boot and one
//!   time namespace.
//! - `.holders`: living holders lock a byte each in it (`F_OFD_SETLK`, `fcntl_locking(2)`).
//! - `.waiting`: the kernel keeps the queue for each lock in it.
//!
//! A cleaner of old files may remove any of these while locks are held. `.guard`, `.holders` and
//! `.waiting` are then made again, and a new one proves nothing about who had locked the old one.
//! `.clock` is put back. Without `.counter` nobody can write.

mod alive;
mod counter;
mod events;
mod files;
mod format;
mod guard;
mod open;
mod place;
mod queue;
mod range;
mod sharing;
mod wait;
mod watch;
mod worker;

use std::{
    collections::BTreeMap,
    io, mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use coord_core::{Errno, HasErrno, errno::with_sources};
use log::{debug, warn};
use tokio::sync::watch as channel;

use super::{Object, Scope, Store, StoreError, StoreErrorKind, Version};
use crate::{LockName, Timestamp, fair::ObservedQueue};
pub use alive::ProofOfLife;
use files::Files;
use place::Place;
use queue::{Queue, Queues};
pub use watch::DirWatch;
use worker::Worker;

/// For each lock, the latest version that was written through a store and left the lock held.
type Written = channel::Receiver<BTreeMap<LockName, Version>>;

/// The annotations of a reservation, as Go programs write it. They make newcomers leave a free lock
/// for 2 s to the contender that has waited for it.
const RESERVED_BY: &str = "reserved/by";
const RESERVED_UNTIL: &str = "reserved/expires";
const QUEUE: &str = "the queue";
const RESERVATION: Duration = Duration::from_secs(2);

/// A store in a directory of this machine.
///
/// The file system must be local: on NFS and the like, opening fails. Anybody who may write to the
/// directory can use all its locks. Anybody who may only read it can look, but cannot block others.
/// A process that is stopped in the middle of a write keeps others from writing until it continues.
///
/// A thread of the store's own does all the work, in order.
///
/// ```
/// use lockheed::{DirStore, Lock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("locks");
/// let store = DirStore::create_with_mode(path, 0o2770)?; // shared with the directory's group
/// let held = Lock::new(store, "deploy".parse()?).acquire().await?;
/// held.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DirStore {
    files: Arc<Files>,
    place: Arc<Place>,
    queues: Arc<Queues>,
    written: Arc<channel::Sender<BTreeMap<LockName, Version>>>,
    worker: Arc<Worker>,
    /// The fair queue that was last read: of a similar one, only what is new must be parsed.
    last_queue: Arc<Mutex<ObservedQueue>>,
}

impl DirStore {
    /// Opens an existing directory.
    ///
    /// # Errors
    /// `ENOENT` when it does not exist; `EOPNOTSUPP` on a network file system; `EINVAL` when
    /// another time namespace uses it, or one of the store's names is not a regular file; `EAGAIN`
    /// when no thread can be started; otherwise as for `open(2)`.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let files = Files::open(path.into())?;
        let place = Place::find(&files)?;
        let worker = Worker::start();
        let worker = worker.map_err(|error| failed("start a thread for", files.dir(), error))?;
        Ok(Self {
            files: Arc::new(files),
            place: Arc::new(place),
            queues: Arc::default(),
            written: Arc::default(),
            worker: Arc::new(worker),
            last_queue: Arc::default(),
        })
    }

    /// Opens a directory, and creates it if it does not exist.
    ///
    /// # Errors
    /// As for [`open`](Self::open), and those of `mkdir(2)`.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::create_with(path.into(), None)
    }

    /// Like [`create`](Self::create), but a new directory gets these permissions, whatever the
    /// umask. For example, `0o2770` shares the directory with its group. Its files get matching
    /// permissions.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub fn create_with_mode(path: impl Into<PathBuf>, mode: u32) -> Result<Self, StoreError> {
        Self::create_with(path.into(), Some(mode))
    }

    fn create_with(path: PathBuf, mode: Option<u32>) -> Result<Self, StoreError> {
        files::make(&path, mode).map_err(|error| failed("create", &path, error))?;
        Self::open(path)
    }

    /// The directory's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.files.dir()
    }

    /// Creates a proof that this process is alive. Other processes can hold a copy of its
    /// descriptor. A lease that names the proof ends as soon as the last copy is closed.
    ///
    /// # Errors
    /// Those of `open(2)` and `fcntl(2)`.
    pub fn prove_life(&self) -> Result<ProofOfLife, StoreError> {
        ProofOfLife::new(&self.files)
    }

    /// Runs blocking work on another thread, so that a slow disk cannot delay the runtime's timers.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let done = self.worker.run(move || work(&store)).await;
        done.unwrap_or_else(|| {
            let text = format!("work on {:?} did not end", self.path());
            Err(StoreError::new(StoreErrorKind::Unknown, Errno::EIO, text))
        })
    }

    fn read(&self, name: &LockName) -> Result<format::Read, StoreError> {
        let mut lock = self.load(name)?;
        let holders = alive::Holders::of(&self.files);
        let life = |number| holders.life(number);
        let mut last = mem::take(&mut *self.last_queue());
        format::drop_void(&mut lock, &mut last, &self.place, life);
        *self.last_queue() = last;
        Ok(lock)
    }

    fn last_queue(&self) -> MutexGuard<'_, ObservedQueue> {
        let last = self.last_queue.lock();
        last.unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a lock as it was written.
    fn load(&self, name: &LockName) -> Result<format::Read, StoreError> {
        let mut lock = format::read(name, &self.files.read(name)?);
        let Some(error) = lock.unreadable.take() else {
            return Ok(lock);
        };
        let path = self.path().join(format!("{name}.json"));
        let text = format!(
            "lock {name} cannot be read: \"store\" in {path:?} is not what this program wrote: put the file back, or remove it while nobody holds the lock"
        );
        Err(invalid(Errno::EINVAL, text).caused_by(error))
    }

    /// Reads a lock as a contender outside the queue sees it: a free lock with waiters is reserved.
    fn look(&self, name: &LockName) -> Result<Object, StoreError> {
        let format::Read {
            mut object,
            queue: number,
            ..
        } = self.read(name)?;
        let queue = Queue {
            name: name.clone(),
            number,
        };
        let has_turn = || self.queues.turn_in(name).is_some();
        if format::is_free(&object) && !has_turn() && queue.is_taken(&self.files) {
            let until = self.time().plus(RESERVATION).to_string();
            let reserved = [(RESERVED_BY, QUEUE.to_owned()), (RESERVED_UNTIL, until)];
            let reserved = reserved.map(|(key, value)| (key.to_owned(), value));
            object.annotations.extend(reserved);
        }
        Ok(object)
    }

    fn put(&self, object: &Object, expected: Option<&Object>) -> Result<Object, StoreError> {
        let guard = self.files.guard()?;
        self.place.keep(&self.files)?;
        let mut queue = 0;
        match (self.load(&object.name), expected) {
            (Ok(there), Some(expected)) => {
                compare(&there.object, expected)?;
                queue = there.queue;
            }
            (Ok(_), None) => return Err(refused(StoreErrorKind::Exists, &object.name)),
            (Err(error), None) if error.kind() == StoreErrorKind::NotFound => {}
            (Err(error), _) => return Err(error),
        }
        let number = counter::next(&self.files)?;
        let new = written(object, expected, number);
        let queue = queue.max(self.queues.turn_in(&new.name).unwrap_or(0));
        let text = format::write(&new, &self.place, queue);
        self.files.replace(&guard, &new.name, &text)?;
        drop(guard);
        let new = format::read(&new.name, &text).object;
        self.remember(&new);
        Ok(new)
    }

    /// Remembers that the watcher of this version holds the lock itself, and does not wait for it.
    fn remember(&self, object: &Object) {
        let (name, version) = (object.name.clone(), object.version.clone());
        self.written.send_modify(|written| {
            if format::is_free(object) {
                written.remove(&name);
            } else {
                written.insert(name, version);
            }
        });
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        let guard = self.files.guard()?;
        self.place.keep(&self.files)?;
        compare(&self.load(&object.name)?.object, object)?;
        counter::next(&self.files)?;
        self.files.remove(&guard, &object.name)
    }

    /// All readable locks. If `reports` is set, logs other files that have a lock's name.
    fn all(&self, reports: bool) -> Result<Vec<Object>, StoreError> {
        let mut found = Vec::new();
        for name in self.files.names()? {
            match self.read(&name) {
                Ok(lock) => found.push(lock.object),
                Err(error) => match error.kind() {
                    StoreErrorKind::NotFound => {}
                    StoreErrorKind::Unavailable => return Err(error),
                    _ if reports => warn!("skipping lock {name}: {}", with_sources(&error)),
                    _ => debug!("skipping lock {name}: {}", with_sources(&error)),
                },
            }
        }
        Ok(found)
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_unix(self.place.epoch + coord_core::boottime())
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
        self.blocking(|store| store.all(true)).await
    }

    async fn watch(&self, scope: &Scope, since: Option<&Version>) -> Result<DirWatch, StoreError> {
        DirWatch::begin(self.clone(), scope.clone(), since).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.time())
    }

    fn clock_skew(&self) -> Duration {
        Duration::ZERO
    }
}

/// The object to write.
fn written(object: &Object, expected: Option<&Object>, number: u64) -> Object {
    let mut new = object.clone();
    new.version = Version::new(number.to_string());
    if expected.is_none() {
        new.uid = format!("dir-{number}");
    }
    if new
        .annotations
        .get(RESERVED_BY)
        .is_some_and(|by| by == QUEUE)
    {
        new.annotations.remove(RESERVED_BY);
        new.annotations.remove(RESERVED_UNTIL);
    }
    new
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

/// The error of a failed system call that changed nothing. It distinguishes failures that may go
/// away by themselves from those that somebody must fix.
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

/// An error that lasts until somebody fixes the directory.
fn invalid(errno: Errno, text: String) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, errno, text)
}
