//! Leaders, and how their end is reported.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use exitdir::{Ended, ExitDir, Record, Watcher};
use nix::sys::signal::Signal;
use tempfile::tempdir;

use crate::{Process, done, eventually, is_led, run, sleeps, start, unique};

/// How a leader ends, and the statuses of `wait`, `wait --leader-status` and `follow` then.
const ENDS: [(&str, [i32; 3]); 6] = [
    ("exit 0", [0, 0, 0]),
    ("exit 7", [0, 7, 0]),
    ("kill -TERM $$", [0, 143, 0]),
    ("kill -KILL $$", [0, 137, 0]),
    ("kill -ABRT $$", [0, 134, 0]),
    (LEADER_KILLED, [3, 122, 122]),
];

/// Here `lead` itself ends, and not its command.
const LEADER_KILLED: &str = "the leader is killed";

/// Keeps all processors busy until it is dropped, even by a panic.
struct Load<'scope>(&'scope AtomicBool);

impl<'scope> Load<'scope> {
    fn start(scope: &'scope thread::Scope<'scope, '_>, over: &'scope AtomicBool) -> Self {
        for _ in 0..thread::available_parallelism().unwrap().get() {
            scope.spawn(|| while !over.load(Ordering::Relaxed) {});
        }
        Self(over)
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A round that takes too long is repeated, because other work on the machine may be the reason. A
/// round with a wrong status fails at once.
// Holds exitdir-2.
#[test]
fn each_end_is_told_apart_within_a_second_three_hundred_times_under_load() {
    const TRIES: usize = 5;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _load = Load::start(scope, &over);
        for (round, (end, told)) in ENDS.iter().cycle().take(300).enumerate() {
            let mut took = (0..TRIES).map(|_| tell(end, told));
            let in_time = took.any(|took| took < Duration::from_secs(1));
            assert!(
                in_time,
                "round {round}, {end}: {TRIES} times longer than a second"
            );
        }
    });
}

/// The time from the leader's end until all three followers have reported it.
#[track_caller]
fn tell(end: &str, told: &[i32; 3]) -> Duration {
    let dir = tempdir().unwrap();
    let gate = dir.path().join("lost+found");
    let script = format!(
        "until [ -e {} ]; do sleep 0.01; done; {end}",
        gate.display()
    );
    let leader = start(dir.path(), &["lead", "--", "sh", "-c", &script]);
    eventually("the leader lives", || is_led(dir.path()));
    let followers = [
        &["wait"][..],
        &["wait", "--leader-status"],
        &["follow", "--", "sleep", &unique()],
    ];
    let followers = followers.map(|arguments| start(dir.path(), arguments));
    for follower in &followers {
        eventually("the follower watches", || follower.watches());
    }
    let ended = Instant::now();
    if end == LEADER_KILLED {
        leader.send(Signal::SIGKILL);
    } else {
        fs::write(gate, "").unwrap();
    }
    leader.finish();
    let codes = followers.map(|follower| follower.code().unwrap());
    assert_eq!(codes, *told, "{end}");
    ended.elapsed()
}

#[test]
fn a_leader_of_the_library_that_dies_between_two_waits_is_missed_by_neither() {
    let dir = tempdir().unwrap();
    let leader = ExitDir::new(dir.path()).lead().unwrap();
    let mut watcher = Watcher::new(ExitDir::new(dir.path())).unwrap();
    watcher.wait_timeout(Duration::from_millis(1)).unwrap_err();
    drop(leader);
    assert_eq!(watcher.wait().unwrap(), Ended::LeaderDied);

    // Nor is a leader missed that dies before the first wait.
    let leader = ExitDir::new(dir.path()).lead().unwrap();
    let mut watcher = Watcher::new(ExitDir::new(dir.path())).unwrap();
    drop(leader);
    assert_eq!(watcher.wait().unwrap(), Ended::LeaderDied);
}

#[test]
fn a_leader_that_never_came_counts_as_dead_by_the_limit() {
    let dir = tempdir().unwrap();
    assert_eq!(run(dir.path(), &["wait", "--leader-by", "50ms"]).0, Some(3));
    assert_eq!(
        run(
            dir.path(),
            &["wait", "--leader-by", "0s", "--leader-status"]
        )
        .0,
        Some(122)
    );
    // If a leader came in time, the wait goes on.
    let leader = ExitDir::new(dir.path()).lead().unwrap();
    let (code, _, stderr) = run(
        dir.path(),
        &["wait", "--leader-by", "50ms", "--timeout", "400ms"],
    );
    assert_eq!(code, Some(110), "{stderr}");
    drop(leader);
}

#[test]
fn waits_that_run_out_are_told_apart_too() {
    let dir = tempdir().unwrap();
    let path = dir.path();
    assert_eq!(
        run(path, &["wait", "--timeout", "50ms"]),
        (
            Some(110),
            String::new(),
            format!("exitdir: no exit was signalled in {path:?} within 50ms\n")
        )
    );
    assert_eq!(
        run(path, &["wait", "--timeout", "50ms", "--leader-status"]).0,
        Some(124)
    );
    assert_eq!(
        run(&path.join("none"), &["wait", "--leader-status"]).0,
        Some(125)
    );
}

#[test]
fn signals_to_lead_are_its_commands_and_the_record_says_how_that_ended() {
    let dir = tempdir().unwrap();
    let script = "trap 'exit 5' TERM; echo > ready; while :; do sleep 0.01; done";
    let place = tempdir().unwrap();
    let mut command = crate::exitdir(
        dir.path(),
        &["lead", "--name", "main", "--", "sh", "-c", script],
    );
    let leader = Process(command.current_dir(place.path()).spawn().unwrap());
    eventually("the command runs", || place.path().join("ready").exists());
    leader.send(Signal::SIGTERM);
    assert_eq!(leader.code(), Some(5));
    let said = (
        Some(0),
        "main exited with status 5\n".to_owned(),
        String::new(),
    );
    assert_eq!(run(dir.path(), &["status"]), said);
}

#[test]
fn a_second_leader_and_a_signalled_directory_are_refused() {
    let dir = tempdir().unwrap();
    let path = dir.path();
    let refused = |reason: &str| {
        (
            Some(125),
            String::new(),
            format!("exitdir: exit directory {path:?} {reason}\n"),
        )
    };
    let leader = ExitDir::new(path).lead().unwrap();
    assert_eq!(
        run(path, &["lead", "--", "true"]),
        refused("already has a running leader")
    );
    assert_eq!(run(path, &["clear"]).0, Some(16));
    drop(leader);
    ExitDir::new(path).signal(&Record::exited(0)).unwrap();
    assert_eq!(
        run(path, &["lead", "--", "true"]),
        refused("already contains an exit signal (\"exitFile\"); --clear removes it")
    );
    assert_eq!(
        run(path, &["lead", "--clear", "--", "sh", "-c", "exit 4"]).0,
        Some(4)
    );
    assert_eq!(run(path, &["clear"]), done());
    assert_eq!(
        run(path, &["status"]),
        (
            Some(1),
            format!("no exit signal in {path:?}\n"),
            String::new()
        )
    );
}

// Holds exitdir-2.
#[test]
fn a_leader_whose_tree_lives_still_leads() {
    let dir = tempdir().unwrap();
    let long = unique();
    let script = format!("trap '' TERM; sleep {long}; sleep {long}");
    let leader = start(
        dir.path(),
        &["lead", "--grace", "700ms", "--", "sh", "-c", &script],
    );
    eventually("the command runs", || sleeps(&long));
    leader.send(Signal::SIGKILL);
    leader.finish();
    eventually("the directory is free", || !is_led(dir.path()));
    assert!(!sleeps(&long));
    assert!(entries(dir.path()).is_empty());
}

fn entries(dir: &Path) -> Vec<fs::DirEntry> {
    fs::read_dir(dir).unwrap().map(Result::unwrap).collect()
}
