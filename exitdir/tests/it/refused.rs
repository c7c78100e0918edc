//! System calls that a sandbox refuses, one at a time: either the documented fallback works, or the
//! error names the call.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use nix::{libc, sys::signal::Signal};
use tempfile::tempdir;
use testkit::refusal::{Call, refuse};

use crate::{Process, TMPFILE, eventually, exitdir, is_led, run, unique};

/// The effect of a refused call.
#[derive(Clone, Copy, Debug)]
enum Comes {
    /// Nobody notices.
    Works,
    /// The same, but if followers are refused the call, they say that they look now and then.
    FollowerLooks,
    /// If leaders are refused the call, their followers say that they look now and then.
    LeaderIsLookedAt,
    /// Leaders warn that followers will not notice their deaths, and say why.
    LeaderWarns(&'static str),
    /// The leader fails with an error that names the call.
    LeaderFails(&'static str),
}

fn table() -> Vec<(Call, Comes)> {
    use Comes::{FollowerLooks, LeaderFails, LeaderIsLookedAt, LeaderWarns, Works};
    let fcntl = |command: i32| Call::with(libc::SYS_fcntl, 1, command.cast_unsigned());
    vec![
        (Call::any(libc::SYS_inotify_init1), FollowerLooks),
        (Call::any(libc::SYS_inotify_add_watch), FollowerLooks),
        (Call::any(libc::SYS_fgetxattr), FollowerLooks),
        (
            Call::with_bits(libc::SYS_openat, 2, TMPFILE),
            LeaderIsLookedAt,
        ),
        (Call::any(libc::SYS_fsetxattr), LeaderWarns("setxattr")),
        (Call::any(libc::SYS_flistxattr), Works),
        (Call::any(libc::SYS_fremovexattr), Works),
        (Call::any(libc::SYS_flock), LeaderFails("flock")),
        (fcntl(libc::F_OFD_SETLK), LeaderFails("fcntl(F_OFD_SETLK)")),
        (fcntl(libc::F_OFD_GETLK), Works),
        (Call::any(libc::SYS_linkat), Works),
        (Call::any(libc::SYS_faccessat), Works),
        (Call::any(libc::SYS_faccessat2), Works),
    ]
}

fn refused(dir: &Path, arguments: &[&str], call: Call, errno: i32) -> Command {
    let mut command = exitdir(dir, arguments);
    refuse(&mut command, call, errno);
    command
}

fn follower(mut command: Command) -> Process {
    let follower = Process(command.stderr(Stdio::piped()).spawn().unwrap());
    eventually("it waits", || follower.is_asleep());
    follower
}

/// Status and standard error.
fn outcome(mut process: Process) -> (Option<i32>, String) {
    let mut stderr = String::new();
    let mut pipe = process.0.stderr.take().unwrap();
    let code = process.code();
    std::io::Read::read_to_string(&mut pipe, &mut stderr).unwrap();
    (code, stderr)
}

// Holds exitdir-8.
#[test]
fn each_call_can_be_refused() {
    for (call, comes) in table() {
        for errno in [libc::EPERM, libc::ENOSYS] {
            println!("{call:?}, error {errno}: {comes:?}");
            leader_works_or_says_why(call, errno, comes);
            leaders_death_is_noticed(call, errno, comes);
            follower_follows(call, errno, comes);
        }
    }
}

fn leader_works_or_says_why(call: Call, errno: i32, comes: Comes) {
    let dir = tempdir().unwrap();
    // What an earlier leader has left in the directory disturbs nobody.
    drop(exitdir::ExitDir::new(dir.path()).lead().unwrap());
    let lead = ["lead", "--", "sh", "-c", "exit 7"];
    let output = refused(dir.path(), &lead, call, errno).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    if let Comes::LeaderFails(name) = comes {
        assert_eq!(output.status.code(), Some(125), "{stderr}");
        assert!(stderr.contains(name), "{stderr}");
        return;
    }
    assert_eq!(output.status.code(), Some(7), "{stderr}");
    let warned = matches!(comes, Comes::LeaderWarns(name) if stderr.contains(name));
    assert!(warned || stderr.is_empty(), "{stderr}");
    assert_eq!(
        run(dir.path(), &["status"]).1,
        "the leader exited with status 7\n"
    );
}

fn leaders_death_is_noticed(call: Call, errno: i32, comes: Comes) {
    if matches!(comes, Comes::LeaderFails(_) | Comes::LeaderWarns(_)) {
        return;
    }
    let dir = tempdir().unwrap();
    let lead = ["lead", "--", "sleep", &unique()];
    let leader = Process(refused(dir.path(), &lead, call, errno).spawn().unwrap());
    eventually("the leader lives", || is_led(dir.path()));
    let waiter = follower(exitdir(dir.path(), &["wait"]));
    leader.send(Signal::SIGKILL);
    let (code, stderr) = outcome(waiter);
    assert_eq!(code, Some(3), "{stderr}");
    let looked = stderr.contains("looking four times a second");
    assert_eq!(looked, matches!(comes, Comes::LeaderIsLookedAt), "{stderr}");
}

fn follower_follows(call: Call, errno: i32, comes: Comes) {
    let dir = tempdir().unwrap();
    let leader = exitdir::ExitDir::new(dir.path()).lead().unwrap();
    let wait = || follower(refused(dir.path(), &["wait"], call, errno));
    let waiter = wait();
    drop(leader);
    let (code, stderr) = outcome(waiter);
    assert_eq!(code, Some(3), "{stderr}");
    let looked = stderr.contains("looking four times a second");
    assert_eq!(looked, matches!(comes, Comes::FollowerLooks), "{stderr}");
    let waiter = wait();
    run(dir.path(), &["exit"]);
    assert_eq!(outcome(waiter).0, Some(0));
}
