//! A wait ends when its pipe is removed or replaced, and costs nothing meanwhile.

use std::{fs, path::Path, process::Child};

use nix::sys::wait::{Id, WaitPidFlag, waitid};

use crate::support::{Place, await_reader, await_writer, expect, finish_with, lockpipe, pid};

/// Changes the pipe under each kind of waiter. Each must then end with `ENOENT`.
#[track_caller]
fn ends_the_wait(change: impl Fn(&Path)) {
    let kinds: [&[&str]; 4] = [
        &["read"],
        &["read", "--timeout", "1h"],
        &["write"],
        &["write", "--timeout", "1h"],
    ];
    let started: Vec<(Place, Child)> = kinds
        .iter()
        .map(|args| {
            let place = Place::with_pipe();
            let waiter = place.start(args);
            match args[0] {
                "read" => await_reader(pid(&waiter), &place.pipe()),
                _ => await_writer(pid(&waiter)),
            }
            (place, waiter)
        })
        .collect();
    started.iter().for_each(|(place, _)| change(&place.pipe()));
    for (_place, waiter) in started {
        let stderr = finish_with(waiter, 2);
        assert!(
            stderr.contains("it was removed or replaced during the wait"),
            "{stderr}"
        );
    }
}

// Holds lockpipes-5.
#[test]
fn a_pipe_that_is_deleted_ends_the_wait() {
    ends_the_wait(|pipe| {
        let deleted = lockpipe().arg("delete").arg("-p").arg(pipe).output();
        expect(&deleted.unwrap(), 0);
    });
}

// Holds lockpipes-5.
#[test]
fn a_pipe_that_is_replaced_ends_the_wait() {
    ends_the_wait(|pipe| {
        let other = pipe.with_extension("other");
        expect(
            &lockpipe()
                .arg("create")
                .arg("-p")
                .arg(&other)
                .output()
                .unwrap(),
            0,
        );
        fs::rename(other, pipe).unwrap();
    });
}

// Holds lockpipes-5.
#[test]
fn a_pipe_whose_directory_goes_ends_the_wait() {
    ends_the_wait(|pipe| fs::remove_dir_all(pipe.parent().unwrap()).unwrap());
}

#[test]
fn a_timed_wait_is_not_a_busy_loop() {
    for command in ["read", "write"] {
        let place = Place::with_pipe();
        let waiter = place.start(&[command, "--timeout", "2s"]);
        // This waits for the end, but does not reap the process yet.
        waitid(
            Id::Pid(pid(&waiter)),
            WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT,
        )
        .unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", waiter.id())).unwrap();
        // Fields 14 and 15 of proc_pid_stat(5) are the user and system time, in ticks of 10 ms. The
        // 3rd field follows the name in brackets.
        let after_name: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        let ticks: u64 = after_name[11..13]
            .iter()
            .map(|ticks| ticks.parse::<u64>().unwrap())
            .sum();
        assert!(ticks <= 10, "{command}: {ticks} ticks");
        finish_with(waiter, 110);
    }
}

/// With too little memory, a wait fails with a message. With enough memory, it waits.
#[test]
fn memory_runs_out_with_an_error() {
    for command in ["read", "write"] {
        let place = Place::with_pipe();
        let mut waiting = place.lockpipe();
        waiting.args(["-qq", command, "--timeout", "20ms"]);
        let outcomes = testkit::process::run_with_little_memory(&waiting, 16_000);
        for (status, _, error) in &outcomes {
            // The loader ends with 127. A process that the kernel kills has no status.
            let is_known = matches!(status, Some(11 | 12 | 110 | 127) | None);
            assert!(is_known, "{command}: {status:?}, {error}");
            assert!(
                !error.is_empty() || status.is_none(),
                "{command}: {status:?}"
            );
        }
        assert_eq!(outcomes.last().unwrap().0, Some(110), "{command}");
    }
}
