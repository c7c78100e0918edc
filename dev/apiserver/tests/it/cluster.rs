//! Clusters, with the binaries that `cargo xtask test` supplies.

use std::{fs, process::Command, thread};

use apiserver::{
    Namespace,
    cluster::{Binaries, Cluster, Lives},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use testkit::eventually;

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with(['Z', 'X']));
    state == Some(false)
}

#[test]
#[ignore = "no cluster"]
fn servers_end_with_the_thread_that_started_them() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("cluster");
    let started = thread::spawn(move || {
        let binaries = Binaries::installed().unwrap();
        let cluster = Cluster::start(&binaries, &place, Lives::WithThread).unwrap();
        let pids = [cluster.etcd().pid(), cluster.apiserver().pid()];
        // Nobody cleans up, as when a process is killed.
        std::mem::forget(cluster);
        pids
    });
    let pids = started.join().unwrap();
    eventually("both have ended", || !pids.iter().any(|pid| is_alive(*pid)));
}

#[test]
#[ignore = "no cluster"]
fn what_an_earlier_process_started_is_found_and_ended() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("cluster");
    let binaries = Binaries::installed().unwrap();
    assert!(!Cluster::is_up(&place).unwrap());
    let cluster = Cluster::start(&binaries, &place, Lives::OnTheirOwn).unwrap();
    let pids = [cluster.etcd().pid(), cluster.apiserver().pid()];
    assert!(Cluster::start(&binaries, &place, Lives::OnTheirOwn).is_err());
    drop(cluster);
    assert!(pids.iter().all(|pid| is_alive(*pid)) && Cluster::is_up(&place).unwrap());
    Cluster::remove(&place).unwrap();
    assert!(!pids.iter().any(|pid| is_alive(*pid)) && !place.exists());
    Cluster::remove(&place).unwrap();
}

#[test]
#[ignore = "no cluster"]
fn killed_servers_come_back_with_what_they_had() {
    let directory = tempfile::tempdir().unwrap();
    let binaries = Binaries::installed().unwrap();
    let place = directory.path().join("cluster");
    let mut cluster = Cluster::start(&binaries, &place, Lives::WithThread).unwrap();
    let namespace = Namespace::within(cluster.directory());
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}});
    namespace.apply(&object);
    let before = cluster.apiserver().pid();
    cluster.kill();
    // The next server ends while it starts, as it does when etcd is slow to answer.
    let state = place.join("state.json");
    let killed = thread::spawn(move || {
        let mut next = None;
        eventually("another one starts", || {
            let state: Value =
                serde_json::from_str(&fs::read_to_string(&state).unwrap()).unwrap_or_default();
            let pid = state["kube-apiserver"]["pid"].as_i64();
            next = pid.filter(|pid| *pid != i64::from(before));
            next.is_some()
        });
        let next = i32::try_from(next.unwrap()).unwrap();
        kill(Pid::from_raw(next), Signal::SIGKILL).unwrap();
        next
    });
    cluster.restart().unwrap();
    assert_ne!(cluster.apiserver().pid(), killed.join().unwrap());
    assert_eq!(namespace.get("configmaps", "x")["data"]["a"], "b");
}

/// The PID of an earlier server now belongs to another process, with another start time.
#[test]
fn a_process_that_only_has_the_pid_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let server: Value = json!({"pid": other.id(), "start": 1, "boot": boot.trim()});
    let state = json!({"url": "", "etcd": server, "kube-apiserver": server});
    fs::write(directory.path().join("state.json"), state.to_string()).unwrap();
    assert!(!Cluster::is_up(directory.path()).unwrap());
    Cluster::remove(directory.path()).unwrap();
    assert!(is_alive(other.id().try_into().unwrap()));
    other.kill().unwrap();
    other.wait().unwrap();
}
