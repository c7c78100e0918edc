//! What happens to the command's tree when the client or the guard is killed or stopped.

use std::{
    fs::{self, File, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::tempdir;
use testkit::process::copy_program;

use super::{Supervised, eventually, example, sleeps, start, supervise, unique, with_argument};

/// A user who is not root, and owns nothing here.
const NOBODY: u32 = 65534;

/// A command with a child, a grandchild and a daemon. When it has started them, it prints the
/// guard's PID as its first line.
fn family(long: &str) -> String {
    let daemon = format!("(setsid sh -c 'sleep {long} & exec sleep {long}' &)");
    format!("{daemon}; sleep {long} & sleep {long} & echo $PPID; exec sleep {long}")
}

fn start_family(prefix: &[&str], long: &str) -> (Supervised, Pid) {
    let script = family(long);
    let words = [prefix, &["sh", "-c", &script]].concat();
    let mut supervised = start(&mut supervise(&words));
    let guard = supervised.says_pid();
    (supervised, guard)
}

// Holds exitdir-5.
#[test]
fn a_killed_client_takes_the_whole_tree_with_it() {
    // The second command has no parent-death signal, as after a change of credentials.
    for prefix in [&[][..], &["setpriv", "--pdeathsig", "clear"]] {
        let long = unique();
        let (mut supervised, _) = start_family(prefix, &long);
        supervised.send(Signal::SIGKILL);
        supervised.finish();
        eventually("the tree is gone", || !sleeps(&long));
    }
}

#[test]
fn a_killed_guard_takes_the_whole_tree_with_it_before_the_client_ends() {
    for prefix in [&[][..], &["setpriv", "--pdeathsig", "clear"]] {
        let long = unique();
        let (mut supervised, guard) = start_family(prefix, &long);
        kill(guard, Signal::SIGKILL).unwrap();
        assert_eq!(supervised.finish().code(), Some(125));
        assert!(!sleeps(&long), "{prefix:?}");
    }
}

#[test]
fn what_a_killed_guard_leaves_behind_is_asked_to_end() {
    let long = unique();
    let orphan = format!("trap 'echo asked; exit' TERM; echo ready; sleep {long} & wait");
    let script = format!("echo $PPID; (setsid sh -c \"{orphan}\" &); exec sleep {long}");
    let mut supervised = start(&mut supervise(&["--grace", "3600000", "sh", "-c", &script]));
    let guard = supervised.says_pid();
    supervised.says("ready");
    // A shell may lose a signal while it forks.
    eventually("all run", || with_argument(&long).len() == 2);
    kill(guard, Signal::SIGKILL).unwrap();
    supervised.says("asked");
    assert_eq!(supervised.finish().code(), Some(125));
    assert!(!sleeps(&long));
}

mod needs_root {
    use super::*;

    #[test]
    #[ignore = "needs root"]
    fn a_setuid_command_is_ended_with_the_client_and_with_the_guard() {
        let place = tempdir().unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        let copy = |from: &Path, name: &str, mode: u32| {
            let to = place.path().join(name);
            copy_program(from, &to);
            fs::set_permissions(&to, Permissions::from_mode(mode)).unwrap();
            to
        };
        let program = copy(&example("supervise"), "supervise", 0o755);
        let setuid = copy(Path::new("/bin/sleep"), "setuid-sleep", 0o4755);
        for kills_guard in [false, true] {
            let long = unique();
            let script = format!(
                "{} {long} & echo $PPID; exec {} {long}",
                setuid.display(),
                setuid.display()
            );
            let mut command = Command::new(&program);
            command
                .args(["sh", "-c", &script])
                .uid(NOBODY)
                .gid(NOBODY)
                .current_dir("/");
            let mut supervised = start(&mut command);
            let guard = supervised.says_pid();
            eventually("the set-user-ID program runs as root", || {
                with_argument(&long).iter().any(|sleep| {
                    fs::read_to_string(format!("/proc/{sleep}/status"))
                        .is_ok_and(|status| status.contains("\nUid:\t65534\t0\t0\t0"))
                })
            });
            kill(
                if kills_guard { guard } else { supervised.pid() },
                Signal::SIGKILL,
            )
            .unwrap();
            supervised.finish();
            eventually("the tree is gone", || !sleeps(&long));
        }
    }
}

#[test]
fn a_stopped_client_does_not_outlive_the_deadline() {
    let long = unique();
    let script = family(&long);
    let mut supervised = start(&mut supervise(&[
        "--deadline",
        "1500",
        "--grace",
        "500",
        "sh",
        "-c",
        &script,
    ]));
    deadline_and_guard(&mut supervised);
    supervised.send(Signal::SIGSTOP);
    eventually("the guard has ended the tree", || !sleeps(&long));
    supervised.send(Signal::SIGCONT);
    assert_eq!(supervised.finish().code(), Some(122));
}

#[test]
fn a_stopped_guard_is_continued_by_the_deadline() {
    let long = unique();
    let script = format!("echo $PPID; exec sleep {long}");
    let mut supervised = start(&mut supervise(&[
        "--deadline",
        "1500",
        "--grace",
        "500",
        "sh",
        "-c",
        &script,
    ]));
    let guard = deadline_and_guard(&mut supervised);
    kill(guard, Signal::SIGSTOP).unwrap();
    assert_eq!(supervised.finish().code(), Some(122));
    assert!(!sleeps(&long));
}

/// Reads two lines, in any order: that the deadline was accepted, and the guard's PID. Returns the
/// PID.
pub(super) fn deadline_and_guard(supervised: &mut Supervised) -> Pid {
    let lines = [supervised.line().unwrap(), supervised.line().unwrap()];
    assert!(lines.contains(&"deadline Ok(())".to_owned()), "{lines:?}");
    let guard = lines.iter().find_map(|line| line.parse().ok()).unwrap();
    Pid::from_raw(guard)
}

#[test]
fn what_the_guard_keeps_is_kept_until_the_tree_is_gone() {
    let place = tempdir().unwrap();
    let path = place.path().join("lock");
    fs::write(&path, "").unwrap();
    let free = || Flock::lock(File::open(&path).unwrap(), FlockArg::LockExclusiveNonblock).is_ok();
    let long = unique();
    let script = format!("trap '' TERM; echo ready; sleep {long}; sleep {long}");
    let keep = [
        "--keep",
        path.to_str().unwrap(),
        "--grace",
        "1000",
        "sh",
        "-c",
        &script,
    ];
    let mut supervised = start(&mut supervise(&keep));
    supervised.says("ready");
    assert!(!free());
    supervised.send(Signal::SIGKILL);
    supervised.finish();
    let mut gone_first = false;
    eventually("the lock is free", || {
        let free = free();
        gone_first = !sleeps(&script);
        free
    });
    assert!(gone_first);
}

/// A process that is forked at the very moment when its parent is asked to end is asked, too. None
/// of them needs the grace period, which is longer than the test waits.
#[test]
fn who_is_forked_meanwhile_is_not_left_for_the_end_of_the_grace_period() {
    for round in 0..40 {
        let long = unique();
        let forks = format!("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep {long} & done");
        let script = format!("echo $PPID; ({forks}; wait) & {forks}; wait");
        let arguments = ["--grace", "3600000", "sh", "-c", &script];
        let mut supervised = start(&mut supervise(&arguments));
        let guard = supervised.says_pid();
        thread::sleep(Duration::from_micros(200 * round));
        let killed = [guard, supervised.pid()][usize::from(round & 1 == 0)];
        kill(killed, Signal::SIGKILL).unwrap();
        supervised.finish();
        eventually("the tree is gone", || !sleeps(&long));
    }
}
