//! Processes, and the files that name them.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    sync::{Mutex, PoisonError},
};

use coord_core::Errno;
use coord_process::{Pid, Process, procfs};
use sipid::PidFile;

use crate::{Target, directory, text_of};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "pid",
        corpus: &[b"5591", b" 1\n", b"2147483647", b"2147483648", b"0", b"+7"],
        cases: 2000,
        holds: pids,
    },
    Target {
        name: "proc",
        corpus: &[
            b"a) R 1 1 1",
            b"x\nUid:\t0\t0\t0\t0",
            b"((",
            b")",
            b"\xff \t",
        ],
        cases: 500,
        holds: proc,
    },
    Target {
        name: "pidfile",
        corpus: &[
            b"",
            b"5591\nmore",
            b"  1 \n\n",
            b"  1 \0\0\n",
            b"7\n\0\0",
            b"\0\0 \n",
            b"-1",
            b"\xef\xbb\xbf12",
            &[b'7'; 65],
            &[b' '; 65],
        ],
        cases: 500,
        holds: pidfiles,
    },
    Target {
        name: "identity",
        corpus: &[
            b"pid=PID inode=INODE mtime=MTIME start=START pidns=NS boot=BOOT\n",
            b"pid=PID inode=INODE mtime=MTIME start=1 pidns=NS boot=BOOT\n",
            b"pid=PID inode=INODE mtime=MTIME start=START pidns=4026531836 boot=0-0 pidfd=12\n",
            b"pid=PID inode=INODE mtime=MTIME start=START pidns=NS boot=BOOT dir=1:2 name=a\n",
        ],
        cases: 500,
        holds: identities,
    },
];

fn pids(bytes: &[u8]) {
    let Some(pid) = Pid::from_bytes(bytes) else {
        return;
    };
    assert!(pid.raw() > 0);
    assert_eq!(pid.to_string().parse(), Ok(pid));
    let digits = text_of(bytes.trim_ascii()).into_owned();
    assert_eq!(digits.trim_start_matches('0'), pid.to_string());
}

/// A process chooses its name, which others find in `/proc`.
fn proc(bytes: &[u8]) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let own = Pid::own();
    let before = (
        procfs::stat(own).map(|it| (it.group, it.start)),
        procfs::users(own),
    );
    if bytes.is_empty() || fs::write("/proc/self/comm", bytes).is_err() {
        return;
    }
    let after = (
        procfs::stat(own).map(|it| (it.group, it.start)),
        procfs::users(own),
    );
    assert!(before.0.is_some() && before.1.is_some());
    assert_eq!(before, after);
    let name = procfs::name(own).expect("the name");
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    assert_eq!(name, bytes[..end.min(15)]);
    let found = Process::find(own).expect("this process");
    assert!(found.is_some_and(|process| process.is_alive()));
}

/// A pidfile without a valid PID signals nobody, and does not keep a service from starting.
fn pidfiles(bytes: &[u8]) {
    let directory = directory();
    let path = directory.path().join("a.pid");
    fs::write(&path, bytes).expect("a file");
    let file = PidFile::new(&path);
    let own = Pid::own();
    let stated = match file.status() {
        Ok(state) => {
            assert!(state.exists && !state.locked);
            // Of a longer file, only the start counts. Zeros are bytes that were not on the disk
            // when the power failed.
            let text = text_of(&bytes[..bytes.len().min(65)]);
            let is_blank = |c: char| c == '\0' || bytes.len() <= 64 && c.is_ascii_whitespace();
            let text = text.trim_end_matches(is_blank);
            let first = text.trim_ascii_start().lines().next().unwrap_or_default();
            let digits = first.trim_ascii().trim_start_matches('0');
            assert_eq!(
                state
                    .pid
                    .map(|pid| pid.to_string())
                    .as_deref()
                    .unwrap_or(""),
                digits
            );
            state.pid.filter(|_| state.running)
        }
        Err(error) => {
            assert_eq!(error.errno(), Errno::EINVAL);
            None
        }
    };
    match file.claim(own) {
        Ok(()) => {
            assert!(stated.is_none());
            assert_eq!(
                fs::read(&path).expect("the file"),
                own.to_string().as_bytes()
            );
            let state = file.status().expect("a PID");
            assert!(state.running && state.pid == Some(own) && state.identity.is_some());
        }
        Err(error) => {
            assert_eq!(
                (error.errno(), stated.is_some()),
                (Errno::EEXIST, true),
                "{error}"
            );
            assert_eq!(fs::read(&path).expect("the file"), bytes);
        }
    }
}

/// The file beside the pidfile. Words in capitals stand for the facts of this process.
fn identities(bytes: &[u8]) {
    let directory = directory();
    let path = directory.path().join("a.pid");
    let own = Pid::own();
    fs::write(&path, own.to_string()).expect("a pidfile");
    let there = fs::metadata(&path).expect("the pidfile");
    let start = procfs::stat(own).expect("this process").start;
    let namespace = procfs::namespace(None).unwrap_or_default();
    let boot = procfs::boot_id().unwrap_or_default();
    let facts = [
        ("PID", own.to_string()),
        ("INODE", there.ino().to_string()),
        (
            "MTIME",
            format!("{}.{:09}", there.mtime(), there.mtime_nsec()),
        ),
        ("START", start.to_string()),
        ("NS", namespace.to_string()),
        ("BOOT", boot.clone()),
    ];
    let mut text = text_of(bytes).into_owned();
    for (word, fact) in facts {
        text = text.replace(word, &fact);
    }
    fs::write(directory.path().join(".a.pid.sipid"), &text).expect("a file");
    let state = PidFile::new(&path).status().expect("a PID");
    assert_eq!(state.pid, Some(own));
    let Some(identity) = state.identity else {
        return;
    };
    assert!(
        text.contains(&format!("start={}", identity.start)),
        "{identity:?}"
    );
    let is_own_life = (identity.start, identity.namespace) == (start, namespace);
    if identity.pidfd.is_none() && !(is_own_life && identity.boot == boot) {
        assert!(!state.running, "{identity:?}");
    }
}
