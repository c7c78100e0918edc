//! One lock on its API server, as the lease engine sees it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use coord_kube::Event;
use coord_lease::{Answer, Change, Version, Watch, engine::Write};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};

use crate::{
    Client,
    client::{CONFIGMAPS, PODS},
    holder::OwnerState,
    lock::PodLock,
    protocol::{Fact, Subject},
    record::Owner,
    request::Failed,
};

/// One lock on its API server.
pub(crate) struct Place {
    client: Client,
    name: String,
    /// The holder's ID.
    id: String,
    /// The version of the owner Pod when it was read.
    owner_version: Mutex<String>,
}

/// A watch of the owner Pod; for ourselves there is nothing to watch.
pub(crate) struct OwnerWatch(Option<(Owner, coord_kube::Watch<Pod>)>);

impl Place {
    pub(crate) fn new(client: &Client, name: &str, id: String) -> Self {
        Self {
            client: client.clone(),
            name: name.to_owned(),
            id,
            owner_version: Mutex::default(),
        }
    }

    fn answer<T>(&self, result: Result<T, Failed>) -> Answer<T, Failed> {
        // A request without an answer says nothing about the server's clock, nor does an answer
        // from something in front of the server.
        let clock = result.is_ok().then(|| self.client.shown()).flatten();
        Answer { result, clock }
    }

    async fn put(&self, write: Write<ConfigMap>) -> Result<Option<ConfigMap>, Failed> {
        let name = &self.name;
        match write {
            Write::Create(object) => {
                let created = self.client.create(name, &object).await;
                created
                    .map(Some)
                    .map_err(|error| Failed::write(error, true))
            }
            Write::Update(object) => {
                let updated = self.client.update(name, &object).await;
                updated
                    .map(Some)
                    .map_err(|error| Failed::write(error, false))
            }
            Write::Delete(object) => {
                let deleted = self.client.delete(name, &object.metadata).await;
                deleted
                    .map(|()| None)
                    .map_err(|error| Failed::write(error, false))
            }
        }
    }

    async fn us(&self) -> Result<Fact, Failed> {
        let us = self.client.holder(&self.id).await.map_err(Failed::read)?;
        let missing = us
            .as_ref()
            .ok()
            .and_then(|us| self.client.ignored_container(us));
        let missing = missing.map(str::to_owned);
        Ok(Fact::Us(us, missing))
    }

    async fn owner(&self, owner: &Owner) -> Result<Fact, Failed> {
        let pod: Option<Pod> = self
            .client
            .get(PODS, &owner.name)
            .await
            .map_err(Failed::read)?;
        let state = OwnerState::of(owner, pod.as_ref());
        let version = pod.and_then(|pod| pod.metadata.resource_version);
        *self.owner_version() = version.unwrap_or_default();
        Ok(Fact::Owner(state))
    }

    fn owner_version(&self) -> MutexGuard<'_, String> {
        self.owner_version
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl coord_lease::Store<PodLock> for Place {
    type Watch = coord_kube::Watch<ConfigMap>;
    type SubjectWatch = OwnerWatch;

    async fn read(&self) -> Answer<Option<ConfigMap>, Failed> {
        let read = self.client.get(CONFIGMAPS, &self.name).await;
        self.answer(read.map_err(Failed::read))
    }

    async fn write(&self, write: Write<ConfigMap>) -> Answer<Option<ConfigMap>, Failed> {
        let done = self.put(write).await;
        self.answer(done)
    }

    async fn watch(&self, since: Option<Version>) -> Result<Self::Watch, Failed> {
        let since = since.as_ref().map(Version::as_str);
        let begun = self.client.watch(CONFIGMAPS, &self.name, since);
        begun.await.map_err(Failed::read)
    }

    async fn read_subject(&self, subject: Subject) -> Answer<Fact, Failed> {
        let fact = match &subject {
            Subject::Us => self.us().await,
            Subject::Owner(owner) => self.owner(owner).await,
        };
        self.answer(fact)
    }

    async fn watch_subject(&self, subject: Subject) -> Result<OwnerWatch, Failed> {
        let Subject::Owner(owner) = subject else {
            return Ok(OwnerWatch(None));
        };
        let since = self.owner_version().clone();
        let begun = self.client.watch(PODS, &owner.name, Some(&since));
        let watch = begun.await.map_err(Failed::read)?;
        Ok(OwnerWatch(Some((owner, watch))))
    }
}

impl Watch<Change<ConfigMap>, Failed> for coord_kube::Watch<ConfigMap> {
    async fn next(&mut self) -> Result<Option<Change<ConfigMap>>, Failed> {
        let event = self.next().await.map_err(Failed::read)?;
        Ok(event.map(|event| match event {
            Event::Applied(object) => Change::Written(object),
            Event::Deleted(object) => Change::Deleted(Version::new(
                object.metadata.resource_version.unwrap_or_default(),
            )),
        }))
    }
}

impl Watch<Fact, Failed> for OwnerWatch {
    async fn next(&mut self) -> Result<Option<Fact>, Failed> {
        let Some((owner, watch)) = &mut self.0 else {
            return Ok(None);
        };
        let event = watch.next().await.map_err(Failed::read)?;
        Ok(event.map(|event| match event {
            Event::Applied(pod) => Fact::Owner(OwnerState::of(owner, Some(&pod))),
            Event::Deleted(_) => Fact::Owner(OwnerState::Gone),
        }))
    }
}
