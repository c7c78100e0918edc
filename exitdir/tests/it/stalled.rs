//! A leader that stops or dies anywhere while it begins.

use std::{fs, io, os::unix::process::CommandExt, path::Path, process::Stdio};

use exitdir::{Errno, ExitDir};
use nix::{
    libc,
    sys::{
        ptrace,
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
};
use rustix::fs::{XattrFlags, listxattr, setxattr};
use tempfile::tempdir;
use testkit::refusal::{Call, refuse};

use crate::{Process, TMPFILE, eventually, exitdir, run, strangers::exclusive_lock};

/// The calls with which leaders keep each other out.
const CALLS: [libc::c_long; 4] = [
    libc::SYS_flock,
    libc::SYS_fgetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_fremovexattr,
];

/// A leader that is traced. It does not outlive its test.
struct Traced(Process);

impl Traced {
    /// Starts a leader that stops as soon as it is executed.
    fn start(dir: &Path) -> Self {
        let mut command = exitdir(dir, &["lead", "--", "true"]);
        command.stderr(Stdio::null());
        // SAFETY: this only makes one system call, and touches no memory.
        unsafe { command.pre_exec(|| ptrace::traceme().map_err(io::Error::from)) };
        let traced = Self(Process(command.spawn().unwrap()));
        waitpid(traced.0.pid(), None).unwrap();
        traced
    }

    /// Continues it to the next start or end of one of the calls. Returns false if it ended before.
    fn reaches_next_call(&self) -> bool {
        let pid = self.0.pid();
        let mut signal = None;
        loop {
            ptrace::syscall(pid, signal).unwrap();
            signal = match waitpid(pid, None).unwrap() {
                WaitStatus::Stopped(_, Signal::SIGTRAP) => None,
                WaitStatus::Stopped(_, signal) => Some(signal),
                _ => return false,
            };
            let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap();
            let number = call
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok());
            if signal.is_none() && number.is_some_and(|number| CALLS.contains(&number)) {
                return true;
            }
        }
    }

    /// It stops at the start or end number `stop` of the calls. `None` if it has fewer.
    fn stopped(dir: &Path, stop: usize) -> Option<Self> {
        let traced = Self::start(dir);
        (0..=stop)
            .all(|_| traced.reaches_next_call())
            .then_some(traced)
    }
}

/// Plays a leader that stops, at each of its stops: in a new directory, in one whose leader has
/// died, and both times also while a process that is no leader has locked the directory.
fn play(against: impl Fn(Traced, &Path, &str)) {
    for (is_used, is_locked) in [(false, false), (false, true), (true, false), (true, true)] {
        for stop in 0.. {
            let dir = tempdir().unwrap();
            if is_used {
                assert_eq!(run(dir.path(), &["lead", "--", "true"]).0, Some(0));
                assert_eq!(run(dir.path(), &["clear"]).0, Some(0));
            }
            let _lock = is_locked.then(|| exclusive_lock(dir.path()));
            let Some(traced) = Traced::stopped(dir.path(), stop) else {
                assert!(stop > 7, "it stopped {stop} times");
                break;
            };
            against(
                traced,
                dir.path(),
                &format!("stop {stop}, {is_used}, {is_locked}"),
            );
        }
    }
}

/// However long a leader stops, another one leads only if this one does not.
// Holds exitdir-10.
#[test]
fn of_two_leaders_one_leads_wherever_the_other_stops() {
    play(|stopped, dir, at| {
        let other = ExitDir::new(dir).lead();
        ptrace::detach(stopped.0.pid(), None).unwrap();
        let expected = if other.is_ok() { 125 } else { 0 };
        assert_eq!(stopped.0.code(), Some(expected), "{at}: {other:?}");
        assert_eq!(attributes(dir), ["user.exitdir.leader"], "{at}");
    });
}

// Holds exitdir-10.
#[test]
fn a_leader_that_is_killed_while_it_begins_keeps_no_other_out() {
    play(|stopped, dir, at| {
        drop(stopped);
        // Its guard process may have the descriptors for a moment.
        eventually(at, || {
            run(dir, &["lead", "--clear", "--", "true"]).0 == Some(0)
        });
        assert_eq!(attributes(dir), ["user.exitdir.leader"], "{at}");
    });
}

/// Without nameless files, a leader cannot tell another one that was stopped as it began from a
/// process that is no leader.
// Holds exitdir-10.
#[test]
fn where_files_have_names_a_lock_keeps_leaders_out() {
    let dir = tempdir().unwrap();
    let _lock = exclusive_lock(dir.path());
    let mut lead = exitdir(dir.path(), &["lead", "--", "true"]);
    let nameless = Call::with_bits(libc::SYS_openat, 2, TMPFILE);
    let output = refuse(&mut lead, nameless, libc::EOPNOTSUPP)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    assert!(stderr.contains("already has a running leader"), "{stderr}");
}

/// Only users who may write to the directory can set them.
#[test]
fn attributes_that_no_leader_sets_are_not_gone_through_for_ever() {
    let first = "user.exitdir.successor-of.nobody";
    // A process that has ended, and the circle that it is in.
    let (dead, its_own) = ("fe:00:7 7", "user.exitdir.successor-of.fe:00:7.7");
    for set in [
        &[(first, "nonsense")][..],
        &[(first, dead), (its_own, dead)],
    ] {
        let dir = tempdir().unwrap();
        for (name, value) in set {
            setxattr(dir.path(), *name, value.as_bytes(), XattrFlags::CREATE).unwrap();
        }
        // Its lock shows that there is no other leader.
        ExitDir::new(dir.path()).lead().unwrap();
        let _lock = exclusive_lock(dir.path());
        let refused = ExitDir::new(dir.path()).lead().unwrap_err();
        assert_eq!(refused.errno(), Errno::from_raw(libc::ELOOP), "{set:?}");
    }
}

/// Those of exitdir.
fn attributes(dir: &Path) -> Vec<String> {
    let mut names = [0; 4096];
    let length = listxattr(dir, &mut names[..]).unwrap();
    let names = String::from_utf8_lossy(&names[..length]).into_owned();
    let names = names.split_terminator('\0').map(str::to_owned);
    names
        .filter(|name| name.starts_with("user.exitdir."))
        .collect()
}
