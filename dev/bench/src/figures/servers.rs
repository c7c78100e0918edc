//! Our own cluster and etcd, and the commands that contend in them.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use apiserver::{
    Namespace,
    cluster::{Binaries, Cluster, Lives},
};
use serde_json::json;
use tempfile::TempDir;
use testkit::{eventually, process::Kept};

use crate::{Result, programs::Build};

pub(crate) struct Servers {
    pub(crate) namespace: Namespace,
    pub(crate) user: PathBuf,
    etcd: String,
    /// Dropping these ends them: etcd and the cluster before their directory.
    _etcd: Kept,
    _cluster: Cluster,
    _directory: TempDir,
}

const EVERYTHING: &[&str] = &[
    "get", "list", "watch", "create", "update", "patch", "delete",
];

impl Servers {
    pub(crate) fn start() -> Result<Self> {
        let binaries = Binaries::installed();
        let binaries = binaries.ok_or("no API server in KUBEBUILDER_ASSETS or on PATH")?;
        let directory = tempfile::tempdir()?;
        let cluster = directory.path().join("cluster");
        let started = Cluster::start(&binaries, &cluster, Lives::WithThread)?;
        let namespace = Namespace::within(&cluster);
        let rules = ["configmaps", "leases.coordination.k8s.io", "pods"].map(|it| (it, EVERYTHING));
        let user = namespace.user("bench", &rules);
        let (etcd, address) = etcd(&binaries, &directory.path().join("etcd"))?;
        Ok(Self {
            namespace,
            user,
            etcd: address,
            _etcd: etcd,
            _cluster: started,
            _directory: directory,
        })
    }

    /// Creates Pods for cmlock, which no kubelet runs.
    pub(crate) fn make_pods(&self, count: usize) {
        let pod = |number| {
            json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("pod-{number}"), "namespace": self.namespace.name()},
                "spec": {"containers": [{"name": "main", "image": "none"}], "nodeName": "none"}})
        };
        let items: Vec<_> = (0..count).map(pod).collect();
        self.namespace
            .apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}));
    }

    pub(crate) fn lockheed(&self, build: &Build, store: &str) -> Command {
        let mut lockheed = Command::new(build.path("lockheed"));
        lockheed.env("KUBECONFIG", &self.user);
        lockheed.args(["--store", store]);
        lockheed
    }

    /// The command for the Pod with this number.
    pub(crate) fn cmlock(&self, build: &Build, pod: usize) -> Command {
        let mut cmlock = Command::new(build.path("cmlock"));
        cmlock.env("KUBECONFIG", &self.user);
        cmlock.env("POD_NAME", format!("pod-{pod}"));
        cmlock
    }

    /// A program that runs a command while client-go has elected it; the caller adds the command.
    pub(crate) fn leader(&self, program: &Path, id: &str, lease: &str) -> Command {
        let mut leader = Command::new(program);
        leader.arg("-kubeconfig").arg(&self.user);
        leader.args(["-namespace", self.namespace.name(), "-id", id]);
        leader.arg(lease);
        leader
    }

    pub(crate) fn etcdctl(&self, program: &Path) -> Command {
        let mut etcdctl = Command::new(program);
        etcdctl.env("ETCDCTL_API", "3");
        etcdctl.arg("--endpoints").arg(&self.etcd);
        etcdctl
    }

    /// How many writes the API server has received in this namespace.
    pub(crate) fn writes(&self) -> u64 {
        let requests = self.namespace.requests();
        let wrote = |verb: &str| ["create", "update", "patch", "delete"].contains(&verb);
        let writes = requests.iter().filter(|it| wrote(&it.verb)).count();
        writes.try_into().unwrap_or(u64::MAX)
    }
}

/// Starts our own etcd, and returns its address.
fn etcd(binaries: &Binaries, data: &Path) -> Result<(Kept, String)> {
    let free = || -> Result<String> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(format!("http://127.0.0.1:{port}"))
    };
    let (clients, peers) = (free()?, free()?);
    let mut etcd = Command::new(binaries.etcd());
    etcd.arg("--data-dir").arg(data);
    etcd.args([
        "--listen-client-urls",
        &clients,
        "--advertise-client-urls",
        &clients,
    ]);
    etcd.args([
        "--listen-peer-urls",
        &peers,
        "--initial-advertise-peer-urls",
        &peers,
    ]);
    etcd.args([
        "--initial-cluster",
        &format!("default={peers}"),
        "--log-level=error",
        "--unsafe-no-fsync",
    ]);
    let etcd = Kept::spawn(etcd.stdout(Stdio::null()).stderr(Stdio::null()));
    let address = clients.trim_start_matches("http://").to_owned();
    eventually("etcd listens", || {
        std::net::TcpStream::connect(&address).is_ok()
    });
    Ok((etcd, clients))
}
