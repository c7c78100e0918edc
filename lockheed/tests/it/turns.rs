//! Processes that wait in turn: what they see of each other, and what happens when some die or
//! stop.

use std::{fs, path::PathBuf, process::Command};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{
    eventually,
    process::{Kept, outcome},
};

use crate::support::Place;

/// Waiters for one lock, each of which writes its name when it is served.
pub(crate) struct Turns<L> {
    lockheed: L,
    directory: TempDir,
}

impl<L: Fn() -> Command> Turns<L> {
    pub(crate) fn new(lockheed: L) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            lockheed,
            directory,
        }
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        outcome((self.lockheed)().args(arguments))
    }

    fn expect(&self, arguments: &[&str]) -> String {
        let (status, stdout, stderr) = self.run(arguments);
        assert_eq!(status, 0, "{arguments:?}: {stdout}{stderr}");
        stdout
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.expect(&["inspect", "x", "-o", "json"])).unwrap()
    }

    /// Returns when the waiter is in its place.
    fn wait(&self, name: &str, options: &[&str]) -> Kept {
        let before = self.json()["waiting"].as_array().unwrap().len();
        let write = format!("echo {name} >>{}", self.log().display());
        let mut command = (self.lockheed)();
        command.args(["run", "x", "--fair", "--id", name, "--duration", "30s"]);
        command.args(options).args(["--", "sh", "-c", &write]);
        let waiter = Kept::spawn(&mut command);
        eventually("it is in the queue", || {
            self.json()["waiting"].as_array().unwrap().len() == before + 1
        });
        waiter
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn served(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().collect::<Vec<_>>().join(" ")
    }

    /// The first and the third waiter are killed, and so is the holder.
    pub(crate) fn who_is_killed_holds_up_nobody_for_long(self) {
        self.expect(&["acquire", "x", "--id", "first", "--duration", "10m"]);
        let mut waiters = ["a", "b", "c", "d"].map(|name| self.wait(name, &[]));
        for at in [0, 2] {
            waiters[at].signal(Signal::SIGKILL);
            waiters[at].status();
        }
        self.expect(&["release", "x", "--id", "first"]);
        assert_eq!([1, 3].map(|at| waiters[at].status()), [0, 0]);
        assert_eq!(self.served(), "b d");
        let sleep = ["run", "x", "--duration", "2s", "--", "sleep", "1000"];
        let mut holder = Kept::spawn((self.lockheed)().args(sleep));
        eventually("it is held", || self.json()["held"] == true);
        let mut last = self.wait("e", &[]);
        holder.signal(Signal::SIGKILL);
        holder.status();
        assert_eq!(last.status(), 0);
        assert_eq!(self.served(), "b d e");
    }

    /// It does not come when it is named, loses its place, goes to the end, and is served once.
    pub(crate) fn who_is_stopped_loses_its_turn_and_is_served_once(self) {
        self.expect(&["acquire", "x", "--id", "first", "--duration", "10m"]);
        let [mut stopped, mut next] = ["stopped", "next"].map(|name| self.wait(name, &[]));
        stopped.signal(Signal::SIGSTOP);
        self.expect(&["release", "x", "--id", "first"]);
        assert_eq!(next.status(), 0);
        assert_eq!(self.served(), "next");
        stopped.signal(Signal::SIGCONT);
        assert_eq!(stopped.status(), 0);
        assert_eq!(self.served(), "next stopped");
        assert_eq!(self.json()["waiting"], Value::Array(Vec::new()));
    }

    /// In every output format, the next waiters come first.
    pub(crate) fn who_waits_is_shown(self) {
        self.expect(&["acquire", "x", "--id", "first", "--slots", "2"]);
        self.expect(&["acquire", "x", "--id", "second", "--slots", "2"]);
        let slots = ["--slots", "2"];
        let mut waiters = [
            self.wait("usual", &slots),
            self.wait("urgent", &["--slots", "2", "--priority", "7"]),
        ];
        let state = self.json();
        assert_eq!(
            (&state["mode"], &state["slots"]),
            (&"slots".into(), &2.into())
        );
        let waiting = state["waiting"].as_array().unwrap();
        let ids: Vec<_> = waiting
            .iter()
            .map(|it| it["id"].as_str().unwrap())
            .collect();
        assert!(
            ids[0].starts_with("urgent-") && ids[1].starts_with("usual-"),
            "{ids:?}"
        );
        assert_eq!(
            (&waiting[0]["priority"], &waiting[1]["raised"]),
            (&7.into(), &1.into())
        );
        let text = self.expect(&["inspect", "x"]);
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("waiting"))
            .collect();
        assert_eq!(lines.len(), 2, "{text}");
        let (first, second) = (lines[0], lines[1]);
        assert!(
            first.contains("\"urgent-") && first.ends_with("slots=2, priority 7"),
            "{first}"
        );
        assert!(
            second.contains("\"usual-") && second.contains(" since 2"),
            "{second}"
        );
        assert!(text.contains("mode     slots=2\n"), "{text}");
        let wide = self.expect(&["list", "-o", "wide"]);
        assert!(
            wide.contains("first +1") && wide.contains("slots=2"),
            "{wide}"
        );
        for id in ["first", "second"] {
            self.expect(&["release", "x", "--id", id]);
        }
        assert_eq!(waiters.each_mut().map(Kept::status), [0, 0]);
    }

    /// A contender with another number of slots is refused with EINVAL. A mode that makes no sense
    /// is a usage error.
    pub(crate) fn what_cannot_be_is_refused(self) {
        self.expect(&["acquire", "x", "--id", "first", "--slots", "2"]);
        let before = self.json();
        let (status, _, stderr) = self.run(&["acquire", "x", "--slots", "3"]);
        assert_eq!(status, 22, "{stderr}");
        assert!(
            stderr.contains("in 2 slots") && stderr.contains("in 3 slots"),
            "{stderr}"
        );
        let (status, _, stderr) = self.run(&["run", "x", "--shared", "--", "true"]);
        assert_eq!(status, 125, "{stderr}");
        assert_eq!(self.json()["version"], before["version"]);
        for wrong in [
            ["--shared", "--slots", "2"],
            ["--slots", "0", "--fair"],
            ["--slots", "many", "--fair"],
            ["--priority", "1001", "--fair"],
            ["--priority", "-1", "--fair"],
        ] {
            let (status, _, stderr) = self.run(&[&["acquire", "x"][..], &wrong].concat());
            assert_eq!(status, 64, "{wrong:?}: {stderr}");
        }
    }
}

fn in_a_directory() -> (Place, Turns<impl Fn() -> Command>) {
    let place = Place::new();
    let store = place.store();
    let lockheed = move || {
        let mut command = crate::support::lockheed(&[]);
        command.env("LOCKHEED_STORE", &store);
        command
    };
    (place, Turns::new(lockheed))
}

#[test]
fn who_is_killed_holds_up_nobody_for_long() {
    let (_place, turns) = in_a_directory();
    turns.who_is_killed_holds_up_nobody_for_long();
}

#[test]
fn who_is_stopped_loses_its_turn_and_is_served_once() {
    let (_place, turns) = in_a_directory();
    turns.who_is_stopped_loses_its_turn_and_is_served_once();
}

#[test]
fn who_waits_is_shown() {
    let (_place, turns) = in_a_directory();
    turns.who_waits_is_shown();
}

#[test]
fn what_cannot_be_is_refused() {
    let (_place, turns) = in_a_directory();
    turns.what_cannot_be_is_refused();
}
