//! `run --restart` on a cluster.

use std::{fs, thread, time::Duration};

use apiserver::{Fault, Proxy};
use nix::sys::signal::Signal;
use testkit::{
    eventually,
    process::{Kept, is_alive},
};

use super::{Place, commands::run_on, lockheed};

const LIFE: &str = "echo $LOCKHEED_TOKEN >>lives; exec sleep 1000";

struct Singleton {
    process: Kept,
    directory: tempfile::TempDir,
}

impl Singleton {
    fn start(mut command: std::process::Command, duration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        command.args(["run", "x", "--restart", "--duration", duration]);
        command.args(["--", "sh", "-c", LIFE]).stderr(log);
        Self {
            process: Kept::spawn(command.current_dir(directory.path())),
            directory,
        }
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.path().join(file)).unwrap_or_default()
    }

    fn tokens(&self) -> Vec<u64> {
        let text = self.read("lives");
        text.lines().map(|token| token.parse().unwrap()).collect()
    }

    fn await_life(&self, number: usize) {
        let runs = || self.tokens().len() == number;
        eventually("the command runs", runs);
    }
}

fn break_again_and_again(place: &Place) {
    let mut singleton = Singleton::start(place.lockheed(), "1h");
    for life in 1..4 {
        singleton.await_life(life);
        let (status, _, error) = run_on(place, &["break", "x", "--yes"]);
        assert_eq!(status, Some(0), "{error}");
    }
    singleton.await_life(4);
    let tokens = singleton.tokens();
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    singleton.process.signal(Signal::SIGTERM);
    assert_eq!(singleton.process.status(), 143, "{}", singleton.read("log"));
    assert!(place.record("x").leases.is_empty());
}

#[test]
#[ignore = "no cluster"]
fn a_lease_that_is_ended_again_and_again_is_acquired_again() {
    break_again_and_again(&Place::new());
}

#[test]
#[ignore = "no cluster"]
fn the_same_in_a_lease() {
    break_again_and_again(&Place::of_leases());
}

/// It waits longer than it would for a server that has never answered.
#[test]
#[ignore = "no cluster"]
fn a_server_that_is_away_after_the_loss_is_waited_for() {
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    let mut singleton = Singleton::start(lockheed(&kubeconfig), "2s");
    singleton.await_life(1);
    proxy.set(Fault::Cut);
    proxy.cut_open_connections();
    let waits = || {
        singleton
            .read("log")
            .contains("waiting to run the command again")
    };
    eventually("it has lost the lock", waits);
    thread::sleep(Duration::from_secs(33));
    assert!(
        is_alive(singleton.process.pid()),
        "{}",
        singleton.read("log")
    );
    proxy.set(Fault::None);
    singleton.await_life(2);
    proxy.set(Fault::Cut);
    proxy.cut_open_connections();
    let waits = || singleton.read("log").matches("waiting to run").count() == 2;
    eventually("it has lost the lock again", waits);
    singleton.process.signal(Signal::SIGTERM);
    assert_eq!(singleton.process.status(), 143, "{}", singleton.read("log"));
}

/// A lease without a running command does not keep others waiting for its length.
#[test]
#[ignore = "no cluster"]
fn the_lease_that_expired_is_ended() {
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    let mut singleton = Singleton::start(lockheed(&kubeconfig), "6s");
    singleton.await_life(1);
    proxy.set(Fault::Cut);
    proxy.cut_open_connections();
    let waits = || {
        singleton
            .read("log")
            .contains("waiting to run the command again")
    };
    eventually("it has lost the lock", waits);
    proxy.set(Fault::None);
    singleton.await_life(2);
    let log = singleton.read("log");
    let (_, since) = log.split_once("waiting to run the command again").unwrap();
    assert!(!since.contains("waiting: it is held by"), "{log}");
    singleton.process.signal(Signal::SIGTERM);
    assert_eq!(singleton.process.status(), 143);
}
