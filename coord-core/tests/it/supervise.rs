//! The supervisor, by way of the example that does nothing else.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

fn supervise(arguments: &[&str]) -> Command {
    let test = std::env::current_exe().unwrap();
    let example = test.ancestors().nth(2).unwrap().join("examples/supervise");
    let mut command = Command::new(example);
    command.args(arguments).stdin(Stdio::null());
    command
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "not in time: {what}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

fn runs(text: &str) -> bool {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|line| {
            String::from_utf8_lossy(&line)
                .split('\0')
                .any(|argument| argument == text)
        })
}

fn unique(number: u32) -> String {
    format!("{}.{number}", 200_000 + std::process::id())
}

#[test]
fn statuses_are_those_of_the_command_or_the_reason() {
    let status = |arguments: &[&str]| supervise(arguments).status().unwrap().code();
    assert_eq!(status(&["sh", "-c", "exit 7"]), Some(7));
    assert_eq!(status(&["sh", "-c", "kill -9 $$"]), Some(137));
    assert_eq!(status(&["/no/such"]), Some(127));
    assert_eq!(status(&["/etc/passwd"]), Some(126));
    assert_eq!(status(&["--end", "50", "sleep", "1000"]), Some(122));
    assert_eq!(
        status(&["--deadline", "300", "--grace", "100", "sleep", "1000"]),
        Some(122)
    );
}

#[test]
fn a_stopped_supervisor_does_not_outlive_the_deadline() {
    let long = unique(1);
    let mut child = supervise(&["--deadline", "2000", "--grace", "500", "sleep", &long])
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    let sleep = || {
        fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| line == format!("sleep\0{long}\0").as_bytes())
        })
    };
    until("the command runs", sleep);
    // The example tells the deadline right after the start; it is idle once it sleeps in poll.
    until("the supervisor waits", || {
        fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|at| at.contains("poll"))
    });
    kill(pid, Signal::SIGSTOP).unwrap();
    until("the guard has ended the command", || !sleep());
    kill(pid, Signal::SIGCONT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(122));
}

#[test]
fn a_killed_guard_takes_the_tree_with_it() {
    let long = unique(2);
    let script = format!("(setsid sleep {long} &); echo $PPID; sleep {long}");
    let mut child = supervise(&["sh", "-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut guard = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(child.stdout.take().unwrap()),
        &mut guard,
    )
    .unwrap();
    kill(
        Pid::from_raw(guard.trim().parse().unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(125));
    assert!(!runs(&long));
}
