//! Locks on a real API server: `cargo xtask test` starts one.

mod answers;
mod counts;
mod go;
mod rights;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use coord_core::kube::{ClientArgs, Cluster};
use lockheed::{KubeStore, Lock, LockName, Record};
use serde_json::{Value, json};
use testkit::{Namespace, Proxy};

/// What a holder needs.
pub(crate) const RULES: [(&str, &[&str]); 1] =
    [("configmaps", &["get", "list", "watch", "create", "update"])];

/// A namespace, and a user in it who may do what locks need and nothing else.
pub(crate) struct Place {
    pub(crate) namespace: Namespace,
    pub(crate) user: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let namespace = Namespace::new();
        let user = namespace.user("holder", &RULES);
        Self { namespace, user }
    }

    pub(crate) async fn store(&self) -> KubeStore {
        store(&self.user, "lockheed-tests/0").await
    }

    /// A store behind a proxy.
    pub(crate) async fn behind(&self, proxy: &Proxy) -> KubeStore {
        let kubeconfig = proxy.kubeconfig(self.namespace.directory(), self.namespace.name());
        store(&kubeconfig, "lockheed-tests/0").await
    }

    /// Makes the ConfigMap of a lock, as some other program would.
    pub(crate) fn put(&self, name: &str, lock: &str, annotations: &Value) {
        self.namespace.apply(&config_map(name, lock, annotations));
    }

    /// The whole ConfigMap of a lock.
    pub(crate) fn object(&self, name: &str) -> Value {
        self.namespace
            .get("configmaps", &format!("lockheed-{name}"))
    }

    pub(crate) fn record(&self, name: &str) -> Record {
        Record::from_json(self.object(name)["data"]["lock"].as_str().unwrap()).unwrap()
    }
}

pub(crate) fn config_map(name: &str, lock: &str, annotations: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"lock": lock},
        "metadata": {"name": format!("lockheed-{name}"), "labels": {"lockheed/lock": ""}, "annotations": annotations}})
}

pub(crate) async fn store(kubeconfig: &Path, user_agent: &str) -> KubeStore {
    let args = ClientArgs {
        kubeconfig: Some(kubeconfig.to_owned()),
        ..ClientArgs::default()
    };
    KubeStore::of(Cluster::connect(&args, user_agent).await.unwrap())
}

pub(crate) fn name(text: &str) -> LockName {
    text.parse().unwrap()
}

/// A lock that is renewed by itself, as `run` does it.
pub(crate) fn lock(store: KubeStore, of: &str, id: &str) -> Lock<KubeStore> {
    let length = Duration::from_secs(30);
    Lock::new(store, name(of))
        .id(id)
        .duration(length)
        .renew_interval(length / 3)
}
