//! One lock in its store, as the lease engine sees it.

use std::{future::Future, sync::Arc, time::Duration};

use coord_core::BootInstant;
use coord_lease::{Answer, Change, Version, engine::Write};
use tokio::time::timeout;

use crate::{
    LockName,
    fair::ObservedQueue,
    protocol::{Mutex, Nothing},
    store::{self, Object, Scope, Store, StoreError, StoreErrorKind},
};

/// The shortest time in which a lock changes hands. A waiter far back in the queue has this much
/// time for each waiter ahead of it, and need not read every change.
const ROUND: Duration = Duration::from_millis(2);

/// The longest rest, however many waiters are ahead.
const LATEST: Duration = Duration::from_secs(2);

/// See the module.
pub(crate) struct Place<S> {
    pub(crate) store: Arc<S>,
    pub(crate) name: LockName,
    /// The contender's ID.
    pub(crate) id: String,
    /// The limit for each request.
    pub(crate) timeout: Duration,
    /// The contender may wait in the store's own queue: only one at a time can be next.
    pub(crate) waits_in_line: bool,
}

/// The watch of one lock.
pub(crate) struct Watch<W> {
    of_store: W,
    id: String,
    /// Read only if the store polls.
    queue: ObservedQueue,
}

/// A watch of nothing.
pub(crate) struct NoWatch;

impl<S: Store> Place<S> {
    async fn within<T>(
        &self,
        request: impl Future<Output = Result<T, StoreError>> + Send,
        late: StoreErrorKind,
    ) -> Result<T, StoreError> {
        let answer = timeout(self.timeout, request).await;
        answer.unwrap_or_else(|_| Err(StoreError::silent(late)))
    }

    /// Reads the object and the clock.
    async fn look(&self) -> Result<(Option<Object>, Duration), StoreError> {
        let object = match self.store.get(&self.name).await {
            Ok(object) => Some(object),
            Err(error) if error.kind() == StoreErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok((object, self.store.now().await?.since_unix()))
    }

    async fn put(&self, write: Write<Object>) -> Result<Option<Object>, StoreError> {
        match write {
            Write::Create(object) => self.store.create(&object).await.map(Some),
            Write::Update(object) => self.store.update(&object).await.map(Some),
            Write::Delete(object) => self.store.delete(&object).await.map(|()| None),
        }
    }
}

impl<S: Store> coord_lease::Store<Mutex> for Place<S> {
    type Watch = Watch<S::Watch>;
    type SubjectWatch = NoWatch;

    async fn read(&self) -> Answer<Option<Object>, StoreError> {
        let look = self.within(self.look(), StoreErrorKind::Unavailable);
        match look.await {
            Ok((object, clock)) => Answer {
                result: Ok(object),
                clock: Some(clock),
            },
            Err(error) => Answer {
                result: Err(error),
                clock: None,
            },
        }
    }

    async fn write(&self, write: Write<Object>) -> Answer<Option<Object>, StoreError> {
        Answer {
            result: self.within(self.put(write), StoreErrorKind::Unknown).await,
            clock: None,
        }
    }

    async fn watch(&self, since: Option<Version>) -> Result<Self::Watch, StoreError> {
        let name = self.name.clone();
        let scope = if self.waits_in_line {
            Scope::Lock(name)
        } else {
            Scope::EachChange(name)
        };
        let begun = self.store.watch(&scope, since.as_ref());
        let begun = self.within(begun, StoreErrorKind::Unavailable).await;
        begun.map(|of_store| Watch {
            of_store,
            id: self.id.clone(),
            queue: ObservedQueue::default(),
        })
    }

    async fn read_subject(&self, nothing: Nothing) -> Answer<Nothing, StoreError> {
        match nothing {}
    }

    async fn watch_subject(&self, nothing: Nothing) -> Result<NoWatch, StoreError> {
        match nothing {}
    }
}

impl<W: store::Watch> coord_lease::Watch<Change<Object>, StoreError> for Watch<W> {
    async fn next(&mut self) -> Result<Option<Change<Object>>, StoreError> {
        let Some(change) = self.of_store.next().await? else {
            return Ok(None);
        };
        Ok(Some(match change {
            store::Change::Written(object) => {
                self.rest(Some(&object));
                Change::Written(object)
            }
            store::Change::Deleted(object) => {
                self.rest(None);
                Change::Deleted(object.version)
            }
        }))
    }
}

impl<W: store::Watch> Watch<W> {
    fn rest(&mut self, object: Option<&Object>) {
        self.of_store.rest(|| {
            self.queue.read(object, BootInstant::now());
            let rounds = self.queue.latest().rounds_before(&self.id);
            (ROUND * rounds).min(LATEST)
        });
    }
}

impl coord_lease::Watch<Nothing, StoreError> for NoWatch {
    async fn next(&mut self) -> Result<Option<Nothing>, StoreError> {
        Ok(None)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Instant;

    use coord_lease::{Store as _, Watch as _};

    use super::*;
    use crate::{
        DirStore, Mode, Timestamp,
        fair::{Queue, Waiter},
    };

    /// Far back in the queue, one read covers several changes.
    #[tokio::test]
    async fn whoever_has_time_does_not_look_at_each_change() {
        let dir = tempfile::tempdir().unwrap();
        let store = DirStore::create(dir.path().join("locks")).unwrap();
        let name: LockName = "x".parse().unwrap();
        let mut queue = Queue::default();
        for id in 0..50 {
            let waiter = Waiter::new(&id.to_string(), Mode::Exclusive, 0, Timestamp::NEVER);
            queue.put(waiter, id.to_string());
        }
        let mut object = Object::new(&name);
        queue.write(&mut object);
        let mut object = store.create(&object).await.unwrap();
        let place = Place {
            store: Arc::new(store),
            name,
            id: "49".to_owned(),
            timeout: Duration::from_secs(60),
            waits_in_line: false,
        };
        let mut watch = place.watch(None).await.unwrap();
        watch.next().await.unwrap().unwrap();
        let looked = Instant::now();
        for _ in 0..5 {
            object = place.store.update(&object).await.unwrap();
        }
        let next = watch.next().await.unwrap().unwrap();
        assert!(looked.elapsed() >= ROUND * 48);
        assert!(matches!(next, Change::Written(next) if next.version == object.version));
    }

    /// What was far back in the queue of a deleted lock is not far back any more.
    #[tokio::test]
    async fn after_a_deletion_nobody_rests() {
        let name: LockName = "x".parse().unwrap();
        let mut queue = Queue::default();
        for id in ["0", "1", "2"] {
            let waiter = Waiter::new(id, Mode::Exclusive, 0, Timestamp::NEVER);
            queue.put(waiter, id.to_owned());
        }
        let mut object = Object::new(&name);
        queue.write(&mut object);
        let changes = [
            store::Change::Deleted(object.clone()),
            store::Change::Written(object),
        ];
        let mut watch = Watch {
            of_store: Told(changes.into(), Vec::new()),
            id: "2".to_owned(),
            queue: ObservedQueue::default(),
        };
        while watch.next().await.unwrap().is_some() {}
        assert_eq!(watch.of_store.1, [ROUND * 2, Duration::ZERO]);
    }

    /// Reports these changes, from the last, and keeps for how long it may rest after each.
    struct Told(Vec<store::Change>, Vec<Duration>);

    impl store::Watch for Told {
        async fn next(&mut self) -> Result<Option<store::Change>, StoreError> {
            Ok(self.0.pop())
        }

        fn rest(&mut self, pause: impl FnOnce() -> Duration) {
            self.1.push(pause());
        }
    }
}
