//! Where locks are kept: the [`Store`] trait and the stores of this crate.
//!
//! All locking logic is built on [`Store`]. A store only keeps objects, numbers their versions and
//! compares versions. If you write a store of your own, check it with the suite
//! `lockheed::conformance` (feature `conformance`).

#[cfg_attr(not(target_os = "linux"), path = "store/no_dir.rs")]
mod dir;
#[cfg(feature = "kube")]
mod kube;
mod memory;
mod token;

use std::{collections::BTreeMap, error::Error, fmt, future::Future, sync::Arc, time::Duration};

use coord_core::{Errno, HasErrno};

#[cfg(feature = "kube")]
pub use self::kube::{
    ClusterStore, ClusterWatch, ConfigMaps, KubeStore, KubeWatch, LeaseStore, Leases, ObjectEvent,
    ObjectKind, WriteContext,
};
pub use coord_lease::Version;
pub use dir::{DirStore, DirWatch, ProofOfLife};
pub use memory::{MemoryStore, MemoryWatch};
pub use token::{InvalidToken, Token};

use crate::{LockName, Timestamp};

/// The key in [`Object::data`] whose value is the lock's JSON.
pub const RECORD: &str = "lock";

/// The label that marks a ConfigMap as a lock.
pub const LABEL: &str = "lockheed/lock";

/// A place that keeps locks.
///
/// A call may take any time and may be dropped at any time. The caller sets a limit. If it has not
/// seen the answer to a write, it reads again to find out what happened. An implementation never
/// repeats a write by itself.
pub trait Store: Send + Sync + 'static {
    /// See [`Store::watch`].
    type Watch: Watch;

    /// Reads the object from the store itself, not from a cache.
    ///
    /// # Errors
    /// [`NotFound`](StoreErrorKind::NotFound) when there is none; `Denied`, `Invalid`,
    /// `Unavailable`.
    fn get(&self, name: &LockName) -> impl Future<Output = Result<Object, StoreError>> + Send;

    /// Creates the object. The store chooses `uid` and `version`, and the answer has them.
    ///
    /// # Errors
    /// [`Exists`](StoreErrorKind::Exists) when there is one already; `Denied`, `Invalid`,
    /// `Unavailable`, `Unknown`.
    fn create(&self, object: &Object) -> impl Future<Output = Result<Object, StoreError>> + Send;

    /// Replaces the object if its version and UID are still these. The answer has the new version.
    ///
    /// # Errors
    /// [`Conflict`](StoreErrorKind::Conflict) when it was changed, `NotFound` when it is gone;
    /// `Denied`, `Invalid`, `Unavailable`, `Unknown`.
    fn update(&self, object: &Object) -> impl Future<Output = Result<Object, StoreError>> + Send;

    /// Deletes the object if its version and UID are still these.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    fn delete(&self, object: &Object) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads all locks, ordered by name.
    ///
    /// # Errors
    /// `Denied`, `Unavailable`.
    fn list(&self) -> impl Future<Output = Result<Vec<Object>, StoreError>> + Send;

    /// Starts a watch. It reports every write and deletion after `since`, in order, but may skip
    /// intermediate versions. It may report the state at `since` once more.
    ///
    /// Without `since`, it first reports the objects that exist now; this is also how to watch a
    /// lock that does not exist. A watch that may be dead, because the store has been silent for
    /// long, ends by itself.
    ///
    /// A store that keeps a queue of waiters may report to the watcher of one lock that it is free
    /// only once it is that watcher's turn.
    ///
    /// # Errors
    /// `Denied`, `Unavailable`. If `since` is too old to start from, that is no error: the watch
    /// has just [ended](Watch::next).
    fn watch(
        &self,
        scope: &Scope,
        since: Option<&Version>,
    ) -> impl Future<Output = Result<Self::Watch, StoreError>> + Send;

    /// Reads the store's clock. The result may be behind by as long as the last answer was under
    /// way, and is never ahead. [`expires`](crate::Lease::expires) is written from this clock and
    /// compared with it. It is never this machine's wall clock, and setting that clock does not
    /// move it.
    ///
    /// # Errors
    /// `Denied`, `Unavailable`, if the store must be asked and has not answered.
    fn now(&self) -> impl Future<Output = Result<Timestamp, StoreError>> + Send;

    /// How far [`now`](Self::now) may differ from what another contender sees as the time.
    fn clock_skew(&self) -> Duration;
}

/// The changes of one lock, or of all locks.
pub trait Watch: Send + 'static {
    /// Returns the next change, or none when the watch has ended; the caller must then read again.
    /// Dropping the future loses no change.
    ///
    /// # Errors
    /// `Denied`, `Unavailable`; the watch has then ended too.
    fn next(&mut self) -> impl Future<Output = Result<Option<Change>, StoreError>> + Send;

    /// Allows the watch to report nothing for a while: `pause` returns for how long. A store that
    /// polls may then poll once for all changes until then, and a few times less often after that.
    /// Other stores report changes as they come, and do not call `pause`.
    fn rest(&mut self, pause: impl FnOnce() -> Duration) {
        let _ = pause;
    }
}

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One lock, whether or not it exists.
    Lock(LockName),
    /// The same, but with every change at once, whoever's turn it is in the store's queue.
    EachChange(LockName),
    /// Every lock of the store.
    All,
}

/// A change that a watch reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The object was created or replaced, and this is its new state.
    Written(Object),
    /// The object was deleted. Its version is the deletion's if the store has one, otherwise the
    /// last one.
    Deleted(Object),
}

/// A lock as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The lock's name.
    pub name: LockName,
    /// Distinguishes this object from an earlier one of the same name. Empty before it is created.
    pub uid: String,
    /// The version of this state. Empty before it is created.
    pub version: Version,
    /// Texts by key. The lock is at [`RECORD`]; other keys belong to somebody else and are kept.
    pub data: BTreeMap<String, String>,
    /// Annotations by key. Those that are not about the lock belong to somebody else and are kept.
    pub annotations: BTreeMap<String, String>,
    /// Everything else that the store has in the object, in the store's own form. It is written
    /// back unchanged.
    pub rest: String,
}

/// A failed call to a store.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    errno: Errno,
    text: String,
    retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kind of a failure, as far as the locking logic is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// There is no such object. `ENOENT`.
    NotFound,
    /// There is already such an object. `EEXIST`.
    Exists,
    /// The object is not in the state that the call requires. `EAGAIN`.
    Conflict,
    /// Nothing was changed and nothing will be, and the same call may succeed later: overload, a
    /// refused connection, a failed read.
    Unavailable,
    /// The answer to a write was lost: the write may have been done, or may still be done.
    Unknown,
    /// Not allowed: the same call fails until somebody changes the permissions. `EACCES`.
    Denied,
    /// The call cannot succeed: the request or the stored object is invalid, or does not fit.
    Invalid,
}

/// A shared store is the same store.
impl<S: Store> Store for Arc<S> {
    type Watch = S::Watch;

    fn get(&self, name: &LockName) -> impl Future<Output = Result<Object, StoreError>> + Send {
        S::get(self, name)
    }

    fn create(&self, object: &Object) -> impl Future<Output = Result<Object, StoreError>> + Send {
        S::create(self, object)
    }

    fn update(&self, object: &Object) -> impl Future<Output = Result<Object, StoreError>> + Send {
        S::update(self, object)
    }

    fn delete(&self, object: &Object) -> impl Future<Output = Result<(), StoreError>> + Send {
        S::delete(self, object)
    }

    fn list(&self) -> impl Future<Output = Result<Vec<Object>, StoreError>> + Send {
        S::list(self)
    }

    fn watch(
        &self,
        scope: &Scope,
        since: Option<&Version>,
    ) -> impl Future<Output = Result<S::Watch, StoreError>> + Send {
        S::watch(self, scope, since)
    }

    fn now(&self) -> impl Future<Output = Result<Timestamp, StoreError>> + Send {
        S::now(self)
    }

    fn clock_skew(&self) -> Duration {
        S::clock_skew(self)
    }
}

impl Object {
    /// An object that is yet to be created.
    #[must_use]
    pub fn new(name: &LockName) -> Self {
        Self {
            name: name.clone(),
            uid: String::new(),
            version: Version::default(),
            data: BTreeMap::new(),
            annotations: BTreeMap::new(),
            rest: String::new(),
        }
    }
}

impl Scope {
    /// Whether this scope includes the lock of this name.
    #[must_use]
    pub fn covers(&self, name: &LockName) -> bool {
        match self {
            Self::Lock(one) | Self::EachChange(one) => one == name,
            Self::All => true,
        }
    }
}

impl Change {
    /// The object that changed.
    #[must_use]
    pub fn object(&self) -> &Object {
        match self {
            Self::Written(object) | Self::Deleted(object) => object,
        }
    }
}

impl StoreError {
    /// A failure, with its error number and a text that names the object.
    pub fn new(kind: StoreErrorKind, errno: Errno, text: impl Into<String>) -> Self {
        Self {
            kind,
            errno,
            text: text.into(),
            retry_after: None,
            source: None,
        }
    }

    /// The store did not answer in time.
    pub(crate) fn silent(kind: StoreErrorKind) -> Self {
        Self::new(kind, Errno::ETIMEDOUT, "the store did not answer in time")
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds how long the store asks callers to wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The error number.
    #[must_use]
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// How long the store asked callers to wait, if it did.
    #[must_use]
    pub fn wanted_wait(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl HasErrno for StoreError {
    fn errno(&self) -> Errno {
        self.errno
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
