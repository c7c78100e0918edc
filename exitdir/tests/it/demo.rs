//! The examples, as the README shows them.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::tempdir;

use crate::{Process, eventually, run};

/// Cargo builds the examples beside the tests.
fn example(name: &str, dir: &Path) -> Command {
    let test = std::env::current_exe().unwrap();
    let examples: PathBuf = test.ancestors().nth(2).unwrap().join("examples");
    let mut command = Command::new(examples.join(name));
    command
        .env("EXIT_DIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

#[test]
fn the_follower_ticks_until_the_leader_is_done() {
    let dir = tempdir().unwrap();
    let follower = example("follower", dir.path()).spawn().unwrap();
    let leader = example("leader", dir.path()).output().unwrap();
    assert!(leader.status.success());
    let said = String::from_utf8(leader.stdout).unwrap();
    assert_eq!(said, "[Leader] Doing work...\n[Leader] Exiting...\n");
    let output = follower.wait_with_output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lines = said.lines();
    assert_eq!(lines.next_back(), Some("[Follower] Exiting..."));
    assert!(lines.clone().count() >= 3, "{said}");
    for (tick, line) in lines.enumerate() {
        assert_eq!(line, format!("[Follower] Tick {tick}"));
    }
    let record = run(dir.path(), &["status"]).1;
    assert_eq!(record, "the leader exited with status 0\n");
}

// Holds exitdir-2.
#[test]
fn a_leader_of_the_library_that_is_killed_is_noticed() {
    let dir = tempdir().unwrap();
    let leader = Process(example("leader", dir.path()).spawn().unwrap());
    eventually("the leader lives", || crate::is_led(dir.path()));
    let waiter = crate::start(dir.path(), &["wait"]);
    eventually("it watches", || waiter.watches());
    leader.send(nix::sys::signal::Signal::SIGKILL);
    assert_eq!(waiter.code(), Some(3));
}
