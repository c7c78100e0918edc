//! Single requests, which also update the server's clock.

use std::{fmt::Debug, future::Future, sync::PoisonError};

use coord_core::{BootInstant, Errno};
use coord_kube::{Action, Error as KubeError, Watch};
use coord_lease::engine::{Moment, Protocol, StoreTime};
use k8s_openapi::{
    NamespaceResourceScope, api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api,
    api::{
        DeleteParams, ListParams, PartialObjectMeta, PostParams, Preconditions, PropagationPolicy,
        WatchParams,
    },
};
use serde::de::DeserializeOwned;

use super::{CONFIGMAPS, Client};
use crate::{lock::PodLock, record};

impl Client {
    /// One object; `None` if it does not exist.
    pub(crate) async fn get<K>(
        &self,
        resource: &'static str,
        name: &str,
    ) -> Result<Option<K>, KubeError>
    where
        K: kube::Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        let api = self.api::<K>();
        match self
            .call(self.action("get", resource, name), || api.get(name))
            .await
        {
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
            Ok(found) => Ok(Some(found)),
        }
    }

    /// Watches one object, starting from a version, or from now without one.
    pub(crate) async fn watch<K>(
        &self,
        resource: &'static str,
        name: &str,
        since: Option<&str>,
    ) -> Result<Watch<K>, KubeError>
    where
        K: kube::Resource<Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
        K::DynamicType: Default,
    {
        let (api, action) = (self.api::<K>(), self.action("watch", resource, name));
        let selection = WatchParams::default().fields(&format!("metadata.name={name}"));
        self.cluster.watch(&api, action, &selection, since).await
    }

    pub(crate) async fn create(
        &self,
        name: &str,
        object: &ConfigMap,
    ) -> Result<ConfigMap, KubeError> {
        let (api, parameters) = (self.api(), PostParams::default());
        self.call(self.action("create", CONFIGMAPS, name), || {
            api.create(&parameters, object)
        })
        .await
    }

    /// Sends the `resourceVersion` that was read, so the server refuses the update (409) if
    /// somebody else has written since.
    pub(crate) async fn update(
        &self,
        name: &str,
        object: &ConfigMap,
    ) -> Result<ConfigMap, KubeError> {
        let (api, parameters) = (self.api(), PostParams::default());
        self.call(self.action("update", CONFIGMAPS, name), || {
            api.replace(name, &parameters, object)
        })
        .await
    }

    /// Deletes only this version of this object. Succeeds if it is already gone.
    pub(crate) async fn delete(&self, name: &str, object: &ObjectMeta) -> Result<(), KubeError> {
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: object.uid.clone(),
                resource_version: object.resource_version.clone(),
            }),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        let api = self.api::<ConfigMap>();
        match self
            .call(self.action("delete", CONFIGMAPS, name), || {
                api.delete(name, &parameters)
            })
            .await
        {
            Err(error) if error.errno() == Errno::ENOENT && error.status().is_some() => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    /// The namespaces and names of the ConfigMaps that may be locks, here or everywhere. This is
    /// decided by their metadata, so the other ConfigMaps, which may be large, are not fetched.
    pub(crate) async fn candidates(
        &self,
        everywhere: bool,
    ) -> Result<Vec<(String, String)>, KubeError> {
        let (api, action) = if everywhere {
            let all = Api::<ConfigMap>::all(self.cluster.client().clone());
            (all, Action::new("list", CONFIGMAPS))
        } else {
            (self.api(), self.cluster.action("list", CONFIGMAPS))
        };
        let page = |page: ListParams| {
            let api = api.clone();
            async move { api.list_metadata(&page).await }
        };
        let mut found = Vec::new();
        let take = |object: PartialObjectMeta<ConfigMap>| {
            if record::may_be_lock(&object.metadata) {
                let ObjectMeta {
                    namespace, name, ..
                } = object.metadata;
                found.push((namespace.unwrap_or_default(), name.unwrap_or_default()));
            }
        };
        let all = ListParams::default();
        self.cluster.list(action, &all, page, take).await?;
        Ok(found)
    }

    async fn call<T, F>(&self, action: Action, request: impl Fn() -> F) -> Result<T, KubeError>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let sent = BootInstant::now();
        let answer = self.cluster.call(action, request).await;
        let boot = BootInstant::now();
        // A request without an answer says nothing about the server's clock, nor does an answer
        // from something in front of the server.
        if let (Some(earliest), true) = (self.shown(), answer.is_ok()) {
            let latest = earliest + PodLock::CLOCK_UNIT + boot.since(sent);
            let store = Some(StoreTime { earliest, latest });
            let now = Moment { boot, store };
            *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
        answer
    }
}
