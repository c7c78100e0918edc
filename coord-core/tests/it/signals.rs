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
        let script = format!(r#""$0" wait >fifo & read -r _ <fifo; kill -{signal} $!; wait $!"#);
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

#[test]
fn nohup_keeps_it_from_ending_on_hup() {
    let mut command = statuses();
    // SAFETY: signal is safe between fork and exec, and no handler is installed.
    unsafe {
        command
            .arg("wait")
            .pre_exec(|| Ok(signal(Signal::SIGHUP, SigHandler::SigIgn).map(drop)?));
    }
    let child = start(&mut command);
    kill(pid(&child), Signal::SIGHUP).unwrap();
    // Of two pending signals Linux delivers the lower number first: HUP would have ended the process before TERM.
    let status = end(child, Signal::SIGTERM);
    assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
}
