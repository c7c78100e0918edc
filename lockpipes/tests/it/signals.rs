//! TERM, INT and HUP end a wait at once, also as PID 1.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Child, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{
    Place, await_reader, await_writer, eventually, finish, finish_with, pid, send, unshare,
};

const ENDING: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

fn start_waiting(place: &Place, command: &str) -> Child {
    let waiter = place.start(&[command]);
    await_waiter(place, command, pid(&waiter));
    waiter
}

fn await_waiter(place: &Place, command: &str, waiter: Pid) {
    match command {
        "read" => await_reader(waiter, &place.pipe()),
        _ => await_writer(waiter),
    }
}

#[test]
fn an_ordinary_process_ends_by_the_signal() {
    for command in ["read", "write"] {
        for signal in ENDING {
            let place = Place::with_pipe();
            let waiter = start_waiting(&place, command);
            send(&waiter, signal);
            let (status, stderr) = finish(waiter);
            assert_eq!(
                (status.signal(), stderr.as_str()),
                (Some(signal as i32), ""),
                "{command}"
            );
            // The pipe that it waited on is unchanged.
            place.run(&["exists"], 0);
        }
    }
}

#[test]
fn pid_1_exits_with_128_and_the_signals_number() {
    for command in ["read", "write"] {
        for signal in ENDING {
            let place = Place::with_pipe();
            let mut outer = unshare(&["--pid", "--fork", "--kill-child"]);
            outer
                .arg(env!("CARGO_BIN_EXE_lockpipe"))
                .args(["-v", command, "-p"])
                .arg(place.pipe());
            let outer = outer.stderr(Stdio::piped()).spawn().unwrap();
            let init = only_child(&outer);
            await_waiter(&place, command, init);
            kill(init, signal).unwrap();
            finish_with(outer, 128 + signal as i32);
        }
    }
}

fn only_child(outer: &Child) -> Pid {
    let path = format!("/proc/{0}/task/{0}/children", outer.id());
    let mut child = None;
    eventually("unshare has forked", || {
        child = fs::read_to_string(&path).unwrap().trim().parse().ok();
        child.is_some()
    });
    Pid::from_raw(child.unwrap())
}
