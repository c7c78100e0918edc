//! The record appears as a whole, and other things in its place are understood.

use std::{fs, path::Path};

use exitdir::{Ended, ExitDir, Record, Watcher};
use nix::{
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        stat::Mode,
    },
    unistd::mkfifo,
};
use tempfile::tempdir;

use crate::{eventually, exitdir, on_own_filesystem, run, start, unshare_mounts};

/// All inotify events of a directory.
fn observe(dir: &Path) -> Inotify {
    let events = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).unwrap();
    events.add_watch(dir, AddWatchFlags::IN_ALL_EVENTS).unwrap();
    events
}

/// The names in these events so far.
fn names(events: &Inotify, wanted: AddWatchFlags) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(found) = events.read_events() {
        let found = found
            .into_iter()
            .filter(|event| event.mask.intersects(wanted));
        names.extend(found.filter_map(|event| event.name?.into_string().ok()));
    }
    names
}

#[test]
fn the_only_entry_an_older_follower_sees_is_the_whole_record() {
    let dir = tempdir().unwrap();
    let entry = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    let change = AddWatchFlags::IN_MODIFY;
    let events = observe(dir.path());
    let lead = ["lead", "--name", "x", "--", "sh", "-c", "exit 7"];
    assert_eq!(run(dir.path(), &lead).0, Some(7));
    // The file has no name while it is written. In events, it has a name that the kernel makes up.
    let mut names = names(&events, entry | change);
    assert_eq!(names.pop().as_deref(), Some("exitFile"));
    assert!(names.iter().all(|name| name.starts_with('#')), "{names:?}");
    let line = fs::read_to_string(dir.path().join("exitFile")).unwrap();
    let start = r#"{"name":"x","status":7,"signal":null,"time":""#;
    assert!(line.starts_with(start) && line.ends_with("\"}\n"), "{line}");
    assert_eq!(
        run(dir.path(), &["status", "-o", "json"]),
        (Some(0), line, String::new())
    );
}

// Holds exitdir-9.
#[test]
fn the_first_signal_counts_and_the_others_change_nothing() {
    let dir = tempdir().unwrap();
    let events = observe(dir.path());
    let signals: Vec<_> = (1..=20)
        .map(|status| {
            start(
                dir.path(),
                &["exit", "--name", "n", "--status", &status.to_string()],
            )
        })
        .collect();
    for signal in signals {
        assert_eq!(signal.code(), Some(0));
    }
    assert_eq!(names(&events, AddWatchFlags::IN_CREATE).len(), 1);
    let record = ExitDir::new(dir.path()).signalled().unwrap().unwrap();
    assert!((1..=20).contains(&record.status.unwrap()));
    assert!(!ExitDir::new(dir.path()).signal(&Record::exited(0)).unwrap());
    let (code, _, said) = run(dir.path(), &["-v", "exit"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("already contains an exit signal"), "{said}");
    assert_eq!(ExitDir::new(dir.path()).signalled().unwrap(), Some(record));
}

#[test]
fn an_older_leaders_empty_file_means_done_with_status_unknown() {
    let dir = tempdir().unwrap();
    let waiter = start(dir.path(), &["wait", "--leader-status"]);
    eventually("it watches", || waiter.watches());
    fs::write(dir.path().join("exitFile"), "").unwrap();
    assert_eq!(waiter.code(), Some(0));
    let unknown = (
        Some(0),
        "the leader exited, status unknown\n".to_owned(),
        String::new(),
    );
    assert_eq!(run(dir.path(), &["status"]), unknown);
}

#[test]
fn any_entry_signals_but_lost_and_found() {
    let dir = tempdir().unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    assert_eq!(run(dir.path(), &["status"]).0, Some(1));
    assert_eq!(
        run(dir.path(), &["wait", "--timeout", "600ms"]).0,
        Some(110)
    );
    let waiter = start(dir.path(), &["wait"]);
    fs::write(dir.path().join(".hidden"), "").unwrap();
    assert_eq!(waiter.code(), Some(0));
}

#[test]
fn an_entry_that_was_made_and_removed_has_signalled_unless_it_is_lost_and_found() {
    let dir = tempdir().unwrap();
    let mut watcher = Watcher::new(ExitDir::new(dir.path())).unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    fs::remove_dir(dir.path().join("lost+found")).unwrap();
    assert_eq!(watcher.check().unwrap(), None);
    fs::create_dir(dir.path().join("other")).unwrap();
    fs::remove_dir(dir.path().join("other")).unwrap();
    let unknown = Ended::Signalled(Record::default());
    assert_eq!(watcher.check().unwrap(), Some(unknown));
}

/// An empty record is waited for until its own file is closed; closing another file does not end
/// that wait. Because a record that stays empty for long counts, too, there are several tries.
#[test]
fn another_file_that_is_closed_ends_no_record() {
    let mut waits = (0..50).map(|_| {
        let dir = tempdir().unwrap();
        let mut watcher = Watcher::new(ExitDir::new(dir.path())).unwrap();
        let _writing = fs::File::create(dir.path().join("exitFile")).unwrap();
        fs::write(dir.path().join("other"), "").unwrap();
        watcher.check().unwrap().is_none()
    });
    assert!(waits.any(|waits| waits));
}

/// After the clock was set back, an empty record never looks old. We wait for it as long as for any
/// other; once its file is closed, nobody will write more.
// A static binary has the machine's clock, whatever LD_PRELOAD says.
#[cfg(not(target_env = "musl"))]
#[test]
fn an_empty_record_from_the_future_is_no_riddle() {
    use std::time::{Duration, Instant};

    use crate::Process;
    use testkit::WallClocks;

    let (dir, clocks) = (tempdir().unwrap(), WallClocks::set_up());
    clocks.set("us", -3600);
    let us = |arguments: &[&str]| {
        let mut command = exitdir(dir.path(), arguments);
        clocks.of(&mut command, "us");
        Process(command.spawn().unwrap())
    };
    let waiter = us(&["wait"]);
    eventually("it watches", || waiter.watches());
    fs::write(dir.path().join("exitFile"), "").unwrap();
    assert_eq!(waiter.code(), Some(0));
    let started = Instant::now();
    assert_eq!(us(&["status"]).code(), Some(0));
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[test]
fn whatever_stands_in_the_records_place_signals_and_hangs_nobody() {
    let put: [fn(&Path); 6] = [
        |path| mkfifo(path, Mode::S_IRWXU).unwrap(),
        |path| fs::create_dir(path).unwrap(),
        |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
        |path| std::os::unix::fs::symlink("nowhere", path).unwrap(),
        |path| fs::write(path, vec![b'7'; 10_000_000]).unwrap(),
        |path| fs::write(path, b"\0\xff{\"status\":7").unwrap(),
    ];
    for put in put {
        let dir = tempdir().unwrap();
        put(&dir.path().join("exitFile"));
        assert_eq!(run(dir.path(), &["wait", "--leader-status"]).0, Some(0));
        assert_eq!(run(dir.path(), &["clear"]).0, Some(0));
        assert_eq!(run(dir.path(), &["status"]).0, Some(1));
    }
}

/// A user who may write to the directory chooses the target of a link, and may have no right to
/// read there.
// Holds exitdir-3.
#[test]
fn a_link_in_the_records_place_signals_and_is_not_followed() {
    let dir = tempdir().unwrap();
    let elsewhere = tempdir().unwrap();
    let secret = elsewhere.path().join("secret");
    fs::write(&secret, r#"{"name":"secret","status":7}"#).unwrap();
    std::os::unix::fs::symlink(&secret, dir.path().join("exitFile")).unwrap();
    assert_eq!(run(dir.path(), &["wait", "--leader-status"]).0, Some(0));
    let (code, stdout, stderr) = run(dir.path(), &["status"]);
    assert_eq!(code, Some(0));
    assert!(!(stdout + &stderr).contains("secret"));
    assert_eq!(run(dir.path(), &["clear"]).0, Some(0));
    assert!(secret.exists());
}

/// Without /proc, a nameless file cannot get a name. So the record is empty for a moment, as on a
/// file system without nameless files.
#[test]
fn a_record_that_cannot_appear_whole_is_waited_for() {
    for _ in 0..20 {
        let dir = tempdir().unwrap();
        let waiter = start(dir.path(), &["wait", "--leader-status"]);
        eventually("it watches", || waiter.watches());
        let events = observe(dir.path());
        let script = "mount -t tmpfs none /proc && exec \"$0\" exit --status 7";
        let mut unshare = unshare_mounts();
        unshare.args(["sh", "-c", script, env!("CARGO_BIN_EXE_exitdir")]);
        assert!(
            unshare
                .env("EXIT_DIR", dir.path())
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(waiter.code(), Some(7));
        let mut changed = names(&events, AddWatchFlags::IN_MODIFY);
        changed.retain(|name| name == "exitFile");
        assert_eq!(changed.len(), 1);
    }
}

// Holds exitdir-9.
#[test]
fn on_a_full_disk_nothing_half_written_is_left() {
    let fill = "head -c 64k /dev/zero > fill 2>/dev/null";
    let exit = r#""$0" exit --status 7; echo "status $?"; ls -A d | sed 's/^/left: /'"#;
    for hide_proc in ["", "mount -t tmpfs none /proc;"] {
        let said = on_own_filesystem("size=32k", &format!("{fill}; {hide_proc} {exit}"));
        assert!(said.starts_with("status 28\n"), "{said}");
        assert!(!said.contains("left: "), "{said}");
        assert!(said.ends_with("No space left on device\n"), "{said}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error() {
    let said = on_own_filesystem(
        "size=32k",
        r#"mount -o remount,bind,ro . ; "$0" exit; echo "status $?""#,
    );
    assert!(said.starts_with("status 30\n"), "{said}");
    let dir = tempdir().unwrap();
    fs::remove_dir(dir.path()).unwrap();
    assert_eq!(run(dir.path(), &["exit"]).0, Some(2));
    fs::create_dir(dir.path()).unwrap();
    let status = exitdir(dir.path(), &["exit", "--status", "256"])
        .output()
        .unwrap();
    assert_eq!(status.status.code(), Some(64));
}
