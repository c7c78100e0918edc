//! Followers, and what becomes of the command they run.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::tempdir;

use crate::{code, exitdir, finish, run, runs, unique, until};

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap())
}

#[test]
fn followers_before_beside_and_after_the_signal_all_end() {
    let dir = tempdir().unwrap();
    let long = unique();
    let follower = || {
        exitdir(dir.path(), &["follow", "--", "sleep", &long])
            .spawn()
            .unwrap()
    };
    let before = follower();
    until("the first follower runs", || runs(&long));
    let mut signal = exitdir(dir.path(), &["exit"]).spawn().unwrap();
    let beside: Vec<_> = (0..4).map(|_| follower()).collect();
    assert!(finish(&mut signal).success());
    let after = follower();
    for child in [before, after].into_iter().chain(beside) {
        assert_eq!(code(child), Some(0));
    }
    until("no command is left", || !runs(&long));
}

#[test]
fn five_hundred_followers_end_on_one_signal() {
    let dir = tempdir().unwrap();
    // A user has 128 inotify instances by default, and the other tests need some.
    let how = |number| {
        if number < 50 {
            &["wait"][..]
        } else {
            &["wait", "--poll", "250ms"]
        }
    };
    let mut followers: Vec<_> = (0..500)
        .map(|number| exitdir(dir.path(), how(number)).spawn().unwrap())
        .collect();
    assert_eq!(run(dir.path(), &["exit"]).0, Some(0));
    for child in &mut followers {
        assert_eq!(finish(child).code(), Some(0));
    }
}

#[test]
fn without_a_directory_nothing_changes() {
    let bin = env!("CARGO_BIN_EXE_exitdir");
    for empty in [false, true] {
        let status = |arguments: &[&str]| {
            let mut command = Command::new(bin);
            command.args(arguments).env_remove("EXIT_DIR");
            if empty {
                command.env("EXIT_DIR", "");
            }
            command.output().unwrap().status.code()
        };
        assert_eq!(status(&["exit"]), Some(0));
        assert_eq!(status(&["clear"]), Some(0));
        assert_eq!(status(&["status"]), Some(1));
        assert_eq!(status(&["wait", "--timeout", "50ms"]), Some(110));
        assert_eq!(status(&["lead", "--", "sh", "-c", "exit 7"]), Some(7));
        assert_eq!(status(&["follow", "--", "sh", "-c", "exit 8"]), Some(8));
    }
}

#[test]
fn a_command_that_ignores_term_is_killed_after_the_grace_period() {
    let dir = tempdir().unwrap();
    let long = unique();
    let script = format!("trap '' TERM; sleep {long}; sleep {long}");
    let child = exitdir(
        dir.path(),
        &["follow", "--grace", "500ms", "--", "sh", "-c", &script],
    )
    .spawn()
    .unwrap();
    until("the command runs", || runs(&long));
    let signalled = Instant::now();
    run(dir.path(), &["exit"]);
    assert_eq!(code(child), Some(0));
    assert!(signalled.elapsed() >= Duration::from_millis(450));
    assert!(!runs(&long));
}

#[test]
fn a_command_that_daemonises_leaves_nothing_behind() {
    let dir = tempdir().unwrap();
    let long = unique();
    let script = format!("(setsid sh -c 'sleep {long} & sleep {long}' &)");
    let script_and_wait = format!("{script}; sleep {long}");
    // The command exits by itself.
    assert_eq!(
        run(
            dir.path(),
            &["follow", "--", "sh", "-c", &format!("{script}; exit 3")]
        )
        .0,
        Some(3)
    );
    assert!(!runs(&long));
    // The command is ended.
    let child = exitdir(dir.path(), &["follow", "--", "sh", "-c", &script_and_wait])
        .spawn()
        .unwrap();
    until("the daemon runs", || runs(&long));
    run(dir.path(), &["exit"]);
    assert_eq!(code(child), Some(0));
    assert!(!runs(&long));
}

#[test]
fn a_stopped_command_is_ended_too() {
    let dir = tempdir().unwrap();
    let long = unique();
    let script = format!("kill -STOP $$; sleep {long}");
    let child = exitdir(dir.path(), &["follow", "--", "sh", "-c", &script])
        .spawn()
        .unwrap();
    until("the command runs", || runs(&script));
    run(dir.path(), &["exit"]);
    assert_eq!(code(child), Some(0));
    assert!(!runs(&script));
}

#[test]
fn killing_the_supervisor_ends_the_whole_tree() {
    let dir = tempdir().unwrap();
    let long = unique();
    let script = format!("(setsid sleep {long} &); sleep {long} & sleep {long}");
    for command in ["follow", "lead"] {
        let mut child = exitdir(dir.path(), &[command, "--", "sh", "-c", &script])
            .spawn()
            .unwrap();
        until("the command runs", || runs(&long));
        kill(pid(&child), Signal::SIGKILL).unwrap();
        assert_eq!(finish(&mut child).signal(), Some(9));
        until("the tree is gone", || !runs(&long));
    }
}

#[test]
fn waiting_costs_no_cpu_time() {
    let dir = tempdir().unwrap();
    let mut child = exitdir(dir.path(), &["follow", "--", "sleep", "100"])
        .spawn()
        .unwrap();
    let stat = format!("/proc/{}/stat", child.id());
    // utime and stime in clock ticks of 10 ms, proc_pid_stat(5).
    let ticks = || -> u64 {
        let stat = fs::read_to_string(&stat).unwrap();
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    // The time itself is what is measured here.
    std::thread::sleep(Duration::from_secs(3));
    assert!(ticks() < 2 + 1, "{} ticks", ticks());
    run(dir.path(), &["exit"]);
    finish(&mut child);
}

#[test]
fn no_descriptor_leaks_and_standard_streams_stay() {
    let dir = tempdir().unwrap();
    let script = "ls /proc/self/fd | tr '\\n' ' '; cat; echo err >&2";
    let plain = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    for command in ["follow", "lead"] {
        let output = exitdir(dir.path(), &[command, "--", "sh", "-c", script])
            .output()
            .unwrap();
        assert_eq!(output.stdout, plain.stdout);
        assert_eq!(output.stderr, b"err\n");
    }
}

#[test]
fn statuses_tell_what_went_wrong() {
    let dir = tempdir().unwrap();
    assert_eq!(run(dir.path(), &["follow", "--", "/no/such"]).0, Some(127));
    assert_eq!(
        run(dir.path(), &["follow", "--", "/etc/passwd"]).0,
        Some(126)
    );
    assert_eq!(
        run(dir.path(), &["follow", "--", "sh", "-c", "kill -9 $$"]).0,
        Some(137)
    );
    assert_eq!(
        run(&dir.path().join("none"), &["follow", "--", "true"]).0,
        Some(125)
    );
    assert_eq!(run(dir.path(), &["follow"]).0, Some(64));
    assert_eq!(
        run(dir.path(), &["follow", "--signal", "NONE", "--", "true"]).0,
        Some(64)
    );
}

#[test]
fn as_pid_1_signals_arrive_and_zombies_are_reaped() {
    let dir = tempdir().unwrap();
    let script = "(true & exec true) & i=0; while [ $i -lt 200 ]; do i=$((i+1)); (setsid true &); done; \
        trap 'echo term; exit 9' TERM; kill -TERM 1; while :; do sleep 0.1; done";
    let output = Command::new("unshare")
        .args([
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            env!("CARGO_BIN_EXE_exitdir"),
            "follow",
            "--",
            "sh",
            "-c",
            script,
        ])
        .env("EXIT_DIR", dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(9), "{output:?}");
    assert_eq!(output.stdout, b"term\n");
}
