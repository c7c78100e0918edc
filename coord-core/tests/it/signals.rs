//! Ending on a signal, as an ordinary process and as PID 1.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
};

use nix::{
    sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, signal, sigprocmask},
    unistd::{Pid, geteuid},
};

use crate::statuses;

fn start(command: &mut Command) -> Child {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "waiting\n");
    child
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap())
}

fn end(mut child: Child, signal: Signal) -> ExitStatus {
    kill(pid(&child), signal).unwrap();
    child.wait().unwrap()
}

#[test]
fn term_int_and_hup_end_the_process_by_the_signal() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let status = end(start(statuses().arg("wait")), signal);
        assert_eq!(status.signal(), Some(signal as i32), "{signal}");
    }
}

#[test]
fn a_shell_sees_128_and_the_signals_number() {
    for (signal, expected) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        // A shell ignores INT in what it runs in the background; env puts it back.
        let script = format!(
            r#"env --default-signal=INT "$0" wait >fifo & read -r _ <fifo; kill -{signal} $!; wait $!"#
        );
        let directory = tempfile::tempdir().unwrap();
        let made = Command::new("mkfifo")
            .arg(directory.path().join("fifo"))
            .status()
            .unwrap();
        assert!(made.success());
        let program = statuses();
        let status = Command::new("sh")
            .args(["-c", &script])
            .arg(program.get_program())
            .current_dir(&directory)
            .status();
        assert_eq!(status.unwrap().code(), Some(expected), "{signal}");
    }
}

#[test]
fn as_pid_1_it_exits_with_128_and_the_signals_number() {
    for (signal, expected) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let mut command = Command::new("unshare");
        if !geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--pid", "--fork", "--kill-child"]);
        let unshare = start(command.arg(statuses().get_program()).arg("wait"));
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let init: i32 = std::fs::read_to_string(children)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        kill(Pid::from_raw(init), signal_named(signal)).unwrap();
        let output = unshare.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(expected), "{signal}");
    }
}

fn signal_named(name: &str) -> Signal {
    format!("SIG{name}").parse().unwrap()
}

#[test]
fn a_signal_that_the_parent_had_blocked_still_ends_it() {
    let mut command = statuses();
    let block = || {
        let set = SigSet::from(Signal::SIGTERM);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).map_err(Into::into)
    };
    // SAFETY: sigprocmask is safe between fork and exec, signal-safety(7).
    unsafe { command.arg("wait").pre_exec(block) };
    let status = end(start(&mut command), Signal::SIGTERM);
    assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
}

/// Ignores this signal, as `nohup` does with HUP, and a shell with INT for its background commands.
fn ignoring(mut command: Command, ignored: Signal) -> Command {
    // SAFETY: signal is safe between fork and exec, and no handler is installed.
    unsafe { command.pre_exec(move || Ok(signal(ignored, SigHandler::SigIgn).map(drop)?)) };
    command
}

#[test]
fn what_was_ignored_stays_ignored() {
    for (ignored, deadly) in [
        (Signal::SIGHUP, Signal::SIGTERM),
        (Signal::SIGINT, Signal::SIGTERM),
        (Signal::SIGTERM, Signal::SIGINT),
    ] {
        let mut command = ignoring(statuses(), ignored);
        let child = start(command.arg("wait"));
        let status = format!("/proc/{}/status", child.id());
        let status = std::fs::read_to_string(status).unwrap();
        assert!(
            mask(&status, "SigIgn:") & bit(ignored) != 0,
            "{ignored}: {status}"
        );
        kill(pid(&child), ignored).unwrap();
        let status = end(child, deadly);
        assert_eq!(status.signal(), Some(deadly as i32), "{ignored}");
    }
}

fn mask(status: &str, field: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix(field));
    u64::from_str_radix(mask.unwrap().trim(), 16).unwrap()
}

fn bit(signal: Signal) -> u64 {
    1 << (signal as i32 - 1)
}

#[test]
fn a_program_that_it_becomes_finds_sigpipe_as_it_was() {
    let ignored_in = |mut command: Command| {
        let output = command
            .args(["exec", "--", "cat", "/proc/self/status"])
            .output();
        let status = String::from_utf8(output.unwrap().stdout).unwrap();
        mask(&status, "SigIgn:") & bit(Signal::SIGPIPE) != 0
    };
    assert!(!ignored_in(statuses()));
    assert!(ignored_in(ignoring(statuses(), Signal::SIGPIPE)));
}

#[test]
fn as_pid_1_it_reaps_what_others_have_left() {
    // The first process that unshare's shell starts is PID 1 of the new namespace. The child of the
    // second one becomes its orphan.
    let script = r#""$0" wait & sh -c 'sleep 1000 & echo orphan'; read -r _"#;
    let mut command = Command::new("unshare");
    if !geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--pid", "sh", "-c", script]);
    let mut shell = command
        .arg(statuses().get_program())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(shell.stdout.take().unwrap()).lines();
    let mut said: Vec<String> = said.by_ref().take(2).map(Result::unwrap).collect();
    said.sort();
    assert_eq!(said, ["orphan", "waiting"]);
    let init = children(pid(&shell))[0];
    testkit::eventually("PID 1 has an orphan", || children(init).len() == 1);
    kill(children(init)[0], Signal::SIGKILL).unwrap();
    testkit::eventually("PID 1 reaps its orphan", || children(init).is_empty());
    kill(init, Signal::SIGKILL).unwrap();
    drop(shell.stdin.take());
    shell.wait().unwrap();
}

fn children(parent: Pid) -> Vec<Pid> {
    let list = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let pids = list.split_whitespace().map(|pid| pid.parse().unwrap());
    pids.map(Pid::from_raw).collect()
}
