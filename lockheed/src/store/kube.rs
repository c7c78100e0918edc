//! Locks in ConfigMaps, shared with existing Go programs.

mod error;
mod wire;

use std::{collections::BTreeMap, time::Duration};

use coord_core::{Errno, check_label};
use coord_kube::{Action, Cluster, Event, Rule};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams, Preconditions, WatchParams},
    core::{ApiResource, DynamicObject},
};

use self::error::{of_create, of_read, of_write};
use super::{Change, LABEL, Object, Scope, Store, StoreError, StoreErrorKind, Version, Watch};
use crate::{LockName, Timestamp, key::LONGEST_NAME};

const RESOURCE: &str = "configmaps";

/// The longest name of a ConfigMap.
const LONGEST: usize = 253;

/// A store of ConfigMaps in one namespace of a Kubernetes cluster.
///
/// Lock `x` is the ConfigMap `lockheed-x`, with the label `lockheed/lock`, and its `data.lock` is the lock as JSON. Whatever else the ConfigMap
/// has is kept as it is. One that has the name and no `data.lock` was made beforehand, and is a lock that nobody holds. One that has `data.lock` and
/// not the label is somebody else's, and is not touched.
///
/// Every write names the `resourceVersion` that was read, so that the API server refuses it (409) when somebody else has written since.
/// The clock is the API server's ([`coord_kube::ClusterClock`]). A [watch](Store::watch) that the server ends, as it does from time to time, is
/// taken up again where it ended; one that the server cannot take up again (410) has ended.
#[derive(Clone)]
pub struct KubeStore {
    cluster: Cluster,
    api: Api<DynamicObject>,
    prefix: String,
    labels: BTreeMap<String, String>,
}

/// See [`KubeStore`].
pub struct KubeWatch {
    store: KubeStore,
    watch: coord_kube::Watch<DynamicObject>,
}

impl KubeStore {
    /// What the commands need, as rules of a Role; `delete` needs one more.
    pub const RULES: [Rule; 5] = [
        Rule::new("get", RESOURCE),
        Rule::new("list", RESOURCE),
        Rule::new("watch", RESOURCE),
        Rule::new("create", RESOURCE),
        Rule::new("update", RESOURCE),
    ];

    /// What all commands but `list` need for this lock alone: no right to create its ConfigMap where that is there.
    ///
    /// # Errors
    /// `EINVAL` for a name that does not fit; those of the requests that look for it.
    pub async fn rules_for(&self, lock: &LockName) -> Result<Vec<Rule>, StoreError> {
        let name = self.name_of(lock)?;
        let mut rules = ["get", "watch", "update"]
            .map(|verb| Rule::new(verb, RESOURCE).on(&name))
            .to_vec();
        let access = self.cluster.access(&rules[..1]).await.map_err(of_read)?;
        let may_look = access.iter().all(|access| access.allowed);
        if !may_look || self.get(lock).await.is_err() {
            rules.push(Rule::new("create", RESOURCE));
        }
        Ok(rules)
    }

    /// The locks of this namespace, by a client whose retries are off (`kube::Config::default_retry`), since a repeated write is judged by
    /// whoever knows what it was for. It must be called within a tokio runtime.
    ///
    /// # Errors
    /// `EINVAL` when that cannot name a namespace.
    pub fn new(client: Client, namespace: &str) -> Result<Self, StoreError> {
        let cluster = Cluster::new(client, namespace);
        cluster.map(Self::of).map_err(of_read)
    }

    /// The locks of the cluster's namespace.
    #[must_use]
    pub fn of(cluster: Cluster) -> Self {
        let resource = ApiResource::erase::<ConfigMap>(&());
        let api = Api::namespaced_with(cluster.client().clone(), cluster.namespace(), &resource);
        Self {
            cluster,
            api,
            prefix: "lockheed".to_owned(),
            labels: BTreeMap::new(),
        }
    }

    /// With another prefix of the ConfigMaps' names than `lockheed`. Only those who use the same one exclude each other.
    ///
    /// # Errors
    /// `EINVAL` when a name cannot begin so, or when a name that is made from a key would not fit any more.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        const LONGEST_PREFIX: usize = LONGEST - "-".len() - LONGEST_NAME;
        if prefix.len() > LONGEST_PREFIX || prefix.parse::<LockName>().is_err() {
            let text = format!(
                "{prefix:?} cannot begin the name of a ConfigMap: use at most {LONGEST_PREFIX} characters from a-z, 0-9, '-' and '.'"
            );
            return Err(StoreError::new(
                StoreErrorKind::Invalid,
                Errno::EINVAL,
                text,
            ));
        }
        prefix.clone_into(&mut self.prefix);
        Ok(self)
    }

    /// Puts these labels on each ConfigMap that this store writes, as policies of a cluster may require;
    /// the others that it has stay.
    ///
    /// # Errors
    /// `EINVAL` for what cannot be a label, and for `lockheed/lock`, which the store sets.
    pub fn with_labels<K: Into<String>, V: Into<String>>(
        mut self,
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, StoreError> {
        let invalid = |text| StoreError::new(StoreErrorKind::Invalid, Errno::EINVAL, text);
        for (key, value) in labels {
            let (key, value) = (key.into(), value.into());
            check_label(&key, &value).map_err(|error| invalid(error.to_string()))?;
            if key == LABEL {
                return Err(invalid(format!(
                    "the label {LABEL:?} is set by lockheed itself"
                )));
            }
            self.labels.insert(key, value);
        }
        Ok(self)
    }

    /// The cluster and the namespace.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The locks of all namespaces, each with its namespace.
    ///
    /// # Errors
    /// As [`list`](Store::list).
    pub async fn list_everywhere(&self) -> Result<Vec<(String, Object)>, StoreError> {
        let resource = ApiResource::erase::<ConfigMap>(&());
        let all = Api::all_with(self.cluster.client().clone(), &resource);
        self.found(&all, Action::new("list", RESOURCE)).await
    }

    /// By namespace and name.
    async fn found(
        &self,
        api: &Api<DynamicObject>,
        action: Action,
    ) -> Result<Vec<(String, Object)>, StoreError> {
        let page = |page: ListParams| async move { api.list(&page).await };
        let mut locks = Vec::new();
        let take = |found: DynamicObject| {
            let metadata = &found.metadata;
            let namespace = metadata.namespace.clone().unwrap_or_default();
            let name = metadata.name.as_deref().unwrap_or_default();
            if let Some(lock) = self.lock_of(name) {
                locks.push(wire::read(&lock, found).map(|object| (namespace, object)));
            }
        };
        let labelled = ListParams::default().labels(LABEL);
        let listed = self.cluster.list(action, &labelled, page, take).await;
        listed.map_err(of_read)?;
        let mut locks = locks.into_iter().collect::<Result<Vec<_>, _>>()?;
        locks.sort_by(|(there, one), (here, other)| (there, &one.name).cmp(&(here, &other.name)));
        Ok(locks)
    }

    fn action(&self, verb: &'static str) -> Action {
        self.cluster.action(verb, RESOURCE)
    }

    /// The ConfigMap's name; it is checked before any request, since it becomes a part of the path.
    fn name_of(&self, lock: &LockName) -> Result<String, StoreError> {
        let name = format!("{}-{lock}", self.prefix);
        if name.len() <= LONGEST {
            return Ok(name);
        }
        let text = format!("{name:?} cannot name a ConfigMap: it is longer than {LONGEST}");
        Err(StoreError::new(
            StoreErrorKind::Invalid,
            Errno::EINVAL,
            text,
        ))
    }

    /// The lock that a ConfigMap's name is for.
    fn lock_of(&self, name: &str) -> Option<LockName> {
        name.strip_prefix(&*self.prefix)?
            .strip_prefix('-')?
            .parse()
            .ok()
    }

    fn selection(&self, scope: &Scope) -> Result<WatchParams, StoreError> {
        Ok(match scope {
            Scope::All => WatchParams::default().labels(LABEL),
            Scope::Lock(name) => {
                let name = self.name_of(name)?;
                WatchParams::default().fields(&format!("metadata.name={name}"))
            }
        })
    }
}

impl Store for KubeStore {
    type Watch = KubeWatch;

    async fn get(&self, lock: &LockName) -> Result<Object, StoreError> {
        let name = self.name_of(lock)?;
        let request = || self.api.get(&name);
        let found = self
            .cluster
            .call(self.action("get").on(&name), request)
            .await;
        wire::read(lock, found.map_err(of_read)?)
    }

    async fn create(&self, object: &Object) -> Result<Object, StoreError> {
        let name = self.name_of(&object.name)?;
        let new = wire::write(&name, self.cluster.namespace(), object, &self.labels)?;
        let parameters = PostParams::default();
        let request = || self.api.create(&parameters, &new);
        let made = self
            .cluster
            .call(self.action("create").on(&name), request)
            .await;
        wire::read(&object.name, made.map_err(of_create)?)
    }

    async fn update(&self, object: &Object) -> Result<Object, StoreError> {
        let name = self.name_of(&object.name)?;
        if object.version == Version::default() {
            // Without a version, the API server would replace whatever is there.
            self.get(&object.name).await?;
            let text = format!("ConfigMap {name:?} exists, and was not read");
            return Err(StoreError::new(
                StoreErrorKind::Conflict,
                Errno::EAGAIN,
                text,
            ));
        }
        let new = wire::write(&name, self.cluster.namespace(), object, &self.labels)?;
        let parameters = PostParams::default();
        let request = || self.api.replace(&name, &parameters, &new);
        let done = self
            .cluster
            .call(self.action("update").on(&name), request)
            .await;
        wire::read(&object.name, done.map_err(of_write)?)
    }

    async fn delete(&self, object: &Object) -> Result<(), StoreError> {
        let name = self.name_of(&object.name)?;
        wire::check_deletable(&name, object)?;
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(object.uid.clone()),
                resource_version: Some(object.version.to_string()),
            }),
            ..DeleteParams::default()
        };
        let request = || self.api.delete(&name, &parameters);
        let done = self
            .cluster
            .call(self.action("delete").on(&name), request)
            .await;
        done.map(drop).map_err(of_write)
    }

    async fn list(&self) -> Result<Vec<Object>, StoreError> {
        let found = self.found(&self.api, self.action("list")).await?;
        Ok(found.into_iter().map(|(_, object)| object).collect())
    }

    async fn watch(&self, scope: &Scope, since: Option<&Version>) -> Result<KubeWatch, StoreError> {
        let action = match scope {
            Scope::All => self.action("watch"),
            Scope::Lock(name) => self.action("watch").on(&self.name_of(name)?),
        };
        let (selection, since) = (self.selection(scope)?, since.map(Version::as_str));
        let begun = self.cluster.watch(&self.api, action, &selection, since);
        Ok(KubeWatch {
            store: self.clone(),
            watch: begun.await.map_err(of_read)?,
        })
    }

    /// Asks the server only if it has never answered anything.
    async fn now(&self) -> Result<Timestamp, StoreError> {
        if self.cluster.clock().now().is_none() {
            // Every answer has a date, a refusal too.
            let version = || self.cluster.client().apiserver_version();
            let action = Action::new("get", "/version");
            let answer = self.cluster.call(action, version).await;
            if let (Err(error), None) = (answer, self.cluster.clock().now()) {
                return Err(of_read(error));
            }
        }
        let now = self.cluster.clock().now().ok_or_else(|| {
            let text = "the API server's answers have no Date";
            StoreError::new(StoreErrorKind::Invalid, Errno::EPROTO, text)
        })?;
        let since = now.duration_since(std::time::UNIX_EPOCH);
        Ok(Timestamp::from_unix(since.unwrap_or_default()))
    }

    /// `Date` has whole seconds, and the API servers of one cluster need not agree.
    fn clock_skew(&self) -> Duration {
        Duration::from_secs(5)
    }
}

impl Watch for KubeWatch {
    async fn next(&mut self) -> Result<Option<Change>, StoreError> {
        while let Some(event) = self.watch.next().await.map_err(of_read)? {
            let (Event::Applied(found) | Event::Deleted(found)) = &event;
            let name = found.metadata.name.as_deref().unwrap_or_default();
            let Some(lock) = self.store.lock_of(name) else {
                continue;
            };
            return match event {
                Event::Applied(found) => wire::read(&lock, found).map(Change::Written),
                Event::Deleted(found) => Ok(Change::Deleted(wire::last(&lock, found))),
            }
            .map(Some);
        }
        Ok(None)
    }
}
