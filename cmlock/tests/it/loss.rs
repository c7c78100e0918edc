//! A lock that is lost while it is held.

use std::time::Duration;

use cmlock::{Lock, Lost};
use coord_core::boottime;
use nix::sys::signal::Signal;
use testkit::{Fault, eventually};

use crate::support::{Kept, Place, cmlock, is_alive, number_in, soon, unix_time};

#[tokio::test]
#[ignore = "no cluster"]
async fn the_holder_of_a_deleted_object_is_told() {
    let place = Place::with_pods(&["a"]);
    let held = Lock::new(&place.client("a").await, "x", None)
        .acquire()
        .await
        .unwrap();
    assert!(!held.is_lost());
    place.namespace.kubectl(&["delete", "configmap", "x"], None);
    assert_eq!(soon(held.lost()).await, Lost::Deleted);
    held.release().await.unwrap();
}

#[tokio::test]
#[ignore = "no cluster"]
async fn the_holder_of_an_object_that_is_anothers_is_told() {
    let place = Place::with_pods(&["a", "b"]);
    let held = Lock::new(&place.client("a").await, "x", None)
        .acquire()
        .await
        .unwrap();
    place.namespace.kubectl(
        &[
            "annotate",
            "configmap",
            "x",
            "--overwrite",
            "cmlock/holder=somebody",
        ],
        None,
    );
    assert_eq!(soon(held.lost()).await, Lost::Taken);
    assert!(
        held.release()
            .await
            .unwrap_err()
            .to_string()
            .contains("holder somebody")
    );
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_lock_that_is_not_extended_is_lost_at_its_expiry() {
    let place = Place::with_pods(&["a"]);
    let held = Lock::new(&place.client("a").await, "x", None)
        .hold(Duration::from_secs(1))
        .acquire()
        .await
        .unwrap();
    let deadline = held.deadline().unwrap();
    assert_eq!(soon(held.lost()).await, Lost::Expired);
    assert!(boottime() >= deadline);
    // Nobody has taken it: it is ours to delete.
    held.release().await.unwrap();
    assert!(!place.exists("x"));
}

#[test]
#[ignore = "no cluster"]
fn the_command_ends_when_the_object_is_deleted() {
    let place = Place::with_pods(&["a"]);
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let script = format!("echo $$ >{}; sleep 1000", pid_file.display());
    let mut run = Kept(
        place
            .cmlock("a", &["run", "x", "--", "sh", "-c", &script])
            .spawn()
            .unwrap(),
    );
    let pid = number_in(&pid_file);
    place.namespace.kubectl(&["delete", "configmap", "x"], None);
    assert_eq!(run.status(), 122);
    assert!(!is_alive(pid));
}

#[test]
#[ignore = "no cluster"]
fn the_command_has_ended_before_the_expiry_when_the_server_is_away() {
    let place = Place::with_pods(&["a"]);
    let proxy = place.proxy();
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    // It does not end for TERM.
    let script = format!(
        "trap '' TERM; echo $$ >{}; while :; do sleep 1; done",
        pid_file.display()
    );
    let mut command = cmlock(&kubeconfig);
    command.args([
        "--pod",
        "a",
        "run",
        "x",
        "--timeout",
        "6s",
        "--",
        "sh",
        "-c",
        &script,
    ]);
    let mut run = Kept(command.spawn().unwrap());
    let pid = number_in(&pid_file);
    let expiry = || -> u64 {
        place.object("x")["data"]["expiresAt"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    let first = expiry();
    eventually("it is extended", || expiry() > first);
    proxy.set(Fault::Silence);
    eventually("the command has ended", || !is_alive(pid));
    assert!(unix_time() < expiry(), "the command outlived the lock");
    proxy.set(Fault::None);
    assert_eq!(run.status(), 122);
}

#[test]
#[ignore = "no cluster"]
fn a_short_absence_of_the_server_costs_nothing() {
    let place = Place::with_pods(&["a"]);
    let proxy = place.proxy();
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    let mut command = cmlock(&kubeconfig);
    command.args([
        "--pod",
        "a",
        "run",
        "x",
        "--timeout",
        "12s",
        "--",
        "sleep",
        "20",
    ]);
    let mut run = Kept(command.spawn().unwrap());
    eventually("it holds the lock", || place.exists("x"));
    proxy.set(Fault::Cut);
    std::thread::sleep(Duration::from_secs(4));
    proxy.set(Fault::None);
    assert_eq!(run.status(), 0);
    assert!(!place.exists("x"));
}

#[test]
#[ignore = "no cluster"]
fn a_signal_ends_the_command_and_gives_the_lock_back() {
    let place = Place::with_pods(&["a"]);
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let script = format!("echo $$ >{}; exec sleep 1000", pid_file.display());
    let mut run = Kept(
        place
            .cmlock("a", &["run", "x", "--", "sh", "-c", &script])
            .spawn()
            .unwrap(),
    );
    let pid = number_in(&pid_file);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.status(), 143);
    assert!(!is_alive(pid) && !place.exists("x"));
}

#[test]
#[ignore = "no cluster"]
fn a_killed_client_takes_its_command_along() {
    let place = Place::with_pods(&["a"]);
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let script = format!("echo $$ >{}; sleep 1000", pid_file.display());
    let run = Kept(
        place
            .cmlock("a", &["run", "x", "--", "sh", "-c", &script])
            .spawn()
            .unwrap(),
    );
    let pid = number_in(&pid_file);
    run.signal(Signal::SIGKILL);
    eventually("the command has ended", || !is_alive(pid));
    // Nothing has told anybody: the Pod's end will, or `release`.
    assert!(place.exists("x"));
    assert_eq!(place.run("a", &["release", "x"]).0, 0);
}
