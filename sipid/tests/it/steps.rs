//! Processes that stop, or are killed, before and after their system calls.

use std::{
    fs, io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        ptrace,
        signal::kill,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::support::{Lock, SIPID, claim, sleeper, status_of};

/// Starts a sipid that stops right after it was executed.
fn traced(arguments: &[&str], file: &Path) -> (Child, WaitStatus) {
    let mut command = Command::new(SIPID);
    command.args(arguments).arg("--pid-file").arg(file);
    // Cargo sets this variable, and the loader would then look for the C library in many places.
    command.env_remove("LD_LIBRARY_PATH").stderr(Stdio::null());
    // SAFETY: this only makes one system call, and touches no memory.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(io::Error::from)) };
    let claimant = command.spawn().unwrap();
    let stopped = waitpid(pid_of(&claimant), None).unwrap();
    (claimant, stopped)
}

fn pid_of(claimant: &Child) -> Pid {
    Pid::from_raw(claimant.id().try_into().unwrap())
}

/// Lets a claimant make this many steps, and stops it. A step goes from one start or end of a
/// system call to the next. Returns `None` if the claimant ended before.
fn claim_stopped_after(steps: usize, pid: &str, file: &Path) -> Option<Child> {
    let (claimant, mut stopped) = traced(&["claim", "--pid", pid], file);
    for _ in 0..steps {
        if matches!(stopped, WaitStatus::Exited(..)) {
            return None;
        }
        ptrace::syscall(pid_of(&claimant), None).unwrap();
        stopped = waitpid(pid_of(&claimant), None).unwrap();
    }
    (!matches!(stopped, WaitStatus::Exited(..))).then_some(claimant)
}

/// After the kill, the file must contain what `before` left in it, or the whole new PID, perhaps
/// with blanks behind it. Only a running process may keep out the next claim.
fn check(before: impl Fn(&Path) -> String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let (first, second) = (sleeper(), sleeper());
    let mut claimed = 0;
    for steps in 0.. {
        let old = before(&file);
        let Some(mut claimant) = claim_stopped_after(steps, &first.pid(), &file) else {
            break;
        };
        claimant.kill().unwrap();
        claimant.wait().unwrap();
        let left = fs::read_to_string(&file).unwrap_or_default();
        let pid = left.trim_end_matches(' ');
        let won = pid == first.pid();
        assert!(won || pid == old, "after {steps} steps: {left:?}");
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

/// However long a claimant stops, another one wins only if this one does not.
// Holds sipid-1.
#[test]
fn of_two_claimants_one_wins_wherever_the_other_stops() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let (first, second) = (sleeper(), sleeper());
    let mut wins = [0, 0];
    for old in ["", "999999999"] {
        for steps in 0.. {
            fs::write(&file, old).unwrap();
            let Some(mut stopped) = claim_stopped_after(steps, &first.pid(), &file) else {
                break;
            };
            let other = claim(&second.pid(), &file);
            ptrace::detach(pid_of(&stopped), None).unwrap();
            let this = stopped.wait().unwrap().code().unwrap();
            let winner = if this == 0 { first.pid() } else { second.pid() };
            // EEXIST, or EAGAIN while the stopped one has locked the file.
            let is_refused = [17, 11].contains(&this.max(other));
            assert!(
                this.min(other) == 0 && is_refused,
                "after {steps} steps: {this}, {other}"
            );
            assert_eq!(fs::read_to_string(&file).unwrap().trim_end(), winner);
            wins[usize::from(this != 0)] += 1;
            fs::remove_file(&file).unwrap();
        }
    }
    assert!(wins.iter().all(|wins| *wins > 0), "{wins:?}");
}

// Holds sipid-1.
#[test]
fn a_claim_of_a_new_file_can_be_killed_at_every_step() {
    check(|_| String::new());
}

/// The old text is longer than any PID, so a part of it could be left after the new one.
// Holds sipid-1.
#[test]
fn a_claim_of_a_stale_file_can_be_killed_at_every_step() {
    check(|file| {
        fs::write(file, "999999999").unwrap();
        "999999999".to_owned()
    });
}

/// The old PID is shorter than the new one, so it could be left with a part of the new one.
// Holds sipid-1.
#[test]
fn a_claim_of_a_shorter_stale_file_can_be_killed_at_every_step() {
    check(|file| {
        let free = (2..).find(|pid| kill(Pid::from_raw(*pid), None) == Err(Errno::ESRCH));
        let pid = free.unwrap().to_string();
        fs::write(file, &pid).unwrap();
        pid
    });
}

// Holds sipid-1.
#[test]
fn a_claim_after_another_can_be_killed_at_every_step() {
    check(|file| {
        let earlier = sleeper();
        assert_eq!(claim(&earlier.pid(), file), 0);
        earlier.pid()
    });
}

/// A service's start has to wait for its claim.
#[test]
#[allow(clippy::zombie_processes, reason = "waitpid reaps it")]
fn a_claim_takes_few_system_calls() {
    let dir = tempfile::tempdir().unwrap();
    let sleeper = sleeper();
    let (claimant, mut stopped) = traced(
        &["claim", "--pid", &sleeper.pid()],
        &dir.path().join("x.pid"),
    );
    let mut steps = 0;
    while !matches!(stopped, WaitStatus::Exited(..)) {
        ptrace::syscall(pid_of(&claimant), None).unwrap();
        stopped = waitpid(pid_of(&claimant), None).unwrap();
        steps += 1;
    }
    assert_eq!(stopped, WaitStatus::Exited(pid_of(&claimant), 0));
    // Of the last call, only the start is seen, not the end.
    let calls = steps / 2;
    // musl asks the kernel for memory in smaller pieces, and gives it back at once.
    let most = if cfg!(target_env = "musl") { 95 } else { 85 };
    assert!(calls <= most, "{calls} system calls");
}

/// glibc opens with `openat`, and musl with `open` if the architecture has it.
#[cfg(target_arch = "x86_64")]
const OPENS: [i64; 2] = [libc::SYS_openat, libc::SYS_open];
#[cfg(not(target_arch = "x86_64"))]
const OPENS: [i64; 1] = [libc::SYS_openat];

/// Nobody has the lock when sipid looks for its owner, and then it is not an inherited one.
#[test]
fn a_lock_that_is_released_while_its_owner_is_looked_for_keeps_no_pidfile() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    for opened in 1..=6 {
        fs::write(&file, "999999999").unwrap();
        let mut lock = Some(Lock::on(&file));
        let (mut kill, _) = traced(&["kill"], &file);
        let (mut locked, mut opens) = (0, 0);
        while lock.is_some() {
            ptrace::syscall(pid_of(&kill), None).unwrap();
            let stopped = waitpid(pid_of(&kill), None).unwrap();
            assert!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
            let call = fs::read_to_string(format!("/proc/{}/syscall", pid_of(&kill))).unwrap();
            let is = |number: i64| call.starts_with(&format!("{number} "));
            locked += usize::from(is(libc::SYS_flock));
            // It has tried again and again by then.
            opens += usize::from(locked > 20 && OPENS.into_iter().any(is));
            lock = lock.filter(|_| opens < opened);
        }
        ptrace::detach(pid_of(&kill), None).unwrap();
        assert!(kill.wait().unwrap().success(), "{opened}");
        assert!(!file.exists(), "{opened}");
    }
}
