//! Locks in this process's memory, for tests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use coord_core::Errno;
use tokio::sync::broadcast::{self, error::RecvError};

use super::{Change, Object, Scope, Store, StoreError, StoreErrorKind, Version, Watch};
use crate::{LockName, Timestamp};

/// How many changes a slow watcher may fall behind before its watch ends.
const BEHIND: usize = 1024;

/// A store in memory, shared by this value and its clones.
///
/// ```
/// use lockheed::{Lock, LockName, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let name: LockName = "x".parse()?;
/// let lock = |id: &str| Lock::new(store.clone(), name.clone()).id(id);
/// let held = lock("one").acquire().await?;
/// assert!(lock("other").try_acquire().await.is_err());
/// # held.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStore {
    objects: Arc<Mutex<Objects>>,
    /// The time since the epoch when the boot-time clock was zero.
    epoch: Duration,
}

/// The stored objects and the rules of a store, without clocks or waiting.
#[derive(Debug)]
pub(crate) struct Objects {
    last: u64,
    kept: BTreeMap<LockName, Object>,
    changes: broadcast::Sender<Change>,
}

/// See [`MemoryStore`].
#[derive(Debug)]
pub struct MemoryWatch {
    scope: Scope,
    first: std::vec::IntoIter<Change>,
    then: broadcast::Receiver<Change>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            objects: Arc::default(),
            epoch: since
                .unwrap_or_default()
                .saturating_sub(coord_core::boottime()),
        }
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            last: 0,
            kept: BTreeMap::new(),
            changes: broadcast::channel(BEHIND).0,
        }
    }
}

impl Objects {
    pub(crate) fn get(&self, name: &LockName) -> Result<Object, StoreError> {
        let found = self.kept.get(name).cloned();
        found.ok_or_else(|| refused(StoreErrorKind::NotFound, name))
    }

    pub(crate) fn create(&mut self, object: &Object) -> Result<Object, StoreError> {
        if self.kept.contains_key(&object.name) {
            return Err(refused(StoreErrorKind::Exists, &object.name));
        }
        let uid = format!("memory-{}", self.last + 1);
        Ok(self.put(Object {
            uid,
            ..object.clone()
        }))
    }

    pub(crate) fn update(&mut self, object: &Object) -> Result<Object, StoreError> {
        self.compare(object)?;
        Ok(self.put(object.clone()))
    }

    pub(crate) fn delete(&mut self, object: &Object) -> Result<(), StoreError> {
        let mut gone = self.compare(object)?;
        self.last += 1;
        gone.version = Version::new(self.last.to_string());
        self.kept.remove(&object.name);
        let _ = self.changes.send(Change::Deleted(gone));
        Ok(())
    }

    fn compare(&self, object: &Object) -> Result<Object, StoreError> {
        let there = self.get(&object.name)?;
        if there.version == object.version && there.uid == object.uid {
            Ok(there)
        } else {
            Err(refused(StoreErrorKind::Conflict, &object.name))
        }
    }

    fn put(&mut self, mut object: Object) -> Object {
        self.last += 1;
        object.version = Version::new(self.last.to_string());
        self.kept.insert(object.name.clone(), object.clone());
        let _ = self.changes.send(Change::Written(object.clone()));
        object
    }

    /// The state after `since`, as changes.
    pub(crate) fn beyond(&self, scope: &Scope, since: Option<&Version>) -> Vec<Change> {
        let newer = |object: &&Object| since.is_none_or(|since| since.is_before(&object.version));
        let found: Vec<_> = self
            .kept
            .values()
            .filter(|object| scope.covers(&object.name))
            .collect();
        if let (Scope::Lock(name) | Scope::EachChange(name), Some(since), []) =
            (scope, since, found.as_slice())
        {
            let version = Version::new(self.last.to_string());
            let deleted = Object {
                version,
                ..Object::new(name)
            };
            let news = since.is_before(&deleted.version);
            return news
                .then_some(Change::Deleted(deleted))
                .into_iter()
                .collect();
        }
        let found = found.into_iter().filter(newer).cloned();
        found.map(Change::Written).collect()
    }
}

impl Store for MemoryStore {
    type Watch = MemoryWatch;

    async fn get(&self, name: &LockName) -> Result<Object, StoreError> {
        self.objects().get(name)
    }

    async fn create(&self, object: &Object) -> Result<Object, StoreError> {
        self.objects().create(object)
    }

    async fn update(&self, object: &Object) -> Result<Object, StoreError> {
        self.objects().update(object)
    }

    async fn delete(&self, object: &Object) -> Result<(), StoreError> {
        self.objects().delete(object)
    }

    async fn list(&self) -> Result<Vec<Object>, StoreError> {
        Ok(self.objects().kept.values().cloned().collect())
    }

    async fn watch(
        &self,
        scope: &Scope,
        since: Option<&Version>,
    ) -> Result<MemoryWatch, StoreError> {
        let objects = self.objects();
        Ok(MemoryWatch {
            scope: scope.clone(),
            first: objects.beyond(scope, since).into_iter(),
            then: objects.changes.subscribe(),
        })
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_unix(self.epoch + coord_core::boottime()))
    }

    fn clock_skew(&self) -> Duration {
        Duration::ZERO
    }
}

impl Watch for MemoryWatch {
    async fn next(&mut self) -> Result<Option<Change>, StoreError> {
        if let Some(change) = self.first.next() {
            return Ok(Some(change));
        }
        loop {
            match self.then.recv().await {
                Ok(change) if self.scope.covers(&change.object().name) => return Ok(Some(change)),
                Ok(_) => {}
                Err(RecvError::Lagged(_) | RecvError::Closed) => return Ok(None),
            }
        }
    }
}

fn refused(kind: StoreErrorKind, name: &LockName) -> StoreError {
    let (errno, text) = match kind {
        StoreErrorKind::NotFound => (Errno::ENOENT, "does not exist"),
        StoreErrorKind::Exists => (Errno::EEXIST, "exists already"),
        _ => (Errno::EAGAIN, "was changed by somebody else"),
    };
    StoreError::new(kind, errno, format!("lock {name} {text}"))
}
