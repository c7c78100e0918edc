//! Locks in a directory.

use std::fs;

use nix::{libc, sys::signal::Signal};
use testkit::{eventually, process::Kept};

use super::{family::Family, scenarios};
use crate::place::{Place, ends, send};

scenarios![
    ten_contenders_exclude_each_other,
    waiters_are_served_in_order_of_arrival,
    fair_waiters_are_served_in_order_of_arrival,
    readers_and_slots_share_a_lock,
    a_killed_client_frees_the_lock,
    a_killed_guard_frees_the_lock,
    a_killed_command_frees_the_lock,
    a_stopped_client_loses_the_lock_and_its_tree,
    a_lock_that_is_broken_ends_the_tree,
    a_lost_lock_is_acquired_again,
    timeouts_end_the_wait,
    a_lease_outlives_its_command,
    scripts_are_told,
];

/// Holds `x` until `go` exists, with a lease that is longer than any wait here.
fn holder(place: &Place) -> Kept {
    let script = "echo $$ >holder; until [ -e go ]; do sleep 0.05; done";
    let run = ["run", "x", "--duration", "1h", "--", "sh", "-c", script];
    let holder = place.start("lockheed", &run);
    place.pid("holder");
    holder
}

fn let_go(place: &Place, holder: Kept) {
    place.write("go", "");
    ends(holder, 0);
}

/// Whether a process waits for a file lock in the kernel. Before Linux 5.13, `/proc/locks` does not
/// show a waiter that waits behind another one.
fn waits_in_kernel(pid: i32) -> bool {
    const F_OFD_SETLKW: i32 = 38;
    let wanted = format!("{} 0x", libc::SYS_fcntl);
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let calls = tasks.into_iter().flatten().flatten().map(|task| {
        // For a running task, the text is "running".
        fs::read_to_string(task.path().join("syscall")).unwrap_or_default()
    });
    let command = format!("{F_OFD_SETLKW:#x}");
    let mut calls = calls.filter(|call| call.starts_with(&wanted));
    calls.any(|call| call.split(' ').nth(2) == Some(command.as_str()))
}

fn is_free_at_once(place: &Place) {
    place.expect("lockheed", &["run", "x", "--wait", "1m", "--", "true"], 0);
}

fn ten_contenders_exclude_each_other(place: &Place) {
    let section = "mkdir inside || echo overlap >>overlaps
        echo $LOCKHEED_TOKEN >>tokens; rmdir inside";
    for round in ["run", "again"] {
        let run = ["run", "x", "--id", round, "--", "sh", "-c", section];
        let contenders = [(); 10].map(|()| place.start("lockheed", &run));
        contenders.into_iter().for_each(|it| drop(ends(it, 0)));
    }
    assert_eq!(place.lines("overlaps"), [""; 0]);
    let tokens: Vec<u64> = place
        .lines("tokens")
        .iter()
        .map(|it| it.parse().unwrap())
        .collect();
    assert_eq!(tokens.len(), 20);
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
}

fn serve_in_order(place: &Place, more: &[&str], waits: impl Fn(i32, usize) -> bool) {
    let holder = holder(place);
    let waiters = [0, 1, 2, 3, 4].map(|number| {
        let script = format!("echo {number} >>order");
        let run = [&["run", "x"], more, &["--", "sh", "-c", &script]].concat();
        let waiter = place.start("lockheed", &run);
        eventually("it waits", || waits(waiter.pid(), number + 1));
        waiter
    });
    let_go(place, holder);
    waiters.into_iter().for_each(|it| drop(ends(it, 0)));
    assert_eq!(place.lines("order"), ["0", "1", "2", "3", "4"]);
}

fn waiters_are_served_in_order_of_arrival(place: &Place) {
    serve_in_order(place, &[], |newest, _| waits_in_kernel(newest));
}

fn fair_waiters_are_served_in_order_of_arrival(place: &Place) {
    serve_in_order(place, &["--fair"], |_, waiters| {
        let lock = place.expect("lockheed", &["inspect", "x", "-o", "json"], 0);
        lock.matches("\"since\"").count() >= waiters
    });
}

fn readers_and_slots_share_a_lock(place: &Place) {
    for (lock, more) in [("shared", &["--shared"][..]), ("slots", &["--slots", "2"])] {
        let script = format!("echo $$ >{lock}-$N; until [ -e {lock}-go ]; do sleep 0.05; done");
        let run = [
            &["run", lock, "--duration", "1h"],
            more,
            &["--", "sh", "-c", &script],
        ]
        .concat();
        let holders = ["1", "2"].map(|number| {
            let mut command = place.program("lockheed", &run);
            let holder = Kept::spawn(command.env("N", number));
            place.pid(&format!("{lock}-{number}"));
            holder
        });
        place.expect("lockheed", &["run", lock, "--no-wait", "--", "true"], 124);
        place.write(&format!("{lock}-go"), "");
        holders
            .into_iter()
            .for_each(|mut it| assert_eq!(it.status(), 0));
        place.expect("lockheed", &["run", lock, "--wait", "1m", "--", "true"], 0);
    }
}

fn family(place: &Place) -> Family<'_> {
    Family::start(
        place,
        "lockheed",
        &["run", "x", "--duration", "1h", "--grace", "300ms"],
    )
}

/// The lock is free long before the lease is over.
fn a_killed_client_frees_the_lock(place: &Place) {
    family(place).loses_its_client();
    is_free_at_once(place);
}

fn a_killed_guard_frees_the_lock(place: &Place) {
    let family = family(place);
    send(family.pid("guard"), Signal::SIGKILL);
    family.ends(125);
    is_free_at_once(place);
}

fn a_killed_command_frees_the_lock(place: &Place) {
    let family = Family::start(place, "lockheed", &["run", "x", "--grace", "300ms"]);
    send(family.pid("command"), Signal::SIGKILL);
    family.ends(137);
    is_free_at_once(place);
}

fn a_stopped_client_loses_the_lock_and_its_tree(place: &Place) {
    let family = Family::start(place, "lockheed", &["run", "x", "--duration", "3s"]);
    send(family.client().pid(), Signal::SIGSTOP);
    let run = ["run", "x", "--wait", "2m", "--", "true"];
    place.expect("lockheed", &run, 0);
    for name in ["daemon", "child", "command"] {
        assert!(
            !testkit::process::is_alive(family.pid(name)),
            "the {name} outlives the lease"
        );
    }
    send(family.client().pid(), Signal::SIGCONT);
    family.ends(122);
}

fn a_lock_that_is_broken_ends_the_tree(place: &Place) {
    let family = Family::start(place, "lockheed", &["run", "x", "--grace", "300ms"]);
    place.expect("lockheed", &["break", "x", "--yes"], 0);
    family.ends(122);
    is_free_at_once(place);
}

/// The client executes itself again, in the same process.
fn a_lost_lock_is_acquired_again(place: &Place) {
    let script = "echo $LOCKHEED_TOKEN >>tokens; until [ -e go ]; do sleep 0.05; done";
    let run = ["run", "x", "--restart", "--", "sh", "-c", script];
    let client = place.start("lockheed", &run);
    for lives in [1, 2] {
        eventually("the command runs", || place.lines("tokens").len() == lives);
        if lives == 1 {
            place.expect("lockheed", &["break", "x", "--yes"], 0);
        }
    }
    let_go(place, client);
    let tokens: Vec<u64> = place
        .lines("tokens")
        .iter()
        .map(|it| it.parse().unwrap())
        .collect();
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
}

fn timeouts_end_the_wait(place: &Place) {
    let holder = holder(place);
    for limit in [&["--wait", "200ms"][..], &["--no-wait"]] {
        let run = [&["run", "x"], limit, &["--", "true"]].concat();
        place.expect("lockheed", &run, 124);
    }
    place.expect("lockheed", &["acquire", "x", "--wait", "200ms"], 110);
    place.expect("lockheed", &["acquire", "x", "--no-wait"], 16);
    let waiter = place.start("lockheed", &["run", "x", "--", "touch", "ran"]);
    eventually("it waits", || waits_in_kernel(waiter.pid()));
    send(waiter.pid(), Signal::SIGTERM);
    ends(waiter, 143);
    let_go(place, holder);
    assert!(!place.path("ran").exists());
}

fn a_lease_outlives_its_command(place: &Place) {
    let expect = |arguments: &[&str], status| place.expect("lockheed", arguments, status);
    let first = expect(&["acquire", "x", "--id", "a", "--duration", "1h"], 0);
    expect(&["acquire", "x", "--id", "b", "--no-wait"], 16);
    expect(&["renew", "x", "--id", "a"], 0);
    assert_eq!(expect(&["list", "-o", "name"], 0), "x\n");
    expect(&["release", "x", "--id", "a"], 0);
    let second = expect(
        &["acquire", "x", "--id", "b", "--no-wait", "--duration", "1s"],
        0,
    );
    // The second lease ends with its time.
    let third = expect(&["acquire", "x", "--id", "c"], 0);
    let tokens: Vec<u64> = [first, second, third]
        .iter()
        .map(|it| it.trim().parse().unwrap())
        .collect();
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    expect(&["break", "x", "--yes"], 0);
    expect(&["delete", "x"], 0);
    assert_eq!(expect(&["list", "-o", "name"], 0), "");
}

fn scripts_are_told(place: &Place) {
    let holder = holder(place);
    let waiter = place.start(
        "lockheed",
        &[
            "run",
            "x",
            "--on-wait",
            "cat >waits",
            "--on-lost",
            "cat >lost",
            "--",
            "sh",
            "-c",
            "echo $$ >runs; exec sleep 1000",
        ],
    );
    eventually("it is told", || {
        place.lines("waits").concat().contains(r#""event":"wait""#)
    });
    let_go(place, holder);
    place.pid("runs");
    place.expect("lockheed", &["break", "x", "--yes"], 0);
    ends(waiter, 122);
    let lost = place.lines("lost").concat();
    assert!(lost.contains(r#""event":"lost""#), "{lost}");
}
