//! Locks on a real API server, which `cargo xtask test` starts.

mod answers;
mod breaking;
mod clocks;
mod commands;
mod conformance;
mod contend;
mod counts;
mod crash;
mod credentials;
mod events;
mod floor;
mod go;
mod keys;
mod kubectl;
mod labels;
mod leases;
mod premade;
mod recipes;
mod restart;
mod restore;
mod rights;
mod several;
mod sharing;
mod watch;
mod words;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use apiserver::{Namespace, Proxy};
use coord_kube::{ClientArgs, Cluster};
use lockheed::{KubeStore, LeaseStore, Lock, LockName, Record, Store};
use serde_json::{Value, json};

/// The verbs that a holder needs.
pub(crate) const VERBS: [&str; 5] = ["get", "list", "watch", "create", "update"];

/// A namespace, and a user in it who has the permissions that locks need and no others.
pub(crate) struct Place {
    pub(crate) namespace: Namespace,
    pub(crate) user: PathBuf,
    /// The value of `--store`.
    pub(crate) store: &'static str,
}

impl Place {
    pub(crate) fn new() -> Self {
        let namespace = Namespace::new();
        let user = holder(&namespace);
        Self {
            namespace,
            user,
            store: "kube",
        }
    }

    /// The same for locks in Leases.
    pub(crate) fn of_leases() -> Self {
        let namespace = Namespace::new();
        let user = with_role(&namespace, "rbac-lease.yaml", "lockheed-lease");
        Self {
            namespace,
            user,
            store: "lease",
        }
    }

    /// The binary, run as this user.
    pub(crate) fn lockheed(&self) -> Command {
        lockheed_on(self.store, &self.user)
    }

    pub(crate) async fn store(&self) -> KubeStore {
        store(&self.user, "lockheed-tests/0").await
    }

    pub(crate) async fn lease_store(&self) -> LeaseStore {
        LeaseStore::of(cluster(&self.user, "lockheed-tests/0").await)
    }

    /// A store behind a proxy.
    pub(crate) async fn behind(&self, proxy: &Proxy) -> KubeStore {
        let kubeconfig = proxy.kubeconfig(self.namespace.directory(), self.namespace.name());
        store(&kubeconfig, "lockheed-tests/0").await
    }

    /// Creates the ConfigMap of a lock, as another program would.
    pub(crate) fn put(&self, name: &str, lock: &str, annotations: &Value) {
        self.namespace.apply(&config_map(name, lock, annotations));
    }

    /// The complete object of a lock.
    pub(crate) fn object(&self, name: &str) -> Value {
        if self.store == "lease" {
            return self.namespace.get("leases", name);
        }
        self.namespace
            .get("configmaps", &format!("lockheed-{name}"))
    }

    /// The lock's record, as one of ours has written it.
    pub(crate) fn record(&self, name: &str) -> Record {
        let object = self.object(name);
        let record = match self.store {
            "lease" => &object["metadata"]["annotations"]["lockheed/record"],
            _ => &object["data"]["lock"],
        };
        Record::from_json(record.as_str().unwrap()).unwrap()
    }
}

/// A user with only the Role that is shipped.
pub(crate) fn holder(namespace: &Namespace) -> PathBuf {
    with_role(namespace, "rbac.yaml", "lockheed")
}

fn with_role(namespace: &Namespace, manifest: &str, role: &str) -> PathBuf {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kubernetes");
    namespace.kubectl(&["apply", "-f", &format!("{shipped}/{manifest}")], None);
    namespace.user_with_role("holder", role)
}

pub(crate) fn config_map(name: &str, lock: &str, annotations: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"lock": lock},
        "metadata": {"name": format!("lockheed-{name}"), "labels": {"lockheed/lock": ""}, "annotations": annotations}})
}

pub(crate) async fn store(kubeconfig: &Path, user_agent: &str) -> KubeStore {
    KubeStore::of(cluster(kubeconfig, user_agent).await)
}

pub(crate) async fn cluster(kubeconfig: &Path, user_agent: &str) -> Cluster {
    let args = ClientArgs {
        kubeconfig: Some(kubeconfig.to_owned()),
        ..ClientArgs::default()
    };
    Cluster::connect(&args, user_agent).await.unwrap()
}

pub(crate) fn name(text: &str) -> LockName {
    text.parse().unwrap()
}

/// A lock that is renewed in the background, as in `run`.
pub(crate) fn lock<S: Store>(store: S, of: &str, id: &str) -> Lock<S> {
    let length = Duration::from_secs(30);
    Lock::new(store, name(of))
        .id(id)
        .duration(length)
        .renew_interval(length / 3)
}

/// The binary, with a kubeconfig.
pub(crate) fn lockheed(kubeconfig: &Path) -> Command {
    lockheed_on("kube", kubeconfig)
}

/// The same with another store in the cluster.
pub(crate) fn lockheed_on(store: &str, kubeconfig: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockheed"));
    for variable in ["LOCKHEED_STORE", "LOCKHEED_LOG_FILTER", "KUBECONFIG"] {
        command.env_remove(variable);
    }
    command
        .args(["--store", store])
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .stdin(Stdio::null());
    command
}
