//! A namespace with Pods that no kubelet runs, clients in it, and the binary.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use apiserver::{Namespace, Proxy, audit::Request};
use cmlock::{Client, Event, Held, Lock};
use coord_kube::{ClientArgs, Cluster};
use serde_json::{Value, json};
use testkit::{eventually, process::outcome};

/// Longer than anything takes here on a loaded machine: a test that takes longer hangs.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(120);

pub(crate) const AGENT: &str = "cmlock-tests/0";

/// A namespace, and a user in it with only the shipped Role.
pub(crate) struct Place {
    pub(crate) namespace: Namespace,
    pub(crate) user: PathBuf,
}

impl Place {
    /// A namespace with Pods of these names, each with a container `main`.
    pub(crate) fn with_pods(pods: &[&str]) -> Self {
        let namespace = Namespace::new();
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kubernetes/rbac.yaml");
        namespace.kubectl(&["apply", "-f", shipped], None);
        let user = namespace.user_with_role("holder", "cmlock");
        let place = Self { namespace, user };
        for pod in pods {
            place.pod(pod);
        }
        place
    }

    /// Creates a Pod, and returns its UID.
    pub(crate) fn pod(&self, name: &str) -> String {
        let spec = json!({"automountServiceAccountToken": false, "containers": [{"name": "main", "image": "none"}]});
        self.namespace.apply(
            &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}),
        );
        self.uid("pods", name)
    }

    pub(crate) fn uid(&self, resource: &str, name: &str) -> String {
        self.namespace.get(resource, name)["metadata"]["uid"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Deletes a Pod at once, as if its node had reported its end.
    pub(crate) fn delete_pod(&self, name: &str) {
        self.namespace.kubectl(
            &["delete", "pod", name, "--grace-period=0", "--force"],
            None,
        );
    }

    /// Sets a Pod's status, as the kubelet does.
    pub(crate) fn set_status(&self, pod: &str, status: &Value) {
        let patch = json!({ "status": status }).to_string();
        self.namespace.kubectl(
            &[
                "patch",
                "pod",
                pod,
                "--subresource=status",
                "--type=merge",
                "-p",
                &patch,
            ],
            None,
        );
    }

    /// Reports that the Pod's container was restarted this many times, the last time at this Unix
    /// second.
    pub(crate) fn set_restarts(&self, pod: &str, count: i32, began: u64) {
        let began = UNIX_EPOCH + Duration::from_secs(began);
        let began = humantime::format_rfc3339_seconds(began).to_string();
        let container = json!({"name": "main", "restartCount": count, "state": {"running": {"startedAt": began}},
            "image": "none", "imageID": "", "ready": true});
        self.set_status(
            pod,
            &json!({"phase": "Running", "containerStatuses": [container]}),
        );
    }

    pub(crate) async fn client(&self, pod: &str) -> Client {
        client(&self.user, pod, AGENT).await
    }

    /// A client behind a proxy.
    pub(crate) async fn behind(&self, proxy: &Proxy, pod: &str) -> Client {
        let kubeconfig = proxy.kubeconfig(self.namespace.directory(), self.namespace.name());
        client(&kubeconfig, pod, AGENT).await
    }

    pub(crate) fn proxy(&self) -> Proxy {
        Proxy::start(&self.user)
    }

    /// Creates the ConfigMap of a lock as a Go program would, without an expiry if none is given.
    pub(crate) fn put(&self, name: &str, pod: &str, expires: Option<u64>) {
        self.namespace
            .apply(&of_go(name, pod, &self.uid("pods", pod), expires));
    }

    pub(crate) fn object(&self, name: &str) -> Value {
        self.namespace.get("configmaps", name)
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        !self
            .namespace
            .kubectl(
                &["get", "configmap", name, "--ignore-not-found", "-o", "name"],
                None,
            )
            .is_empty()
    }

    /// The requests of one program, once there are at least this many.
    pub(crate) fn requests(&self, agent: &str, at_least: usize) -> Vec<Request> {
        let ours = || -> Vec<Request> {
            let all = self.namespace.requests().into_iter();
            all.filter(|request| request.user_agent == agent).collect()
        };
        eventually("the requests are in the audit log", || {
            ours().len() >= at_least
        });
        ours()
    }

    /// The binary, run as this Pod.
    pub(crate) fn cmlock(&self, pod: &str, arguments: &[&str]) -> Command {
        let mut command = cmlock(&self.user);
        command.env("POD_NAME", pod).args(arguments);
        command
    }

    /// Runs the binary, and returns status, standard output and standard error.
    pub(crate) fn run(&self, pod: &str, arguments: &[&str]) -> (i32, String, String) {
        let done = outcome(&mut self.cmlock(pod, arguments));
        manual::schema::assert_printed(env!("CARGO_MANIFEST_DIR"), arguments, &done.1);
        done
    }
}

pub(crate) fn of_go(name: &str, pod: &str, uid: &str, expires: Option<u64>) -> Value {
    let data = expires.map(|at| json!({"expiresAt": at.to_string()}));
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid, "controller": true, "blockOwnerDeletion": false});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data, "metadata": {"name": name, "ownerReferences": [owner]}})
}

pub(crate) async fn client(kubeconfig: &Path, pod: &str, agent: &str) -> Client {
    let args = ClientArgs {
        kubeconfig: Some(kubeconfig.to_owned()),
        ..ClientArgs::default()
    };
    Client::of(Cluster::connect(&args, agent).await.unwrap(), pod)
}

pub(crate) fn cmlock(kubeconfig: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cmlock"));
    for variable in [
        "CMLOCK_LOG_FILTER",
        "CMLOCK_LOG_STYLE",
        "CONTAINER_NAME",
        "POD_NAME",
        "POD_NAMESPACE",
        "KUBECONFIG",
    ] {
        command.env_remove(variable);
    }
    command
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .stdin(Stdio::null());
    command
}

/// What has happened to a lock so far, as text.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    pub(crate) fn handler(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let events = self.clone();
        move |event| events.0.lock().unwrap().push(event.to_string())
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.0
            .lock()
            .unwrap()
            .iter()
            .any(|event| event.contains(text))
    }

    /// Waits until this has happened.
    pub(crate) async fn wait_for(&self, text: &str) {
        let started = std::time::Instant::now();
        while !self.has(text) {
            assert!(
                started.elapsed() < WATCHDOG,
                "no {text:?} among {:?}",
                self.0.lock().unwrap()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A contender that is already waiting in the background.
pub(crate) async fn waiting(lock: Lock) -> (tokio::task::JoinHandle<Held>, Events) {
    let events = Events::default();
    let lock = lock.on_event(events.handler());
    let waiter = tokio::spawn(async move { soon(lock.acquire()).await.unwrap() });
    events.wait_for("waiting: held by").await;
    (waiter, events)
}

pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(WATCHDOG, work)
        .await
        .expect("it hangs")
}

/// The time on this machine's clock, which is also the API server's.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
