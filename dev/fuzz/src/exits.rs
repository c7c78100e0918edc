//! The directory of exitdir, as followers find it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::ffi::OsStrExt,
    time::Duration,
};

use exitdir::{ExitDir, Record, Watcher};
use rustix::fs::{XattrFlags, fsetxattr};

use crate::{Target, directory, text_of};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "exit-record",
        corpus: &[
            br#"{"name":"main","status":3,"signal":null,"time":"2030-01-02T03:04:05Z"}"#,
            br#"{"status":256,"signal":65,"name":[1]}"#,
            b"null",
            b"exited",
        ],
        cases: 500,
        holds: records,
    },
    Target {
        name: "exit-entry",
        corpus: &[b"exitFile", b"lost+found", b"a\nb", b"\xff", b".hidden"],
        cases: 500,
        holds: entries,
    },
    Target {
        name: "exit-leader",
        corpus: &[
            b"directory",
            b"00:2b:12345 1804289383",
            b"x -1",
            b"\x02\0\x1e\x1e\x1e\x1e 8",
            b"00:00:0 9223372036854775807",
        ],
        cases: 300,
        holds: leaders,
    },
];

/// Any content of the file signals the exit.
fn records(bytes: &[u8]) {
    if bytes.is_empty() {
        return; // somebody who has not written it yet is waited for
    }
    let directory = directory();
    let dir = ExitDir::new(directory.path());
    let path = directory.path().join("exitFile");
    fs::write(&path, bytes).expect("a file");
    let read = dir.signalled().expect("a directory").expect("a signal");
    assert!(read.signal.is_none_or(|signal| (1..=64).contains(&signal)));
    fs::write(&path, read.to_json()).expect("a file");
    assert_eq!(dir.signalled().expect("a directory"), Some(read.clone()));
    // `signal` writes a time of its own.
    dir.clear().expect("a directory");
    assert!(dir.signal(&read).expect("a directory"));
    let signalled = dir.signalled().expect("a directory").expect("a signal");
    let timed = Record {
        time: signalled.time.clone(),
        ..read
    };
    assert_eq!(signalled, timed);
}

/// Any entry signals the exit, except the one that never counts.
fn entries(bytes: &[u8]) {
    let directory = directory();
    let dir = ExitDir::new(directory.path());
    let name = OsStr::from_bytes(bytes);
    if bytes.contains(&b'/') || fs::write(directory.path().join(name), "x").is_err() {
        return;
    }
    let is_signal = name != "lost+found";
    assert_eq!(dir.signalled().expect("a directory").is_some(), is_signal);
    if is_signal && name != "exitFile" {
        assert!(dir.clear().is_err());
    }
    dir.clear_all().expect("a directory");
    assert_eq!(dir.signalled().expect("a directory"), None);
}

/// The directory's attribute that names the leader may have any value. It makes no follower believe
/// that a leader died, and it keeps no real leader out.
fn leaders(bytes: &[u8]) {
    let directory = directory();
    let opened = File::open(directory.path()).expect("a directory");
    if fsetxattr(&opened, "user.exitdir.leader", bytes, XattrFlags::empty()).is_err() {
        return;
    }
    let dir = ExitDir::new(directory.path());
    let mut watcher = Watcher::polling(dir.clone(), Duration::from_secs(60)).expect("a watcher");
    assert_eq!(
        watcher.check().expect("a directory"),
        None,
        "{}",
        text_of(bytes)
    );
    assert!(!watcher.saw_leader());
    let leader = dir.clone().lead().expect("no leader is there");
    let mut follower = Watcher::polling(dir, Duration::from_millis(1)).expect("a watcher");
    // The kernel's list of locks may skip the leader's now and then.
    let saw = (0..1000).any(|_| {
        let _ = follower.wait_timeout(Duration::from_millis(1));
        follower.saw_leader()
    });
    assert!(saw, "{}", text_of(bytes));
    drop(leader);
}
