//! Signals that are passed on, also when the supervisor is PID 1.

use std::{
    fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};

use nix::{
    libc,
    sys::signal::{Signal, kill},
    unistd::geteuid,
};

use super::{eventually, example, ignoring, start, supervise};

/// Prints each signal, once standard input has ended. The shell itself waits, because a TSTP, which
/// is for the whole group, would stop a `sleep`. If a signal comes just before the shell blocks in
/// `read`, the shell prints it only after that. So the test wakes the shell through the gate.
const COUNTS: &str = r#"
    for number in $ALL; do trap "echo $number" $number; done
    exec 3<>"$GATE"; echo $$; while read -r line; do :; done; echo end; while :; do read -r _ <&3; done"#;

/// All signals that a program can catch, except CHLD, which the shell uses itself, and those that
/// the C library keeps for itself.
fn catchable() -> impl Iterator<Item = i32> {
    let kept = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD];
    let reserved = 32..libc::SIGRTMIN();
    (1..=64).filter(move |number| !kept.contains(number) && !reserved.contains(number))
}

#[test]
fn each_signal_reaches_the_command_once() {
    let (_place, gate) = super::fifo();
    let all: Vec<_> = catchable().map(|number| number.to_string()).collect();
    let mut command = supervise(&["--grace", "3600000", "sh", "-c", COUNTS]);
    let mut supervised = start(command.env("ALL", all.join(" ")).env("GATE", &gate));
    let command = supervised.says_pid();
    supervised.says("end");
    let mut gate = fs::File::options().write(true).open(&gate).unwrap();
    for number in catchable() {
        // SAFETY: kill takes any numbers.
        unsafe { libc::kill(supervised.pid().as_raw(), number) };
        supervised.says_when_woken(&number.to_string(), || gate.write_all(b"\n").unwrap());
    }
    kill(command, Signal::SIGKILL).unwrap();
    assert_eq!(supervised.finish().code(), Some(137));
    // No signal came twice, so nothing is left to read.
    assert_eq!(supervised.line(), None);
}

#[test]
fn job_control_reaches_the_whole_group() {
    let child = "trap 'echo child' WINCH; echo ready; while :; do sleep 0.02; done";
    let script = format!("sh -c \"{child}\" & wait");
    let mut supervised = start(&mut supervise(&["sh", "-c", &script]));
    supervised.says("ready");
    supervised.send(Signal::SIGWINCH);
    supervised.says("child");
    supervised.send(Signal::SIGTERM);
    assert_eq!(supervised.finish().code(), Some(143));
}

#[test]
fn a_command_that_dies_of_a_signal_passed_on_is_told_by_the_status() {
    let mut supervised = start(&mut supervise(&["sh", "-c", "echo ready; exec sleep 1000"]));
    supervised.says("ready");
    supervised.send(Signal::SIGTERM);
    let ended = supervised.finish();
    assert_eq!((ended.code(), ended.signal()), (Some(143), None));
}

#[test]
fn a_hup_that_the_parent_ignores_is_not_passed_on() {
    // A command that sets HUP back to its default does not get it either.
    let script = "echo ready; read -r _; exit 4";
    let mut command = supervise(&["env", "--default-signal=HUP", "sh", "-c", script]);
    ignoring(&mut command, Signal::SIGHUP);
    let mut supervised = start(command.stdin(Stdio::piped()));
    supervised.says("ready");
    supervised.send(Signal::SIGHUP);
    drop(supervised.child.stdin.take());
    assert_eq!(supervised.finish().code(), Some(4));
}

/// The standard library would ignore SIGPIPE in this process, and set it back to its default in the
/// command.
#[test]
fn what_was_ignored_at_the_start_stays_ignored_in_the_command() {
    let deadly = [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGPIPE,
        Signal::SIGTERM,
    ];
    for signal in deadly {
        let script = format!("kill -{} $$; echo survived", signal as i32);
        let mut command = supervise(&["sh", "-c", &script]);
        assert_eq!(
            start(&mut command).finish().code(),
            Some(128 + signal as i32)
        );
        ignoring(&mut command, signal);
        let mut supervised = start(&mut command);
        supervised.says("survived");
        assert_eq!(supervised.finish().code(), Some(0), "{signal}");
    }
}

/// The STOP is for CMD alone, as with a shell's `kill -STOP`.
#[test]
fn a_command_stopped_by_somebody_is_waited_for_and_goes_on() {
    let mut supervised = start(&mut supervise(&[
        "sh",
        "-c",
        "echo $$; kill -STOP $$; exit 6",
    ]));
    let command = supervised.says_pid();
    eventually("the command is stopped", || {
        fs::read_to_string(format!("/proc/{command}/stat")).is_ok_and(|stat| stat.contains(") T "))
    });
    supervised.send(Signal::SIGCONT);
    assert_eq!(supervised.finish().code(), Some(6));
}

fn as_pid_1(script: &str) -> Command {
    let mut command = Command::new("unshare");
    if !geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    command
        .arg(example("supervise"))
        .args(["sh", "-c", script])
        .stdin(Stdio::null());
    command
}

#[test]
fn as_pid_1_signals_arrive() {
    let script = "trap 'echo term; exit 9' TERM; kill -TERM 1; while :; do sleep 0.02; done";
    let mut supervised = start(&mut as_pid_1(script));
    supervised.says("term");
    assert_eq!(supervised.finish().code(), Some(9));
}

#[test]
fn as_pid_1_it_reaps_what_the_tree_and_others_leave_behind() {
    // A zombie has an entry in /proc until it is reaped.
    let script = r#"i=0; while [ $i -lt 100 ]; do pids="$pids $(setsid true >/dev/null & echo $!)"; i=$((i+1)); done
        gone() { for pid in "$@"; do while [ -e /proc/$pid ]; do sleep 0.02; done; done; }
        gone $pids; echo clean; read -r stranger < "$GATE"; gone $stranger; echo clean again"#;
    let place = tempfile::tempdir().unwrap();
    let gate = place.path().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut supervised = start(as_pid_1(script).env("GATE", &gate));
    supervised.says("clean");

    // Somebody enters the container, as `docker exec` does, and leaves a process behind, which PID
    // 1 inherits.
    let children = format!("/proc/{0}/task/{0}/children", supervised.pid());
    let first = fs::read_to_string(children).unwrap();
    let mut nsenter = Command::new("nsenter");
    if !geteuid().is_root() {
        nsenter.args(["--user", "--preserve-credentials"]);
    }
    let entered = nsenter
        .args(["--target", first.trim(), "--pid", "--mount"])
        .args(["setsid", "sh", "-c", "sleep 0.1 >/dev/null & echo $!"])
        .output()
        .unwrap();
    assert!(entered.status.success());
    fs::write(&gate, entered.stdout).unwrap();
    supervised.says("clean again");
    assert_eq!(supervised.finish().code(), Some(0));
}

#[test]
fn a_client_that_is_killed_as_pid_1_takes_everything_with_it() {
    let mut supervised = start(&mut as_pid_1("echo ready; exec sleep 1000"));
    supervised.says("ready");
    kill(supervised.pid(), Signal::SIGKILL).unwrap();
    supervised.finish();
    // The pipe closes when the last process is gone.
    assert_eq!(supervised.line(), None);
}
