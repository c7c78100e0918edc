//! Locks in objects of a Kubernetes cluster.

mod config_maps;
mod error;
mod events;
mod kind;
mod leases;
mod metadata;
mod wire;

use std::{collections::BTreeMap, time::Duration};

use coord_core::{Errno, check_label};
use coord_kube::{Action, Cluster, Event, Rule};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams, Preconditions, WatchParams},
    core::DynamicObject,
};

pub use self::config_maps::{ConfigMaps, KubeStore, KubeWatch};
use self::error::{of_create, of_read, of_write};
pub use self::events::ObjectEvent;
pub use self::kind::{ObjectKind, WriteContext};
pub use self::leases::{LeaseStore, Leases};
use super::{Change, LABEL, Object, Scope, Store, StoreError, StoreErrorKind, Version, Watch};
use crate::{LockName, Timestamp};

/// The longest name of an object.
const LONGEST: usize = 253;

/// A store of objects of one kind in one namespace of a Kubernetes cluster.
///
/// Every write names the `resourceVersion` that was read, so the API server refuses it (409) if
/// somebody else has written since. The store's clock is the API server's
/// ([`coord_kube::ClusterClock`]).
///
/// The server ends a [watch](Store::watch) from time to time. The store resumes it where it ended;
/// if the server cannot resume it (410), it ends.
///
/// ```no_run
/// use lockheed::{KubeStore, Lock, coord_kube::{ClientArgs, Cluster}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // As kubectl finds it: KUBECONFIG, the service account of a Pod, ~/.kube/config.
/// let cluster = Cluster::connect(&ClientArgs::default(), "my-program/1.0").await?;
/// let held = Lock::new(KubeStore::of(cluster), "deploy".parse()?).acquire().await?;
/// held.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ClusterStore<K> {
    cluster: Cluster,
    api: Api<DynamicObject>,
    kind: K,
    labels: BTreeMap<String, String>,
}

/// See [`ClusterStore`].
pub struct ClusterWatch<K> {
    store: ClusterStore<K>,
    watch: coord_kube::Watch<DynamicObject>,
}

impl<K: ObjectKind> ClusterStore<K> {
    /// The permissions that the commands need, as rules of a Role; `delete` needs one more.
    pub const RULES: [Rule; 5] = [
        Rule::new("get", K::RESOURCE),
        Rule::new("list", K::RESOURCE),
        Rule::new("watch", K::RESOURCE),
        Rule::new("create", K::RESOURCE),
        Rule::new("update", K::RESOURCE),
    ];

    /// The permissions that all commands but `list` need for this lock alone. If the lock's object
    /// exists, they do not include the right to create it.
    ///
    /// # Errors
    /// `EINVAL` for a name that is too long; otherwise the errors of the requests that look for the
    /// object.
    pub async fn rules_for(&self, lock: &LockName) -> Result<Vec<Rule>, StoreError> {
        let name = self.name_of(lock)?;
        let mut rules = ["get", "watch", "update"]
            .map(|verb| Rule::new(verb, K::RESOURCE).on(&name))
            .to_vec();
        let access = self.cluster.access(&rules[..1]).await.map_err(of_read)?;
        let may_look = access.iter().all(|access| access.allowed);
        if !may_look || self.get(lock).await.is_err() {
            rules.push(Rule::new("create", K::RESOURCE));
        }
        Ok(rules)
    }

    /// The locks of this namespace. The client must not retry (`kube::Config::default_retry`),
    /// because only the locking logic can judge a repeated write. Call this within a tokio runtime.
    ///
    /// # Errors
    /// `EINVAL` when `namespace` is not a valid name of a namespace.
    pub fn new(client: Client, namespace: &str) -> Result<Self, StoreError> {
        let cluster = Cluster::new(client, namespace);
        cluster.map(Self::of).map_err(of_read)
    }

    /// The locks in the cluster's namespace.
    #[must_use]
    pub fn of(cluster: Cluster) -> Self {
        let (client, resource) = (cluster.client().clone(), K::resource());
        let api = Api::namespaced_with(client, cluster.namespace(), &resource);
        Self {
            cluster,
            api,
            kind: K::default(),
            labels: BTreeMap::new(),
        }
    }

    /// Puts these labels on each object that this store writes, as a cluster's policies may
    /// require. The object's other labels stay.
    ///
    /// # Errors
    /// `EINVAL` for an invalid label, and for `lockheed/lock`, which the store sets itself.
    pub fn with_labels<L: Into<String>, V: Into<String>>(
        mut self,
        labels: impl IntoIterator<Item = (L, V)>,
    ) -> Result<Self, StoreError> {
        for (label, value) in labels {
            let (label, value) = (label.into(), value.into());
            check_label(&label, &value).map_err(|error| invalid(error.to_string()))?;
            if label == LABEL {
                return Err(invalid(format!(
                    "the label {LABEL:?} is set by lockheed itself"
                )));
            }
            self.labels.insert(label, value);
        }
        Ok(self)
    }

    /// The cluster and the namespace.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Lists the locks of all namespaces, each with its namespace.
    ///
    /// # Errors
    /// As for [`list`](Store::list).
    pub async fn list_everywhere(&self) -> Result<Vec<(String, Object)>, StoreError> {
        let all = Api::all_with(self.cluster.client().clone(), &K::resource());
        self.found(&all, Action::new("list", K::RESOURCE)).await
    }

    /// Ordered by namespace and name.
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
            if let Some(lock) = self.kind.lock_of(name) {
                let lock = self.kind.read(&lock, found);
                locks.push(lock.map(|object| (namespace, object)));
            }
        };
        let labelled = ListParams {
            label_selector: K::LABEL.map(str::to_owned),
            ..ListParams::default()
        };
        let listed = self.cluster.list(action, &labelled, page, take).await;
        listed.map_err(of_read)?;
        let mut locks = locks.into_iter().collect::<Result<Vec<_>, _>>()?;
        locks.sort_by(|(there, one), (here, other)| (there, &one.name).cmp(&(here, &other.name)));
        Ok(locks)
    }

    fn action(&self, verb: &'static str) -> Action {
        self.cluster.action(verb, K::RESOURCE)
    }

    /// The object's name. It is checked before any request, since it becomes part of the path.
    fn name_of(&self, lock: &LockName) -> Result<String, StoreError> {
        let name = self.kind.name_of(lock);
        if name.len() <= LONGEST {
            return Ok(name);
        }
        let kind = K::NAME;
        let text = format!("its {kind} would have a name of more than {LONGEST} characters");
        Err(invalid(text))
    }

    async fn write(&self, name: &str, lock: &Object) -> Result<DynamicObject, StoreError> {
        let at = WriteContext {
            name,
            namespace: self.cluster.namespace(),
            labels: &self.labels,
            now: self.now().await?,
        };
        self.kind.write(at, lock)
    }

    /// Turns a conflict into "not found" if the object is gone: an update that may create reports a
    /// deleted object as a wrong UID, not as 404.
    async fn gone_or(&self, lock: &LockName, error: StoreError) -> StoreError {
        let another = error.kind() == StoreErrorKind::Conflict
            && error.to_string().contains("UID in precondition");
        if another
            && let Err(gone) = self.get(lock).await
            && gone.kind() == StoreErrorKind::NotFound
        {
            return gone;
        }
        error
    }

    fn selection(&self, scope: &Scope) -> Result<WatchParams, StoreError> {
        Ok(match scope {
            Scope::All => WatchParams {
                label_selector: K::LABEL.map(str::to_owned),
                ..WatchParams::default()
            },
            Scope::Lock(name) | Scope::EachChange(name) => {
                let name = self.name_of(name)?;
                WatchParams::default().fields(&format!("metadata.name={name}"))
            }
        })
    }
}

impl<K: ObjectKind> Store for ClusterStore<K> {
    type Watch = ClusterWatch<K>;

    async fn get(&self, lock: &LockName) -> Result<Object, StoreError> {
        let name = self.name_of(lock)?;
        let request = || self.api.get(&name);
        let found = self
            .cluster
            .call(self.action("get").on(&name), request)
            .await;
        self.kind.read(lock, found.map_err(of_read)?)
    }

    async fn create(&self, object: &Object) -> Result<Object, StoreError> {
        let name = self.name_of(&object.name)?;
        let new = self.write(&name, object).await?;
        let parameters = PostParams::default();
        let request = || self.api.create(&parameters, &new);
        let made = self
            .cluster
            .call(self.action("create").on(&name), request)
            .await;
        self.kind.read(&object.name, made.map_err(of_create)?)
    }

    async fn update(&self, object: &Object) -> Result<Object, StoreError> {
        let name = self.name_of(&object.name)?;
        if object.version == Version::default() || object.uid.is_empty() {
            // The API server would replace any existing object, or create one.
            self.get(&object.name).await?;
            let text = format!("{} {name:?} exists, and was not read", K::NAME);
            return Err(StoreError::new(
                StoreErrorKind::Conflict,
                Errno::EAGAIN,
                text,
            ));
        }
        let new = self.write(&name, object).await?;
        let parameters = PostParams::default();
        let request = || self.api.replace(&name, &parameters, &new);
        let done = self
            .cluster
            .call(self.action("update").on(&name), request)
            .await;
        match done.map_err(of_write) {
            Ok(done) => self.kind.read(&object.name, done),
            Err(error) => Err(self.gone_or(&object.name, error).await),
        }
    }

    async fn delete(&self, object: &Object) -> Result<(), StoreError> {
        let name = self.name_of(&object.name)?;
        self.kind.check_deletable(&name, object)?;
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

    async fn watch(
        &self,
        scope: &Scope,
        since: Option<&Version>,
    ) -> Result<ClusterWatch<K>, StoreError> {
        let action = match scope {
            Scope::All => self.action("watch"),
            Scope::Lock(name) | Scope::EachChange(name) => {
                self.action("watch").on(&self.name_of(name)?)
            }
        };
        let (selection, since) = (self.selection(scope)?, since.map(Version::as_str));
        let begun = self.cluster.watch(&self.api, action, &selection, since);
        Ok(ClusterWatch {
            store: self.clone(),
            watch: begun.await.map_err(of_read)?,
        })
    }

    /// Asks the server only if it has never answered.
    async fn now(&self) -> Result<Timestamp, StoreError> {
        if self.cluster.clock().now().is_none() {
            // Every answer has a date, even a refusal.
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

impl<K: ObjectKind> Watch for ClusterWatch<K> {
    async fn next(&mut self) -> Result<Option<Change>, StoreError> {
        while let Some(event) = self.watch.next().await.map_err(of_read)? {
            let (Event::Applied(found) | Event::Deleted(found)) = &event;
            let name = found.metadata.name.as_deref().unwrap_or_default();
            let Some(lock) = self.store.kind.lock_of(name) else {
                continue;
            };
            return match event {
                Event::Applied(found) => self.store.kind.read(&lock, found).map(Change::Written),
                Event::Deleted(found) => Ok(Change::Deleted(self.store.kind.last(&lock, found))),
            }
            .map(Some);
        }
        Ok(None)
    }
}

fn invalid(text: String) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, Errno::EINVAL, text)
}
