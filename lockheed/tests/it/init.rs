//! lockheed as PID 1 of a container.

use std::{
    fs,
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use testkit::eventually;

use crate::support::{LOCKHEED, Place};

fn children(parent: Pid) -> Vec<Pid> {
    let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let list = list.unwrap_or_default();
    let pids = list.split_whitespace().map(|pid| pid.parse().unwrap());
    pids.map(Pid::from_raw).collect()
}

#[test]
fn a_waiter_reaps_what_others_have_left() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a", "--duration", "1h"], 0);
    let mut command = Command::new("unshare");
    let (mut of_user, mut into_user) = (&[][..], &[][..]);
    if !geteuid().is_root() {
        of_user = &["--user", "--map-root-user"];
        into_user = &["--user", "--preserve-credentials"];
    }
    command
        .args(of_user)
        .args(["--pid", "--fork", "--mount-proc", "--kill-child", LOCKHEED])
        .args(["acquire", "x", "--id", "b"])
        .env("LOCKHEED_STORE", place.store());
    let mut unshare = command.stderr(Stdio::null()).spawn().unwrap();
    let unshare_pid = Pid::from_raw(unshare.id().try_into().unwrap());
    eventually("PID 1 runs", || !children(unshare_pid).is_empty());
    let init = children(unshare_pid)[0];
    let catches_deaths = || {
        let status = fs::read_to_string(format!("/proc/{init}/status")).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
        mask & (1 << (Signal::SIGCHLD as i32 - 1)) != 0
    };
    eventually("it listens for deaths", catches_deaths);
    let target = init.to_string();
    for _ in 0..2 {
        // The child has another session than PID 1, as after `docker exec`.
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &target, "--pid"]).args(into_user);
        enter.args(["setsid", "sh", "-c", "sleep 1000 >/dev/null 2>&1 &"]);
        assert!(enter.status().unwrap().success());
        eventually("it has an orphan", || children(init).len() == 1);
        kill(children(init)[0], Signal::SIGKILL).unwrap();
        eventually("it has reaped it", || children(init).is_empty());
    }
    kill(init, Signal::SIGKILL).unwrap();
    unshare.wait().unwrap();
}
