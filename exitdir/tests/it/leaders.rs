//! Leaders, and how their end is told.

use std::{
    ffi::OsStr,
    fs,
    time::{Duration, Instant},
};

use exitdir::{ExitDir, Record};
use nix::{
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use tempfile::tempdir;

use crate::{code, exitdir, finish, led, run, unique, until};

/// Runs a leader whose command ends this way, and says what `wait`, `wait --leader-status` and `follow` make of it.
fn told(end: &str) -> [Option<i32>; 3] {
    let dir = tempdir().unwrap();
    let gate = dir.path().join("lost+found");
    let script = format!(
        "until [ -e {} ]; do sleep 0.02; done; {end}",
        gate.display()
    );
    let leader = exitdir(dir.path(), &["lead", "--", "sh", "-c", &script])
        .spawn()
        .unwrap();
    until("the leader lives", || led(dir.path()));
    let waiters = [
        exitdir(dir.path(), &["wait"]).spawn().unwrap(),
        exitdir(dir.path(), &["wait", "--leader-status"])
            .spawn()
            .unwrap(),
        exitdir(dir.path(), &["follow", "--", "sleep", &unique()])
            .spawn()
            .unwrap(),
    ];
    fs::write(gate, "").unwrap();
    code(leader);
    waiters.map(code)
}

#[test]
fn each_end_of_the_leader_is_told_apart() {
    assert_eq!(told("exit 0"), [Some(0), Some(0), Some(0)]);
    assert_eq!(told("exit 7"), [Some(0), Some(7), Some(0)]);
    assert_eq!(told("kill -TERM $$"), [Some(0), Some(143), Some(0)]);
    assert_eq!(told("kill -KILL $$"), [Some(0), Some(137), Some(0)]);
    assert_eq!(told("kill -ABRT $$"), [Some(0), Some(134), Some(0)]);
}

/// The leader's program is killed without a word, three hundred times, in a library's way: it holds the lock itself.
#[test]
fn a_leader_that_dies_without_a_word_is_noticed_every_time() {
    let dir = tempdir().unwrap();
    for round in 0..300 {
        let mut leader = exitdir(dir.path(), &["lead", "--", "sleep", "1000"])
            .spawn()
            .unwrap();
        until("the leader lives", || led(dir.path()));
        // Known to have seen the leader: it has none to wait for otherwise, and would say 3 at once.
        let waiter = exitdir(dir.path(), &["wait", "--leader-by", "0s"])
            .spawn()
            .unwrap();
        let follows = format!("/proc/{}/fdinfo", waiter.id());
        until("the waiter watches", || {
            let entries = fs::read_dir(&follows).into_iter().flatten().flatten();
            entries
                .filter_map(|entry| fs::read_to_string(entry.path()).ok())
                .any(|info| info.contains("inotify wd"))
        });
        kill(
            Pid::from_raw(leader.id().try_into().unwrap()),
            Signal::SIGKILL,
        )
        .unwrap();
        let died = Instant::now();
        finish(&mut leader);
        assert_eq!(code(waiter), Some(3), "round {round}");
        assert!(
            died.elapsed() < Duration::from_secs(1),
            "round {round}: {:?}",
            died.elapsed()
        );
    }
}

#[test]
fn an_older_leader_is_understood() {
    let dir = tempdir().unwrap();
    let waiter = exitdir(dir.path(), &["wait", "--leader-status"])
        .spawn()
        .unwrap();
    fs::write(dir.path().join("exitFile"), "").unwrap();
    assert_eq!(code(waiter), Some(0));
    assert_eq!(
        run(dir.path(), &["status"]),
        (
            Some(0),
            "the leader exited, status unknown\n".into(),
            String::new()
        )
    );
}

#[test]
fn the_only_entry_an_older_follower_sees_is_the_whole_record() {
    let dir = tempdir().unwrap();
    let events = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    events
        .add_watch(dir.path(), AddWatchFlags::IN_ALL_EVENTS)
        .unwrap();
    assert_eq!(
        run(
            dir.path(),
            &["lead", "--name", "x", "--", "sh", "-c", "exit 7"]
        )
        .0,
        Some(7)
    );
    let mut entries = Vec::new();
    while let Ok(found) = events.read_events() {
        let entry = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        entries.extend(
            found
                .into_iter()
                .filter(|event| event.mask.intersects(entry))
                .map(|event| event.name),
        );
    }
    assert_eq!(entries, [Some(OsStr::new("exitFile").to_owned())]);
    let line = fs::read_to_string(dir.path().join("exitFile")).unwrap();
    assert!(
        line.starts_with(r#"{"name":"x","signal":null,"status":7,"time":""#),
        "{line}"
    );
}

#[test]
fn a_second_leader_and_a_signalled_directory_are_refused() {
    let dir = tempdir().unwrap();
    let leader = ExitDir::new(dir.path()).lead().unwrap();
    assert_eq!(run(dir.path(), &["lead", "--", "true"]).0, Some(125));
    assert_eq!(run(dir.path(), &["clear"]).0, Some(16));
    drop(leader);
    ExitDir::new(dir.path()).exit(&Record::exited(0)).unwrap();
    assert_eq!(run(dir.path(), &["lead", "--", "true"]).0, Some(125));
    assert_eq!(
        run(dir.path(), &["lead", "--clear", "--", "sh", "-c", "exit 4"]).0,
        Some(4)
    );
    assert_eq!(run(dir.path(), &["clear"]).0, Some(0));
    assert_eq!(run(dir.path(), &["status"]).0, Some(1));
}
