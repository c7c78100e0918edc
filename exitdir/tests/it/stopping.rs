//! How `lead` and `follow` are asked to stop what they run.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use nix::{
    libc,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Starts `exitdir` with these arguments, and sends it a signal when CMD has printed that it is
/// ready. Returns what CMD printed after that, and the status.
fn stopped_by(signal: Signal, arguments: &[&str]) -> (Vec<String>, Option<i32>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_exitdir"))
        .args(arguments)
        .env_remove("EXIT_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("ready"));
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
    (lines.collect(), child.wait().unwrap().code())
}

#[test]
fn a_signal_is_rewritten_as_any_other() {
    let number = (libc::SIGRTMIN() + 3).to_string();
    let script =
        format!("trap 'echo quit; exit 3' {number}; echo ready; while :; do sleep 0.02; done");
    for how in ["lead", "follow"] {
        let arguments = [how, "--rewrite", "TERM=RTMIN+3", "--", "sh", "-c", &script];
        let (said, status) = stopped_by(Signal::SIGTERM, &arguments);
        assert_eq!((said, status), (vec!["quit".to_owned()], Some(3)), "{how}");
    }
}

#[test]
fn the_grace_period_bounds_a_forwarded_signal() {
    let script = "trap : TERM INT; echo ready; while :; do sleep 0.02; done";
    for how in ["lead", "follow"] {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let arguments = [how, "--grace", "300ms", "--", "sh", "-c", script];
            assert_eq!(stopped_by(signal, &arguments), (vec![], Some(137)), "{how}");
        }
    }
}

#[test]
fn a_leader_below_a_follower_is_asked_once() {
    let script = "trap 'echo term' TERM; echo ready; i=0; while [ $i -lt 30 ]; do sleep 0.02; i=$((i+1)); done; exit 4";
    let inner = [
        env!("CARGO_BIN_EXE_exitdir"),
        "lead",
        "--",
        "sh",
        "-c",
        script,
    ];
    let arguments = [&["follow", "--"][..], &inner].concat();
    let (said, status) = stopped_by(Signal::SIGTERM, &arguments);
    assert_eq!((said, status), (vec!["term".to_owned()], Some(4)));
}

#[test]
fn what_is_no_signal_is_wrong_usage() {
    for bad in [
        ["--signal", "NOPE"],
        ["--signal", "65"],
        ["--rewrite", "TERM"],
        ["--rewrite", "KILL=TERM"],
        ["--kill-mode", "group"],
    ] {
        let status = Command::new(env!("CARGO_BIN_EXE_exitdir"))
            .arg("lead")
            .args(bad)
            .args(["--", "true"])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(64), "{bad:?}");
    }
}
