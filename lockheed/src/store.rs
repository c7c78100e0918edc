//! Where locks are kept: a small interface, and what stands behind it.
//!
//! All locking logic stands above [`Store`], which only has to keep objects, number their versions
//! and compare them. Whoever writes a store of their own checks it with the suite
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
    ObjectKind,
};
pub use coord_lease::Version;
pub use dir::{DirStore, DirWatch, ProofOfLife};
pub use memory::{MemoryStore, MemoryWatch};
pub use token::{InvalidToken, Token};

use crate::{LockName, Timestamp};

/// The entry of [`Object::data`] that has the lock's JSON.
pub const RECORD: &str = "lock";

/// The label by which a ConfigMap is known as a lock.
pub const LABEL: &str = "lockheed/lock";

/// A place that keeps locks.
///
/// A call may take as long as it likes and may be dropped at any time: whoever calls sets a limit, and finds out by reading again what
/// became of a write whose answer it has not seen. An implementation never repeats a write by itself.
pub trait Store: Send + Sync + 'static {
    /// See [`Store::watch`].
    type Watch: Watch;

    /// The object as it is now, not as a cache remembers it.
    ///
    /// # Errors
    /// [`NotFound`](StoreErrorKind::NotFound) when there is none; `Denied`, `Invalid`, `Unavailable`.
    fn get(&self, name: &LockName) -> impl Future<Output = Result<Object, StoreError>> + Send;

    /// Creates it; `uid` and `version` are the store's to choose, and are in the answer.
    ///
    /// # Errors
    /// [`Exists`](StoreErrorKind::Exists) when there is one; `Denied`, `Invalid`, `Unavailable`, `Unknown`.
    fn create(&self, object: &Object) -> impl Future<Output = Result<Object, StoreError>> + Send;

    /// Replaces it, if it still has this version and UID; the answer has the new version.
    ///
    /// # Errors
    /// [`Conflict`](StoreErrorKind::Conflict) when it was changed, `NotFound` when it is gone; `Denied`, `Invalid`, `Unavailable`, `Unknown`.
    fn update(&self, object: &Object) -> impl Future<Output = Result<Object, StoreError>> + Send;

    /// Removes it, if it still has this version and UID.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    fn delete(&self, object: &Object) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Every lock, in the order of the names.
    ///
    /// # Errors
    /// `Denied`, `Unavailable`.
    fn list(&self) -> impl Future<Output = Result<Vec<Object>, StoreError>> + Send;

    /// Begins to watch. What was written or deleted after `since` is told, in order, though of several versions in between some may be
    /// left out. The state at the beginning may be told once more. A watch that may be dead, because nothing was heard of the store for long,
    /// ends by itself. Without `since`, which is how a lock is watched that does not exist, the objects that there are come first.
    /// A store that keeps a queue of waiters may tell whoever watches one lock that it is free only when its turn has come.
    ///
    /// # Errors
    /// `Denied`, `Unavailable`. A version too old to begin from is no error here: such a watch has just [ended](Watch::next).
    fn watch(
        &self,
        scope: &Scope,
        since: Option<&Version>,
    ) -> impl Future<Output = Result<Self::Watch, StoreError>> + Send;

    /// The store's clock, or somewhat less: it may be behind by as long as the last answer was under way, and is never ahead. It is what [`expires`](crate::Lease::expires) is written from and compared with, is never this machine's wall clock, and a
    /// step of that does not move it.
    ///
    /// # Errors
    /// `Denied`, `Unavailable`, where it must be asked for and has not answered.
    fn now(&self) -> impl Future<Output = Result<Timestamp, StoreError>> + Send;

    /// How far [`now`](Self::now) may be from what another contender takes it for.
    fn clock_skew(&self) -> Duration;
}

/// The changes of one lock or of all.
pub trait Watch: Send + 'static {
    /// The next change; none when the watch has ended, and what it was for must be read again.
    /// Dropping the future loses no change.
    ///
    /// # Errors
    /// `Denied`, `Unavailable`; the watch has ended then too.
    fn next(&mut self) -> impl Future<Output = Result<Option<Change>, StoreError>> + Send;

    /// Nothing has to be told for so long. A store that looks what has changed may look once for all
    /// that happens until then; others tell it as it comes.
    fn rest(&mut self, pause: Duration) {
        let _ = pause;
    }
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One lock, whether it exists or not.
    Lock(LockName),
    /// The same, and every change is told at once, whoever's turn it is in a queue of the store.
    EachChange(LockName),
    /// Every lock of the store.
    All,
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The object was created or replaced, and is now so.
    Written(Object),
    /// The object was deleted; its version is that of the deletion, where the store has one, or its last.
    Deleted(Object),
}

/// A lock as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The lock's name.
    pub name: LockName,
    /// Tells this object from an earlier one of that name. Empty before it is created.
    pub uid: String,
    /// Which of its states this is. Empty before it is created.
    pub version: Version,
    /// Texts by key; [`RECORD`] has the lock. The others are somebody's, and are kept.
    pub data: BTreeMap<String, String>,
    /// Annotations by key. Those that are not about the lock are somebody's, and are kept.
    pub annotations: BTreeMap<String, String>,
    /// Whatever else the store has there, in a form of its own: it goes back as it came.
    pub rest: String,
}

/// A store's call that failed.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    errno: Errno,
    text: String,
    retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What the locking logic makes of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// There is no such object. `ENOENT`.
    NotFound,
    /// There is one already. `EEXIST`.
    Exists,
    /// It is not in the state that the call was for. `EAGAIN`.
    Conflict,
    /// Nothing was changed and nothing will be, and the same call may work later: overload, a refused connection, a failed read.
    Unavailable,
    /// A write may have been done, or may still be: its answer is lost.
    Unknown,
    /// Not allowed; the same call will not work until somebody changes the rights. `EACCES`.
    Denied,
    /// It cannot work: what was sent, or what is there, makes no sense, or does not fit.
    Invalid,
}

/// A store that is shared is the same store.
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
    /// One that is yet to be created.
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
    /// Whether it takes in the lock of this name.
    #[must_use]
    pub fn covers(&self, name: &LockName) -> bool {
        match self {
            Self::Lock(one) | Self::EachChange(one) => one == name,
            Self::All => true,
        }
    }
}

impl Change {
    /// What it is about.
    #[must_use]
    pub fn object(&self) -> &Object {
        match self {
            Self::Written(object) | Self::Deleted(object) => object,
        }
    }
}

impl StoreError {
    /// A failure, with the error number it stands for and a text that names what it was about.
    pub fn new(kind: StoreErrorKind, errno: Errno, text: impl Into<String>) -> Self {
        Self {
            kind,
            errno,
            text: text.into(),
            retry_after: None,
            source: None,
        }
    }

    /// No answer came in time.
    pub(crate) fn silent(kind: StoreErrorKind) -> Self {
        Self::new(kind, Errno::ETIMEDOUT, "the store did not answer in time")
    }

    /// Adds what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds how long the store wants to be left alone.
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

    /// What to make of it.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// How long the store wants to be left alone, if it said so.
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
