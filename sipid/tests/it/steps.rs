//! A claimant that is killed before and after each of its system calls.

use std::{
    fs, io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use nix::{
    sys::{
        ptrace,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::support::{SIPID, claim, sleeper, status_of};

/// Lets the claimant go as many steps, each from one begin or end of a system call to the next, and kills it. False when it
/// has ended before.
fn claim_killed_after(steps: usize, pid: &str, file: &Path) -> bool {
    let mut command = Command::new(SIPID);
    command
        .args(["claim", "--pid", pid, "--pid-file"])
        .arg(file);
    command.stderr(Stdio::null());
    // SAFETY: it makes one system call, and touches no memory.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(io::Error::from)) };
    #[allow(
        clippy::zombie_processes,
        reason = "where it has exited, waitpid has reaped it"
    )]
    let mut claimant = command.spawn().unwrap();
    let traced = Pid::from_raw(claimant.id().try_into().unwrap());
    // It has stopped in its exec.
    let mut stopped = waitpid(traced, None).unwrap();
    for _ in 0..steps {
        if matches!(stopped, WaitStatus::Exited(..)) {
            return false;
        }
        ptrace::syscall(traced, None).unwrap();
        stopped = waitpid(traced, None).unwrap();
    }
    if matches!(stopped, WaitStatus::Exited(..)) {
        return false;
    }
    claimant.kill().unwrap();
    claimant.wait().unwrap();
    true
}

/// What `before` leaves in the file is still there after the kill, or the whole new PID is; and the next claim is kept out
/// by nobody but a process that runs.
fn check(before: impl Fn(&Path) -> String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let (first, second) = (sleeper(), sleeper());
    let mut claimed = 0;
    for steps in 0.. {
        let old = before(&file);
        if !claim_killed_after(steps, &first.pid(), &file) {
            break;
        }
        let left = fs::read_to_string(&file).unwrap_or_default();
        let won = left.trim_end() == first.pid();
        assert!(won || left == old, "after {steps} steps: {left:?}");
        let status = status_of(&["status", "--pid-file", file.to_str().unwrap()]);
        assert_eq!(status, i32::from(!won), "after {steps} steps: {left:?}");
        let next = claim(&second.pid(), &file);
        assert_eq!(
            next,
            if won { 17 } else { 0 },
            "after {steps} steps: {left:?}"
        );
        claimed += i32::from(won);
        fs::remove_file(&file).unwrap();
    }
    assert!(
        claimed > 0,
        "it was never killed after it had written the PID"
    );
}

#[test]
fn a_claim_of_a_new_file_can_be_killed_at_every_step() {
    check(|_| String::new());
}

/// The old text is longer than any PID, so that a part of it could be left behind the new one.
#[test]
fn a_claim_of_a_stale_file_can_be_killed_at_every_step() {
    check(|file| {
        fs::write(file, "999999999").unwrap();
        "999999999".to_owned()
    });
}

#[test]
fn a_claim_after_another_can_be_killed_at_every_step() {
    check(|file| {
        let earlier = sleeper();
        assert_eq!(claim(&earlier.pid(), file), 0);
        earlier.pid()
    });
}
