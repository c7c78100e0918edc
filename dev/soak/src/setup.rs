//! What exists before the faults, and what must not exist afterwards.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use apiserver::{
    Namespace, Proxy, Result,
    cluster::{Binaries, Cluster, Lives},
};
use nix::mount::{MsFlags, mount};
use serde_json::json;
use testkit::process::is_alive;

use crate::{
    faults::give,
    section::{self, make_guard},
    workloads::{LOCKS, pod},
    world::{World, shown},
};

/// The size of the disk that is filled.
const DISK: &str = "size=4m";

/// The files that lockheed's directory and the pidfiles may keep, besides the locks themselves.
const KEPT: [&str; 9] = [
    ".clock",
    ".counter",
    ".guard",
    ".holders",
    ".waiting",
    "claimed.pid",
    ".claimed.pid.sipid",
    "reused.pid",
    ".reused.pid.sipid",
];

/// Everything that is set up.
pub(crate) type SetUp = (World, Cluster, Namespace, [Proxy; 2], [PathBuf; 2]);

pub(crate) fn set_up(binaries: &Path, out: &Path) -> Result<SetUp> {
    if out.exists() {
        fs::remove_dir_all(out)?;
    }
    let disk = out.join("disk");
    for directory in [&disk, &out.join("guards")] {
        fs::create_dir_all(directory)?;
    }
    let (out, disk) = (out.canonicalize()?, disk.canonicalize()?);
    mount(
        Some("soak"),
        &disk,
        Some("tmpfs"),
        MsFlags::empty(),
        Some(DISK),
    )
    .map_err(|error| format!("cannot mount a disk to fill: {error}"))?;
    for directory in ["tmp", "pids", "locks"] {
        fs::create_dir(disk.join(directory))?;
    }
    fs::write(out.join("sections"), "")?;
    let mut world = World::new(binaries, &out, &disk)?;
    world.cgroup = cgroup();
    if world.cgroup.is_none() {
        world.say("LEFT OUT: PIDs are not exhausted, as no cgroup with `pids.max` can be made");
    }
    for lock in &LOCKS {
        make_guard(&lock.guard(&world), lock.slots)?;
    }
    let binaries = Binaries::installed().ok_or("no etcd, kube-apiserver and kubectl")?;
    let cluster = Cluster::start(&binaries, &out.join("cluster"), Lives::WithThread)?;
    let namespace = Namespace::within(cluster.directory());
    let verbs: &[&str] = &[
        "get", "list", "watch", "create", "update", "patch", "delete",
    ];
    let resources = ["configmaps", "leases.coordination.k8s.io", "pods"];
    let user = namespace.user("soak", &resources.map(|it| (it, verbs)));
    for contender in 0..LOCKS.iter().map(|it| it.contenders).max().unwrap_or(0) {
        let spec = json!({"automountServiceAccountToken": false, "containers": [{"name": "main", "image": "none"}]});
        namespace.apply(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod(contender)}, "spec": spec}));
    }
    let proxies = [Proxy::start(&user), Proxy::start(&user)];
    let tokens = [0, 1].map(|number| out.join(format!("token-{number}")));
    for (number, (proxy, token)) in proxies.iter().zip(&tokens).enumerate() {
        proxy.require("token");
        give(token, "token")?;
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{}", proxy.address())}}],
            "users": [{"name": "soak", "user": {"tokenFile": token}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "soak", "namespace": namespace.name()}}],
            "current-context": "proxy",
        });
        let path = out.join(format!("kubeconfig-{number}"));
        fs::write(&path, config.to_string())?;
        world.kubeconfigs[number] = [user.clone(), path];
    }
    Ok((world, cluster, namespace, proxies, tokens))
}

/// A cgroup of our own, under version 1 or 2.
fn cgroup() -> Option<PathBuf> {
    // In a PID namespace of its own, this process always has the same PID.
    let name = format!("soak-{}", section::now());
    let roots = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
    roots.iter().find_map(|root| {
        let path = Path::new(root).join(&name);
        fs::create_dir(&path).ok()?;
        let is_limited = path.join("pids.max").exists();
        if !is_limited {
            let _ = fs::remove_dir(&path);
        }
        is_limited.then_some(path)
    })
}

/// Checks that no process, no file and no lock of cmlock's is left behind.
pub(crate) fn check_what_is_left(world: &World, cluster: &Cluster, namespace: &Namespace) {
    let known = [
        1,
        std::process::id().cast_signed(),
        cluster.etcd().pid(),
        cluster.apiserver().pid(),
    ];
    let left = || -> Vec<i32> {
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| !known.contains(pid) && is_alive(*pid))
            .collect()
    };
    let since = Instant::now();
    while !left().is_empty() && since.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(50));
    }
    for pid in left() {
        world.violation(&format!("left behind: {}", shown(pid)));
    }
    if let Some(cgroup) = &world.cgroup {
        let _ = fs::remove_dir(cgroup);
    }
    let mut files = Vec::new();
    list(&world.disk, &mut files);
    let is_known = |name: &str| {
        KEPT.contains(&name) || LOCKS.iter().any(|it| name == format!("{}.json", it.name))
    };
    files.retain(|file| {
        !file
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(is_known)
    });
    for file in files {
        world.violation(&format!("left behind: {file:?}"));
    }
    let lock = [
        "get",
        "configmap",
        "cmlock",
        "--ignore-not-found",
        "-o",
        "name",
    ];
    if !namespace.kubectl(&lock, None).is_empty() {
        world.violation("left behind: cmlock's lock");
    }
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            list(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}
