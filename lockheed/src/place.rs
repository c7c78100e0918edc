//! One lock in its store, as the lease engine sees it.

use std::{future::Future, sync::Arc, time::Duration};

use coord_lease::{Answer, Change, Version, engine::Write};
use tokio::time::timeout;

use crate::{
    LockName,
    protocol::{Mutex, Nothing},
    store::{self, Object, Scope, Store, StoreError, StoreErrorKind},
};

/// See the module.
pub(crate) struct Place<S> {
    pub(crate) store: Arc<S>,
    pub(crate) name: LockName,
    /// Of each request.
    pub(crate) timeout: Duration,
    /// One alone can be next, so that it may wait in the store's own queue.
    pub(crate) waits_in_line: bool,
}

/// The watch of one lock.
pub(crate) struct Watch<W>(W);

/// The watch of nothing.
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

    /// The object and the clock.
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
        begun.map(Watch)
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
        Ok(self.0.next().await?.map(|change| match change {
            store::Change::Written(object) => Change::Written(object),
            store::Change::Deleted(object) => Change::Deleted(object.version),
        }))
    }
}

impl coord_lease::Watch<Nothing, StoreError> for NoWatch {
    async fn next(&mut self) -> Result<Option<Nothing>, StoreError> {
        Ok(None)
    }
}
