//! Locks in a directory, for the processes of one machine.
//!
//! Each lock is a file, replaced by `rename(2)`, so that readers need no lock of their own. Writers
//! take a `flock(2)` on `.guard`. `.counter` gives every write its version; a limit is on the disk
//! before versions up to it are used, so that tokens rise across deletions, crashes and reboots.
//! `.clock` says what the directory's time is: `CLOCK_BOOTTIME` and an epoch, of one boot and one
//! time namespace. `.holders` is where living holders hold a byte each (`F_OFD_SETLK`,
//! `fcntl_locking(2)`), and in `.waiting` the kernel keeps the queue for each lock.
//!
//! Any of these may be removed by a cleaner of old files while locks are held. `.guard`, `.holders`
//! and `.waiting` are then made again, and nothing is concluded from a new one about who had locked
//! the old one; `.clock` is put back; without `.counter` nobody can write.

mod alive;
mod counter;
mod events;
mod files;
mod format;
mod open;
mod place;
mod queue;
mod range;
mod sharing;
mod watch;
mod worker;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use coord_core::{Errno, HasErrno, errno::with_sources};
use log::{debug, warn};
use tokio::sync::watch as channel;

use super::{Object, Scope, Store, StoreError, StoreErrorKind, Version};
use crate::{LockName, Timestamp};
pub use alive::ProofOfLife;
use files::Files;
use place::Place;
use queue::{Queue, Queues};
pub use watch::DirWatch;
use worker::Worker;

/// The latest version of each lock that was written through a store and left the lock held.
type Written = channel::Receiver<BTreeMap<LockName, Version>>;

/// The annotations of a reservation, as Go programs write it: they make a free lock one that
/// newcomers leave for 2 s to whoever has waited for it.
const RESERVED_BY: &str = "reserved/by";
const RESERVED_UNTIL: &str = "reserved/expires";
const QUEUE: &str = "the queue";
const RESERVATION: Duration = Duration::from_secs(2);

/// A store in a directory of this machine.
///
/// The file system must be a local one: on NFS and the like, opening it fails. Whoever may write to
/// the directory may use all locks in it; whoever may only read it can look, and keep nobody from
/// anything. A process that is stopped in the middle of a write keeps others from writing; they go
/// on when it does.
///
/// Its work is done by one thread of its own, in order.
#[derive(Clone, Debug)]
pub struct DirStore {
    files: Arc<Files>,
    place: Arc<Place>,
    queues: Arc<Queues>,
    written: Arc<channel::Sender<BTreeMap<LockName, Version>>>,
    worker: Arc<Worker>,
}

impl DirStore {
    /// Opens a directory that is there.
    ///
    /// # Errors
    /// `ENOENT` when it is not; `EOPNOTSUPP` on a network file system; `EINVAL` when it is in use
    /// from another time namespace, or has something else than a regular file under one of the
    /// store's names; `EAGAIN` when there can be no thread; those of `open(2)`.
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
        })
    }

    /// Opens a directory, and makes it if it is not there.
    ///
    /// # Errors
    /// As [`open`](Self::open), and those of `mkdir(2)`.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::create_with(path.into(), None)
    }

    /// The same; a directory that is made gets these permissions, whatever the umask is. `0o2770`
    /// shares it with its group. Its files follow them.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with_mode(path: impl Into<PathBuf>, mode: u32) -> Result<Self, StoreError> {
        Self::create_with(path.into(), Some(mode))
    }

    fn create_with(path: PathBuf, mode: Option<u32>) -> Result<Self, StoreError> {
        files::make(&path, mode).map_err(|error| failed("create", &path, error))?;
        Self::open(path)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.files.dir()
    }

    /// What shows others that this process lives, or whoever else has the descriptor: a lease that
    /// names it is over as soon as nobody has it any more.
    ///
    /// # Errors
    /// Those of `open(2)` and `fcntl(2)`.
    pub fn prove_life(&self) -> Result<ProofOfLife, StoreError> {
        ProofOfLife::new(&self.files)
    }

    /// Blocking work, away from the runtime's own threads: a slow disk must not keep timers from
    /// firing.
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
        format::drop_void(&mut lock, &self.place, |number| holders.life(number));
        Ok(lock)
    }

    /// A lock as it was written.
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

    /// A lock as one sees it who is not in the queue for it: when it is free and somebody is, it is
    /// reserved.
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

    /// Whoever watches this version holds the lock itself, and does not wait for it.
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

    /// All that can be read; what else has a lock's name is reported, if that is wanted.
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

/// The object as it is to be written.
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

/// What is there cannot be used before somebody has seen to it.
fn invalid(errno: Errno, text: String) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, errno, text)
}
