//! Locks in ConfigMaps, shared with existing Go programs.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::{ApiResource, DynamicObject};

use super::{
    ClusterStore, ClusterWatch, LABEL, LONGEST, Object, ObjectKind, StoreError, WriteContext,
    invalid, wire,
};
use crate::{LockName, key::LONGEST_NAME};

/// A store of ConfigMaps in one namespace of a Kubernetes cluster.
///
/// Lock `x` is the ConfigMap `lockheed-x` with the label `lockheed/lock`, and its `data.lock` is
/// the lock as JSON. Everything else in the ConfigMap is kept. A ConfigMap of this name without
/// `data.lock` was made beforehand, and is a lock that nobody holds. A ConfigMap with `data.lock`
/// but without the label belongs to somebody else, and is left unchanged.
pub type KubeStore = ClusterStore<ConfigMaps>;

/// See [`KubeStore`].
pub type KubeWatch = ClusterWatch<ConfigMaps>;

/// Selects the ConfigMaps of a [`KubeStore`].
#[derive(Clone, Debug)]
pub struct ConfigMaps {
    prefix: String,
}

impl Default for ConfigMaps {
    fn default() -> Self {
        Self {
            prefix: "lockheed".to_owned(),
        }
    }
}

impl KubeStore {
    /// Uses another prefix for the ConfigMaps' names than `lockheed`. Only contenders with the same
    /// prefix exclude each other.
    ///
    /// # Errors
    /// `EINVAL` when a name cannot begin with the prefix, or when the prefix is too long for names
    /// that are made from keys.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        const LONGEST_PREFIX: usize = LONGEST - "-".len() - LONGEST_NAME;
        if prefix.len() > LONGEST_PREFIX || prefix.parse::<LockName>().is_err() {
            let text = format!(
                "{prefix:?} cannot begin the name of a ConfigMap: use at most {LONGEST_PREFIX} characters from a-z, 0-9, '-' and '.'"
            );
            return Err(invalid(text));
        }
        prefix.clone_into(&mut self.kind.prefix);
        Ok(self)
    }
}

impl ObjectKind for ConfigMaps {
    const NAME: &'static str = "ConfigMap";
    const RESOURCE: &'static str = "configmaps";
    const LABEL: Option<&'static str> = Some(LABEL);

    fn resource() -> ApiResource {
        ApiResource::erase::<ConfigMap>(&())
    }

    fn name_of(&self, lock: &LockName) -> String {
        format!("{}-{lock}", self.prefix)
    }

    fn lock_of(&self, name: &str) -> Option<LockName> {
        name.strip_prefix(&*self.prefix)?
            .strip_prefix('-')?
            .parse()
            .ok()
    }

    fn read(&self, lock: &LockName, found: DynamicObject) -> Result<Object, StoreError> {
        wire::read(lock, found)
    }

    fn last(&self, lock: &LockName, found: DynamicObject) -> Object {
        wire::last(lock, found)
    }

    fn write(&self, at: WriteContext<'_>, lock: &Object) -> Result<DynamicObject, StoreError> {
        wire::write(&at, lock)
    }

    fn check_deletable(&self, name: &str, lock: &Object) -> Result<(), StoreError> {
        wire::check_deletable(name, lock)
    }
}
