//! While nothing happens, nobody wakes up. What happens is noticed at once.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tempfile::tempdir;
use testkit::process::assert_sleeps;

use crate::{Process, eventually, is_led, run, start, unique};

/// A process and its guard. The command runs another program, which does not count.
fn with_guard(process: &Process) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", process.pid()));
    let children = children.unwrap();
    let children = children
        .split_whitespace()
        .map(|child| child.parse().unwrap());
    children.chain([process.pid().as_raw()]).collect()
}

// Holds exitdir-6.
#[test]
fn who_waits_sleeps() {
    let long = unique();
    for arguments in [
        &["wait"][..],
        &["wait", "--timeout", "1h", "--leader-by", "1h"],
        &["follow", "--", "sleep", &long],
        &["lead", "--", "sleep", &long],
    ] {
        let dir = tempdir().unwrap();
        let process = start(dir.path(), arguments);
        eventually("it waits", || match arguments[0] {
            "lead" => is_led(dir.path()) && crate::sleeps(&long),
            "follow" => crate::sleeps(&long),
            _ => process.watches() && process.is_asleep(),
        });
        assert_sleeps(&with_guard(&process));
    }
}

/// A follower that sees that the leader lives sleeps, too.
// Holds exitdir-6.
#[test]
fn a_leader_that_lives_wakes_nobody() {
    let dir = tempdir().unwrap();
    let _leader = start(dir.path(), &["lead", "--", "sleep", &unique()]);
    eventually("the leader lives", || is_led(dir.path()));
    let waiter = start(dir.path(), &["wait"]);
    eventually("it waits", || waiter.watches() && waiter.is_asleep());
    assert_sleeps(&[waiter.pid().as_raw()]);
}

/// This takes the median of nine. Other work on the machine may make it longer, so there are
/// several tries.
// Holds exitdir-2.
#[test]
fn a_leaders_death_is_noticed_in_milliseconds() {
    let notice = || {
        let dir = tempdir().unwrap();
        let leader = exitdir::ExitDir::new(dir.path()).lead().unwrap();
        let waiter = start(dir.path(), &["-q", "wait"]);
        eventually("it waits", || waiter.watches() && waiter.is_asleep());
        let died = Instant::now();
        drop(leader);
        assert_eq!(waiter.code(), Some(3));
        died.elapsed()
    };
    let middle = || {
        let mut took: Vec<_> = (0..9).map(|_| notice()).collect();
        took.sort();
        took[4]
    };
    let mut tries = (0..5).map(|_| middle());
    assert!(tries.any(|took| took < Duration::from_millis(50)));
}

// Holds exitdir-1.
#[test]
fn a_follower_that_was_stopped_meanwhile_misses_no_signal() {
    let dir = tempdir().unwrap();
    let leader = |arguments: &[&str]| {
        let leader = start(dir.path(), arguments);
        eventually("it leads", || is_led(dir.path()));
        leader
    };
    let first = leader(&["lead", "--", "sleep", &unique()]);
    let waiter = start(dir.path(), &["wait"]);
    eventually("it waits", || waiter.watches() && waiter.is_asleep());
    waiter.send(Signal::SIGSTOP);
    first.send(Signal::SIGTERM);
    assert_eq!(first.code(), Some(143));
    let _second = leader(&["lead", "--clear", "--", "sleep", &unique()]);
    waiter.send(Signal::SIGCONT);
    assert_eq!(waiter.code(), Some(0));
}

// Holds exitdir-1.
#[test]
fn an_entry_that_is_made_and_removed_at_once_signals() {
    let make: [fn(&Path); 3] = [
        |path| fs::write(path, "").unwrap(),
        |path| symlink("nowhere", path).unwrap(),
        |path| {
            let elsewhere = tempfile::tempdir_in(path.parent().unwrap().parent().unwrap()).unwrap();
            fs::write(elsewhere.path().join("file"), "").unwrap();
            fs::rename(elsewhere.path().join("file"), path).unwrap();
        },
    ];
    for make in make {
        let dir = tempdir().unwrap();
        let waiter = start(dir.path(), &["wait"]);
        eventually("it waits", || waiter.watches() && waiter.is_asleep());
        waiter.send(Signal::SIGSTOP);
        let entry = dir.path().join("entry");
        make(&entry);
        fs::remove_file(&entry).unwrap();
        waiter.send(Signal::SIGCONT);
        assert_eq!(waiter.code(), Some(0));
    }
    // The whole directory may be removed with the entry.
    let outer = tempdir().unwrap();
    let dir = outer.path().join("dir");
    fs::create_dir(&dir).unwrap();
    let waiter = start(&dir, &["wait"]);
    eventually("it waits", || waiter.watches() && waiter.is_asleep());
    waiter.send(Signal::SIGSTOP);
    run(&dir, &["exit"]);
    fs::remove_dir_all(&dir).unwrap();
    waiter.send(Signal::SIGCONT);
    assert_eq!(waiter.code(), Some(0));
}

/// An old empty record is not waited for. Only a new one may still be written.
#[test]
fn an_older_programs_signal_is_known_at_once() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("exitFile"), "").unwrap();
    std::thread::sleep(Duration::from_millis(250));
    let took = |arguments: &[&str]| {
        let once = || {
            let started = Instant::now();
            assert_eq!(run(dir.path(), arguments).0, Some(0));
            started.elapsed()
        };
        (0..9).map(|_| once()).min().unwrap()
    };
    for arguments in [&["status"][..], &["wait"]] {
        assert!(
            took(arguments) < Duration::from_millis(150),
            "{arguments:?}"
        );
    }
}
