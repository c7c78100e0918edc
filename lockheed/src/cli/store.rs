//! The selected store, of whatever kind.

use coord_core::cli::Failure;
use lockheed::{
    Condition, Error, LockName, LockState, Store, Timestamp,
    store::{Change, DirStore, DirWatch, Object, ProofOfLife, Scope, StoreError, Version, Watch},
};
#[cfg(feature = "kube")]
use lockheed::{
    KubeStore, LeaseStore,
    store::{ClusterWatch, KubeWatch, Leases},
};

use super::events::Recorded;

/// See the module.
pub(crate) enum AnyStore {
    Dir(DirStore),
    #[cfg(feature = "kube")]
    Kube(Box<KubeStore>),
    #[cfg(feature = "kube")]
    Lease(Box<LeaseStore>),
}

/// Its changes.
pub(crate) enum AnyWatch {
    Dir(Box<DirWatch>),
    #[cfg(feature = "kube")]
    Kube(Box<KubeWatch>),
    #[cfg(feature = "kube")]
    Lease(Box<ClusterWatch<Leases>>),
}

/// Locks, each with its namespace.
pub(crate) type Everywhere = Vec<(String, Result<LockState, Error>)>;

/// The same call of the store that it is.
macro_rules! each {
    ($any:expr, $store:ident => $call:expr) => {
        match $any {
            Self::Dir($store) => $call,
            #[cfg(feature = "kube")]
            Self::Kube($store) => $call,
            #[cfg(feature = "kube")]
            Self::Lease($store) => $call,
        }
    };
}

impl AnyStore {
    /// The locks of all namespaces for which this holds.
    #[cfg_attr(
        not(feature = "kube"),
        allow(unused_variables, reason = "there is no such store")
    )]
    pub(crate) async fn everywhere(
        &self,
        condition: Option<&Condition>,
    ) -> Result<Everywhere, Failure> {
        match self {
            Self::Dir(_) => {
                let text =
                    "--all-namespaces is for --store kube and lease: a directory has no namespaces";
                Err(Failure::usage(text))
            }
            #[cfg(feature = "kube")]
            Self::Kube(store) => Ok(lockheed::locks_everywhere(store, condition).await?),
            #[cfg(feature = "kube")]
            Self::Lease(store) => Ok(lockheed::locks_everywhere(store, condition).await?),
        }
    }

    /// Where in a cluster it is.
    pub(crate) fn namespace(&self) -> Option<&str> {
        match self {
            Self::Dir(_) => None,
            #[cfg(feature = "kube")]
            Self::Kube(store) => Some(store.cluster().namespace()),
            #[cfg(feature = "kube")]
            Self::Lease(store) => Some(store.cluster().namespace()),
        }
    }

    /// Records an Event on the lock's object, where there are Events.
    #[cfg_attr(
        not(feature = "kube"),
        allow(unused_variables, clippy::unused_async, reason = "there are none")
    )]
    pub(crate) async fn record(&self, lock: &LockName, event: &Recorded) -> Result<(), StoreError> {
        match self {
            Self::Dir(_) => Ok(()),
            #[cfg(feature = "kube")]
            Self::Kube(store) => store.record(lock, &event.whole(self.now().await?)).await,
            #[cfg(feature = "kube")]
            Self::Lease(store) => store.record(lock, &event.whole(self.now().await?)).await,
        }
    }

    /// What shows that the holder lives, where the store can tell.
    pub(crate) fn prove_life(&self) -> Result<Option<ProofOfLife>, StoreError> {
        match self {
            Self::Dir(store) => store.prove_life().map(Some),
            #[cfg(feature = "kube")]
            Self::Kube(_) | Self::Lease(_) => Ok(None),
        }
    }
}

impl Store for AnyStore {
    type Watch = AnyWatch;

    async fn get(&self, name: &LockName) -> Result<Object, StoreError> {
        each!(self, store => store.get(name).await)
    }

    async fn create(&self, object: &Object) -> Result<Object, StoreError> {
        each!(self, store => store.create(object).await)
    }

    async fn update(&self, object: &Object) -> Result<Object, StoreError> {
        each!(self, store => store.update(object).await)
    }

    async fn delete(&self, object: &Object) -> Result<(), StoreError> {
        each!(self, store => store.delete(object).await)
    }

    async fn list(&self) -> Result<Vec<Object>, StoreError> {
        each!(self, store => store.list().await)
    }

    async fn watch(&self, scope: &Scope, since: Option<&Version>) -> Result<AnyWatch, StoreError> {
        Ok(match self {
            Self::Dir(store) => AnyWatch::Dir(Box::new(store.watch(scope, since).await?)),
            #[cfg(feature = "kube")]
            Self::Kube(store) => AnyWatch::Kube(Box::new(store.watch(scope, since).await?)),
            #[cfg(feature = "kube")]
            Self::Lease(store) => AnyWatch::Lease(Box::new(store.watch(scope, since).await?)),
        })
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        each!(self, store => store.now().await)
    }

    fn clock_skew(&self) -> std::time::Duration {
        each!(self, store => store.clock_skew())
    }
}

impl Watch for AnyWatch {
    async fn next(&mut self) -> Result<Option<Change>, StoreError> {
        each!(self, watch => watch.next().await)
    }

    fn rest(&mut self, pause: impl FnOnce() -> std::time::Duration) {
        each!(self, watch => watch.rest(pause));
    }
}
