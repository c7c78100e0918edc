//! What the command lines share, as a process: by way of the example `leased`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use nix::{
    libc,
    pty::openpty,
    sys::signal::{SigHandler, Signal, signal},
    unistd::geteuid,
};
use testkit::{
    eventually,
    process::{Kept, assert_sleeps, outcome, words_of},
};

fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples/leased")
}

fn leased(arguments: &[&str]) -> Command {
    let mut command = Command::new(example());
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Starts it, and waits until it has printed a line.
fn ready(command: &mut Command) -> (Kept, BufReader<std::process::ChildStdout>) {
    let mut leased = Kept::spawn(command);
    let mut said = BufReader::new(leased.0.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (leased, said)
}

#[test]
fn a_command_that_ends_by_itself_is_over() {
    let script = "test $LEASED = yes && exit 3";
    let (status, said, errors) = outcome(&mut leased(&["run", "sh", "-c", script]));
    assert_eq!((status, &*said, &*errors), (3, "kept over\n", ""));
    let (status, said, _) = outcome(&mut leased(&["run", "/no/such/program"]));
    assert_eq!((status, &*said), (127, ""));
}

/// Renewals reach the guard without waking anybody later.
#[test]
fn a_command_ends_with_its_lease_and_runs_again() {
    let script = "echo ready; exec sleep 1000";
    let (mut leased, mut said) = ready(&mut leased(&["run", "sh", "-c", script]));
    let mut lease = leased.0.stdin.take().unwrap();
    lease.write_all(b"hour\n").unwrap();
    assert_sleeps(&[leased.pid()]);
    lease.write_all(b"lost\n").unwrap();
    assert_eq!(leased.status(), 0);
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "lost again\n");
}

#[test]
fn a_signal_that_came_before_the_command_ends_it() {
    let (status, said, _) = outcome(&mut leased(&["late", "sleep", "1000"]));
    assert_eq!((status, &*said), (143, "kept over\n"));
}

/// The signals with this line in `/proc/PID/status`, `proc_pid_status(5)`.
fn signals_of(process: i32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mask = status.lines().find_map(|text| text.strip_prefix(line));
    u64::from_str_radix(mask.unwrap().trim(), 16).unwrap()
}

#[test]
fn a_signal_ends_a_wait_unless_it_was_ignored() {
    const ALL: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];
    let bit = |signal: Signal| 1 << (signal as u32 - 1);
    for ignored in ALL {
        for ending in ALL.into_iter().filter(|ending| *ending != ignored) {
            let mut command = leased(&["signals"]);
            let ignore = move || {
                for number in ALL {
                    let is_ignored = number == ignored;
                    let action = if is_ignored {
                        SigHandler::SigIgn
                    } else {
                        SigHandler::SigDfl
                    };
                    // SAFETY: no handler is installed.
                    unsafe { signal(number, action) }?;
                }
                Ok(())
            };
            // SAFETY: signal is async-signal-safe, signal-safety(7).
            unsafe { command.pre_exec(ignore) };
            let (mut waiting, _) = ready(&mut command);
            let caught = signals_of(waiting.pid(), "SigCgt:");
            for number in ALL {
                let is_caught = caught & bit(number) != 0;
                assert_eq!(
                    is_caught,
                    number != ignored,
                    "{number} with {ignored} ignored"
                );
            }
            waiting.signal(ignored);
            waiting.signal(ending);
            assert_eq!(waiting.status(), 128 + ending as i32);
        }
    }
}

#[test]
fn a_terminal_shows_a_wait_until_all_locks_are_acquired() {
    let terminal = openpty(None, None).unwrap();
    let mut command = leased(&["wait"]);
    command.env("TERM", "xterm").stderr(terminal.slave);
    let mut waiting = Kept::spawn(&mut command);
    // The command still has the other end.
    drop(command);
    let mut stdin = waiting.0.stdin.take().unwrap();
    stdin.write_all(b"held by x\n").unwrap();
    let mut screen = File::from(terminal.master);
    let mut shown = String::new();
    eventually("the line is shown", || {
        let mut bytes = [0; 4096];
        let read = screen.read(&mut bytes).unwrap();
        shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
        shown.contains("s: waiting for lock a: held by x")
    });
    drop(stdin);
    assert_eq!(waiting.status(), 0);
    // The kernel says so with an error once nobody else has the terminal.
    let _ = screen.read_to_string(&mut shown);
    assert!(shown.ends_with("\r\x1b[2K"), "{shown:?}");
}

/// The runtime would panic.
#[test]
fn a_runtime_that_has_no_room_is_an_error() {
    assert_eq!(outcome(&mut leased(&["descriptors", "8"])).0, 0);
    let errors = |arguments| {
        let mut command = leased(arguments);
        let (status, _, errors) = outcome(command.stderr(Stdio::piped()));
        (status, errors)
    };
    let (status, error) = errors(&["descriptors", "7"]);
    let said = format!("cannot start the runtime: {}\n", words_of(libc::EMFILE));
    assert_eq!((status, error), (libc::EMFILE, said));
    let (status, error) = errors(&["threads"]);
    let said = format!("cannot start a thread: {}\n", words_of(libc::EAGAIN));
    assert_eq!((status, error), (libc::EAGAIN, said));
}

#[test]
fn pid_1_reaps_the_orphans_that_it_inherits() {
    let mut command = Command::new("unshare");
    if !geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    let (status, said, errors) = outcome(command.arg(example()).arg("init"));
    assert_eq!(status, 0, "{said}{errors}");
}
