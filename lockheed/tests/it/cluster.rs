//! Locks on a real API server: `cargo xtask test` starts one.

mod answers;
mod breaking;
mod clocks;
mod commands;
mod conformance;
mod contend;
mod counts;
mod crash;
mod credentials;
mod go;
mod keys;
mod kubectl;
mod labels;
mod premade;
mod restore;
mod rights;
mod watch;
mod words;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use apiserver::{Namespace, Proxy};
use coord_kube::{ClientArgs, Cluster};
use lockheed::{KubeStore, Lock, LockName, Record};
use serde_json::{Value, json};

/// What a holder needs.
pub(crate) const VERBS: [&str; 5] = ["get", "list", "watch", "create", "update"];

/// A namespace, and a user in it who may do what locks need and nothing else.
pub(crate) struct Place {
    pub(crate) namespace: Namespace,
    pub(crate) user: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let namespace = Namespace::new();
        let user = holder(&namespace);
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

/// A user with just the Role that is shipped.
pub(crate) fn holder(namespace: &Namespace) -> PathBuf {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kubernetes/rbac.yaml");
    namespace.kubectl(&["apply", "-f", shipped], None);
    namespace.user_with_role("holder", "lockheed")
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

/// The binary, with a kubeconfig.
pub(crate) fn lockheed(kubeconfig: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockheed"));
    for variable in ["LOCKHEED_STORE", "LOCKHEED_LOG_FILTER", "KUBECONFIG"] {
        command.env_remove(variable);
    }
    command
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .stdin(Stdio::null());
    command
}
