//! A store of your own: a small one that keeps all rules, checked by the conformance suite.
//!
//! `cargo run -p lockheed --example own_store --features conformance`

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lockheed::{
    Errno, LockName, Store, Timestamp, conformance,
    store::{Change, Object, Scope, StoreError, StoreErrorKind, Version, Watch},
};
use tokio::{sync::watch, time::Instant};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    conformance::check(&Shelf::new()).await;
    println!("the store keeps all rules");
}

/// A store in memory; its clones are the same store.
#[derive(Clone)]
pub(crate) struct Shelf {
    locks: Arc<Mutex<Locks>>,
    /// The number of the last write.
    last: Arc<watch::Sender<u64>>,
    opened: Instant,
}

#[derive(Default)]
struct Locks {
    /// The objects that exist.
    kept: BTreeMap<LockName, Object>,
    /// The deleted objects, each with the version of its deletion.
    deleted: BTreeMap<LockName, Object>,
}

/// Reports the latest state of each lock, and so may skip states in between.
pub(crate) struct ShelfWatch {
    shelf: Shelf,
    scope: Scope,
    /// Newer states are reported.
    since: u64,
    /// Newer deletions are reported.
    deleted_since: u64,
    changes: watch::Receiver<u64>,
}

impl Shelf {
    /// An empty store.
    pub(crate) fn new() -> Self {
        Self {
            locks: Arc::default(),
            last: Arc::new(watch::channel(0).0),
            opened: Instant::now(),
        }
    }

    fn locks(&self) -> MutexGuard<'_, Locks> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers a write. The caller holds the mutex, so numbers and writes are in the same order.
    fn number(&self) -> Version {
        self.last.send_modify(|last| *last += 1);
        Version::new(self.last.borrow().to_string())
    }
}

impl Locks {
    fn at(&self, expected: &Object) -> Result<&Object, StoreError> {
        let there = self.kept.get(&expected.name);
        let there = there.ok_or_else(|| refused(StoreErrorKind::NotFound, expected))?;
        if (&there.version, &there.uid) != (&expected.version, &expected.uid) {
            return Err(refused(StoreErrorKind::Conflict, expected));
        }
        Ok(there)
    }

    fn put(&mut self, object: &Object) -> Object {
        self.deleted.remove(&object.name);
        self.kept.insert(object.name.clone(), object.clone());
        object.clone()
    }
}

impl Store for Shelf {
    type Watch = ShelfWatch;

    async fn get(&self, name: &LockName) -> Result<Object, StoreError> {
        let found = self.locks().kept.get(name).cloned();
        found.ok_or_else(|| refused(StoreErrorKind::NotFound, &Object::new(name)))
    }

    async fn create(&self, object: &Object) -> Result<Object, StoreError> {
        let mut locks = self.locks();
        if locks.kept.contains_key(&object.name) {
            return Err(refused(StoreErrorKind::Exists, object));
        }
        let version = self.number();
        Ok(locks.put(&Object {
            uid: format!("shelf-{}", version.as_str()),
            version,
            ..object.clone()
        }))
    }

    async fn update(&self, object: &Object) -> Result<Object, StoreError> {
        let mut locks = self.locks();
        locks.at(object)?;
        Ok(locks.put(&Object {
            version: self.number(),
            ..object.clone()
        }))
    }

    async fn delete(&self, object: &Object) -> Result<(), StoreError> {
        let mut locks = self.locks();
        let gone = Object {
            version: self.number(),
            ..locks.at(object)?.clone()
        };
        locks.kept.remove(&object.name);
        locks.deleted.insert(object.name.clone(), gone);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Object>, StoreError> {
        Ok(self.locks().kept.values().cloned().collect())
    }

    async fn watch(
        &self,
        scope: &Scope,
        since: Option<&Version>,
    ) -> Result<ShelfWatch, StoreError> {
        let changes = self.last.subscribe();
        let since = since.map(number);
        Ok(ShelfWatch {
            shelf: self.clone(),
            scope: scope.clone(),
            since: since.unwrap_or(0),
            deleted_since: since.unwrap_or(*self.last.borrow()),
            changes,
        })
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_unix(self.opened.elapsed()))
    }

    fn clock_skew(&self) -> Duration {
        Duration::ZERO
    }
}

impl ShelfWatch {
    /// The oldest change that was not reported yet.
    fn untold(&self) -> Option<Change> {
        let locks = self.shelf.locks();
        let kept = locks.kept.values().cloned().map(Change::Written);
        let gone = locks.deleted.values().cloned().map(Change::Deleted);
        let is_untold = |change: &Change| {
            let since = match change {
                Change::Written(_) => self.since,
                Change::Deleted(_) => self.since.max(self.deleted_since),
            };
            let object = change.object();
            self.scope.covers(&object.name) && number(&object.version) > since
        };
        let all = kept.chain(gone).filter(is_untold);
        all.min_by_key(|change| number(&change.object().version))
    }
}

impl Watch for ShelfWatch {
    async fn next(&mut self) -> Result<Option<Change>, StoreError> {
        loop {
            self.changes.mark_unchanged();
            if let Some(change) = self.untold() {
                self.since = number(&change.object().version);
                return Ok(Some(change));
            }
            if self.changes.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}

fn number(version: &Version) -> u64 {
    version.as_str().parse().unwrap_or(0)
}

fn refused(kind: StoreErrorKind, object: &Object) -> StoreError {
    let errno = match kind {
        StoreErrorKind::NotFound => Errno::ENOENT,
        StoreErrorKind::Exists => Errno::EEXIST,
        _ => Errno::EAGAIN,
    };
    StoreError::new(kind, errno, format!("lock {}: {kind:?}", object.name))
}
