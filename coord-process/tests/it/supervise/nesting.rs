//! Supervisors below supervisors.

use std::{fs::OpenOptions, io::Write};

use nix::sys::signal::{Signal, kill};

use super::{ask_for_the_end, eventually, example, fifo, sleeps, start, supervise, unique};

/// Prints each signal at once. If the shell waited for another process, a signal that came twice
/// would be printed once.
const COUNTS: &str = "trap 'echo term' TERM; trap 'echo int' INT; exec 3<>$GATE; echo $$; while :; do read -r _ <&3; done";

/// A program that quits hard on a second signal would lose its clean-up.
#[test]
fn a_command_below_three_supervisors_is_asked_once_for_each_reason() {
    let ((_place, fifo), (_other, gate)) = (fifo(), fifo());
    let supervisor = example("supervise");
    let supervisor = supervisor.to_str().unwrap();
    let inner = [
        supervisor, "--grace", "3600000", supervisor, "--grace", "3600000", "sh", "-c", COUNTS,
    ];
    let outer = ["--grace", "3600000", "--until", fifo.to_str().unwrap()];
    let mut command = supervise(&[&outer[..], &inner].concat());
    let mut supervised = start(command.env("GATE", &gate));
    let command = supervised.says_pid();
    // A signal that comes just before the shell blocks is not handled until it wakes.
    let mut open = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&gate)
        .unwrap();
    let mut wake = || writeln!(open).unwrap();
    supervised.send(Signal::SIGINT);
    supervised.says_when_woken("int", &mut wake);
    ask_for_the_end(&fifo);
    supervised.says_when_woken("term", &mut wake);
    supervised.send(Signal::SIGTERM);
    supervised.says_when_woken("term", &mut wake);
    // A second signal, from a later look at the tree, would come within this time.
    std::thread::sleep(std::time::Duration::from_millis(400));
    kill(command, Signal::SIGKILL).unwrap();
    assert_eq!(supervised.finish().code(), Some(122));
    assert_eq!(supervised.line(), None);
}

#[test]
fn what_is_below_another_guard_is_killed_too() {
    let (_place, fifo) = fifo();
    let long = unique();
    let supervisor = example("supervise");
    let script =
        format!("trap '' TERM; (setsid sleep {long} &); echo ready; sleep {long}; sleep {long}");
    let inner = [
        supervisor.to_str().unwrap(),
        "--grace",
        "3600000",
        "sh",
        "-c",
        &script,
    ];
    let outer = ["--grace", "300", "--until", fifo.to_str().unwrap()];
    let mut supervised = start(&mut supervise(&[&outer[..], &inner].concat()));
    supervised.says("ready");
    ask_for_the_end(&fifo);
    assert_eq!(supervised.finish().code(), Some(122));
    eventually("the tree is gone", || !sleeps(&long));
}
