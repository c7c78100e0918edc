//! Directories that are missing, replaced or forbidden, and a kernel without resources for events.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use exitdir::{Ended, ExitDir, Record, Watcher};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tempfile::tempdir;

use crate::{Process, eventually, exitdir, run, run_as_reader, start};

/// A follower that watches. `wait` and `follow` do this in the same way.
fn watching(dir: &Path, arguments: &[&str]) -> Process {
    let process = start(dir, arguments);
    eventually("it watches", || process.watches());
    process
}

#[test]
fn a_directory_that_is_not_there_or_is_a_file_is_an_error() {
    let outer = tempdir().unwrap();
    let dir = outer.path().join("dir");
    let follow = ["follow", "--", "true"];
    assert_eq!(run(&dir, &["wait"]).0, Some(2));
    assert_eq!(run(&dir, &follow).0, Some(125));
    assert_eq!(run(&dir, &["status"]).0, Some(2));
    fs::write(&dir, "").unwrap();
    let not_a_directory = format!("exitdir: cannot open exit directory {dir:?}: Not a directory\n");
    assert_eq!(
        run(&dir, &["wait"]),
        (Some(20), String::new(), not_a_directory)
    );
    assert_eq!(run(&dir, &follow).0, Some(125));
}

// Holds exitdir-7.
#[test]
fn a_directory_that_is_removed_or_becomes_a_file_is_reported() {
    let outer = tempdir().unwrap();
    let dir = outer.path().join("dir");
    for (replace, code) in [(false, 2), (true, 20)] {
        fs::create_dir(&dir).unwrap();
        let waiter = watching(&dir, &["wait"]);
        let follower = watching(&dir, &["follow", "--", "sleep", "1000"]);
        fs::remove_dir(&dir).unwrap();
        if replace {
            fs::write(&dir, "").unwrap();
        }
        assert_eq!(waiter.code(), Some(code));
        assert_eq!(follower.code(), Some(125));
    }
}

// Holds exitdir-7.
#[test]
fn a_directory_made_again_is_followed() {
    let outer = tempdir().unwrap();
    let dir = outer.path().join("dir");
    fs::create_dir(&dir).unwrap();
    let waiter = watching(&dir, &["wait"]);
    fs::create_dir(outer.path().join("new")).unwrap();
    fs::remove_dir(&dir).unwrap();
    fs::rename(outer.path().join("new"), &dir).unwrap();
    assert_eq!(run(&dir, &["exit"]).0, Some(0));
    assert_eq!(waiter.code(), Some(0));
}

// Holds exitdir-7.
#[test]
fn a_directory_that_is_gone_for_a_moment_is_waited_for() {
    let outer = tempdir().unwrap();
    let (dir, elsewhere) = (outer.path().join("dir"), outer.path().join("elsewhere"));
    fs::create_dir(&dir).unwrap();
    let mut watcher = Watcher::new(ExitDir::new(&dir)).unwrap();
    fs::rename(&dir, &elsewhere).unwrap();
    assert_eq!(watcher.check().unwrap(), None);
    fs::rename(&elsewhere, &dir).unwrap();
    ExitDir::new(&dir).signal(&Record::exited(7)).unwrap();
    let ended = watcher.wait().unwrap();
    assert!(matches!(ended, Ended::Signalled(record) if record.status == Some(7)));
}

/// The kernel reports no removal, since the directory is still there under another name.
// Holds exitdir-7.
#[test]
fn a_directory_put_in_the_place_of_one_that_was_moved_is_followed() {
    let outer = tempdir().unwrap();
    let at = |name| outer.path().join(name);
    fs::create_dir(at("dir")).unwrap();
    fs::create_dir(at("new")).unwrap();
    let mut watcher = Watcher::new(ExitDir::new(at("dir"))).unwrap();
    fs::rename(at("dir"), at("elsewhere")).unwrap();
    fs::rename(at("new"), at("dir")).unwrap();
    assert_eq!(watcher.check().unwrap(), None);
    // From now on it hears of the new one.
    fs::write(at("dir").join("entry"), "").unwrap();
    let mut heard = [PollFd::new(
        watcher.descriptor().unwrap(),
        PollFlags::POLLIN,
    )];
    assert_eq!(poll(&mut heard, PollTimeout::ZERO), Ok(1));
    let ended = watcher.check().unwrap();
    assert_eq!(ended, Some(Ended::Signalled(Record::default())));
}

/// The leader's directory is moved, and another one takes its place. The leader still counts as
/// alive, and an entry in the other directory signals.
#[test]
fn a_leader_whose_directory_was_moved_lives_and_an_entry_where_it_was_signals() {
    for dies in [false, true] {
        let outer = tempdir().unwrap();
        let (dir, elsewhere) = (outer.path().join("dir"), outer.path().join("elsewhere"));
        fs::create_dir(&dir).unwrap();
        let leader = ExitDir::new(&dir).lead().unwrap();
        let mut watcher = Watcher::new(ExitDir::new(&dir)).unwrap();
        fs::rename(&dir, &elsewhere).unwrap();
        fs::create_dir(&dir).unwrap();
        watcher.wait_timeout(Duration::from_millis(10)).unwrap_err();
        if dies {
            drop(leader);
            assert_eq!(watcher.wait().unwrap(), Ended::LeaderDied);
        } else {
            fs::write(dir.join("entry"), "").unwrap();
            // There are no events for this directory, so it is checked now and then.
            let ended = watcher.wait_timeout(Duration::from_secs(60)).unwrap();
            assert_eq!(ended, Ended::Signalled(Record::default()));
        }
    }
}

// Holds exitdir-7.
#[test]
fn a_leader_of_the_directory_made_again_is_followed() {
    let outer = tempdir().unwrap();
    let dir = outer.path().join("dir");
    fs::create_dir(&dir).unwrap();
    let mut watcher = Watcher::new(ExitDir::new(&dir)).unwrap();
    fs::remove_dir(&dir).unwrap();
    fs::create_dir(&dir).unwrap();
    let leader = ExitDir::new(&dir).lead().unwrap();
    watcher.wait_timeout(Duration::from_millis(1)).unwrap_err();
    drop(leader);
    assert_eq!(watcher.wait().unwrap(), Ended::LeaderDied);
}

/// The leader lives on, in a directory that nobody can find any more. It keeps the directory open,
/// so the kernel reports its end.
#[test]
fn a_directory_removed_under_its_leader_is_reported_when_that_ends() {
    let outer = tempdir().unwrap();
    let dir = outer.path().join("dir");
    fs::create_dir(&dir).unwrap();
    let leader = ExitDir::new(&dir).lead().unwrap();
    let waiter = watching(&dir, &["wait"]);
    fs::remove_dir(&dir).unwrap();
    drop(leader);
    assert_eq!(waiter.code(), Some(2));
}

#[test]
fn a_directory_that_may_not_be_read_or_written_is_an_error() {
    let dir = tempdir().unwrap();
    let as_reader = |mode: u32, arguments: &[&str]| {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        run_as_reader(dir.path(), arguments).0
    };
    assert_eq!(as_reader(0o000, &["wait"]), Some(13));
    assert_eq!(as_reader(0o000, &["follow", "--", "true"]), Some(125));
    assert_eq!(as_reader(0o000, &["status"]), Some(13));
    assert_eq!(as_reader(0o555, &["exit"]), Some(13));
    assert_eq!(as_reader(0o555, &["status"]), Some(1));
}

// Holds exitdir-8.
#[test]
fn without_inotify_it_looks_and_says_so() {
    for (limit, error) in [
        ("max_inotify_instances", "EMFILE"),
        ("max_inotify_watches", "ENOSPC"),
    ] {
        let dir = tempdir().unwrap();
        let script = format!("echo 0 > /proc/sys/user/{limit} && exec \"$0\" wait");
        let mut waiter = Process(
            Command::new("unshare")
                .args(["--user", "--map-root-user", "sh", "-c", &script])
                .arg(env!("CARGO_BIN_EXE_exitdir"))
                .env("EXIT_DIR", dir.path())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let mut line = String::new();
        BufReader::new(waiter.0.stderr.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let start = format!(
            "[WARN  exitdir] no events for {:?}, looking four times a second: {error}",
            dir.path()
        );
        assert!(line.starts_with(&start), "{line}");
        run(dir.path(), &["exit"]);
        assert_eq!(waiter.code(), Some(0));
    }
}

#[test]
fn looking_needs_no_events() {
    let dir = tempdir().unwrap();
    let mut command = exitdir(dir.path(), &["-vv", "wait", "--poll", "20ms"]);
    let waiter = Process(command.spawn().unwrap());
    run(dir.path(), &["exit"]);
    assert!(!waiter.watches());
    assert_eq!(waiter.code(), Some(0));
}
