//! A lock that is lost while somebody holds it.

use std::{process::Command, time::Duration};

use apiserver::Fault;
use cmlock::{LeaseLost, Lock};
use coord_core::BootInstant;
use nix::sys::signal::Signal;
use testkit::{
    eventually,
    process::{Kept, is_alive, number_in},
};

use crate::support::{Place, cmlock, soon, unix_time};

/// `cmlock run x` with a shell script that is already running.
struct Running {
    cmlock: Kept,
    /// The shell's PID.
    shell: i32,
}

impl Running {
    fn start(cmlock: &mut Command, more: &[&str], script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let script = format!("echo $$ >{}; {script}", file.display());
        cmlock.args(["run", "x"]).args(more);
        let cmlock = Kept::spawn(cmlock.args(["--", "sh", "-c", &script]));
        let shell = number_in(&file);
        Self { cmlock, shell }
    }

    fn has_ended(&self) -> bool {
        !is_alive(self.shell)
    }
}

// Holds cmlock-5.
#[tokio::test]
#[ignore = "no cluster"]
async fn the_holder_of_a_deleted_object_is_told() {
    let place = Place::with_pods(&["a"]);
    let held = Lock::new(&place.client("a").await, "x")
        .acquire()
        .await
        .unwrap();
    assert!(!held.is_lost());
    place.namespace.kubectl(&["delete", "configmap", "x"], None);
    assert_eq!(soon(held.lost()).await, LeaseLost::Deleted);
    held.release().await.unwrap();
}

// Holds cmlock-5.
#[tokio::test]
#[ignore = "no cluster"]
async fn the_holder_of_an_object_that_is_anothers_is_told() {
    let place = Place::with_pods(&["a", "b"]);
    let held = Lock::new(&place.client("a").await, "x")
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
    assert_eq!(soon(held.lost()).await, LeaseLost::Taken);
    assert!(
        held.release()
            .await
            .unwrap_err()
            .to_string()
            .contains("holder somebody")
    );
}

// Holds cmlock-4.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_lock_that_is_not_extended_is_lost_at_its_expiry() {
    let place = Place::with_pods(&["a"]);
    let held = Lock::new(&place.client("a").await, "x")
        .hold(Duration::from_secs(1))
        .acquire()
        .await
        .unwrap();
    let deadline = held.deadline().unwrap();
    assert_eq!(soon(held.lost()).await, LeaseLost::Expired);
    assert!(BootInstant::now() >= deadline);
    // Nobody has taken the lock, so we may still delete its object.
    held.release().await.unwrap();
    assert!(!place.exists("x"));
}

// Holds cmlock-5.
#[test]
#[ignore = "no cluster"]
fn the_command_ends_when_the_object_is_deleted() {
    let place = Place::with_pods(&["a"]);
    let mut run = Running::start(&mut place.cmlock("a", &[]), &[], "sleep 1000");
    place.namespace.kubectl(&["delete", "configmap", "x"], None);
    assert_eq!(run.cmlock.status(), 122);
    assert!(run.has_ended());
}

// Holds cmlock-4.
#[test]
#[ignore = "no cluster"]
fn the_command_has_ended_before_the_expiry_when_the_server_is_away() {
    let place = Place::with_pods(&["a"]);
    let proxy = place.proxy();
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    let mut run = Running::start(
        cmlock(&kubeconfig).env("POD_NAME", "a"),
        &["--timeout", "6s"],
        "trap '' TERM; while :; do sleep 1; done",
    );
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
    eventually("the command has ended", || run.has_ended());
    assert!(unix_time() < expiry(), "the command outlived the lock");
    proxy.set(Fault::None);
    assert_eq!(run.cmlock.status(), 122);
}

// Holds cmlock-9.
#[test]
#[ignore = "no cluster"]
fn a_short_absence_of_the_server_costs_nothing() {
    let place = Place::with_pods(&["a"]);
    let proxy = place.proxy();
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    let mut run = Running::start(
        cmlock(&kubeconfig).env("POD_NAME", "a"),
        &["--timeout", "12s"],
        "sleep 20",
    );
    proxy.set(Fault::Cut);
    std::thread::sleep(Duration::from_secs(4));
    proxy.set(Fault::None);
    assert_eq!(run.cmlock.status(), 0);
    assert!(!place.exists("x"));
}

#[test]
#[ignore = "no cluster"]
fn a_signal_ends_the_command_and_gives_the_lock_back() {
    let place = Place::with_pods(&["a"]);
    let mut run = Running::start(&mut place.cmlock("a", &[]), &[], "exec sleep 1000");
    run.cmlock.signal(Signal::SIGTERM);
    assert_eq!(run.cmlock.status(), 143);
    assert!(run.has_ended() && !place.exists("x"));
}

// Holds cmlock-5.
#[test]
#[ignore = "no cluster"]
fn a_killed_client_takes_its_command_along() {
    let place = Place::with_pods(&["a"]);
    let run = Running::start(&mut place.cmlock("a", &[]), &[], "sleep 1000");
    run.cmlock.signal(Signal::SIGKILL);
    eventually("the command has ended", || run.has_ended());
    // The killed client could not release the lock. The Pod's end frees it, or `release` does.
    assert!(place.exists("x"));
    assert_eq!(place.run("a", &["release", "x"]).0, 0);
}
