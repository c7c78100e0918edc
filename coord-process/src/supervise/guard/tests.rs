//! The guard, and the client that uses it, in processes of their own.

use std::{fs::File, os::fd::AsRawFd, thread, time::Duration};

use coord_core::{Errno, HasErrno};
use nix::{
    libc,
    sys::{
        ptrace,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, dup2_raw},
};
use testkit::{eventually, process::is_alive};

use super::Guard;
use crate::supervise::{
    End, Exit, Plan, Running,
    alone::{alone, pid_of, sleeper},
    boottime,
    tree::{self, Children},
    wire::{Link, Order, Report},
};

const HOUR: Duration = Duration::from_secs(3600);

fn start(command: &[&str]) -> (Running, i32) {
    let guard = Guard::start(Plan::new(command)).unwrap();
    let running = guard.spawn::<String, String>([]).unwrap();
    (running, only_child())
}

fn only_child() -> i32 {
    let children = Children::new().of(nix::unistd::getpid().as_raw(), None);
    assert_eq!(children.len(), 1);
    children[0]
}

/// Whether this process has no child, not even a dead one.
fn has_reaped_all() -> bool {
    waitpid(None, Some(WaitPidFlag::WNOHANG)) == Err(nix::Error::ECHILD)
}

#[test]
fn a_deadline_from_before_the_start_counts() {
    alone(|| {
        let guard = Guard::start(Plan::new(["sleep", "1000"]).grace(Duration::ZERO)).unwrap();
        guard.set_deadline(Some(boottime() + HOUR)).unwrap();
        let mut running = guard.spawn::<String, String>([]).unwrap();
        let left = running.timeout().unwrap();
        assert!(left < HOUR * 2, "{left:?}");
        let command = Children::new().of(only_child(), None);
        assert_eq!(command, [running.pid()]);
        running.ender().set_deadline(Some(boottime())).unwrap();
        assert_eq!(running.wait().unwrap().end, End::Deadline);
    });
}

#[test]
fn a_guard_that_is_not_needed_any_more_is_gone() {
    alone(|| {
        drop(Guard::start(Plan::new(["true"])).unwrap());
        assert!(has_reaped_all());
    });
}

#[test]
fn a_guard_ends_by_itself_once_it_has_reported_the_end() {
    alone(|| {
        let (mut running, guard) = start(&["sh", "-c", "exit 3"]);
        assert_eq!(running.wait().unwrap().exit, Exit::Code(3));
        eventually("it has ended", || tree::is_zombie(guard));
        let end = waitpid(Pid::from_raw(guard), None).unwrap();
        assert_eq!(end, WaitStatus::Exited(Pid::from_raw(guard), 0));
    });
}

#[test]
fn a_command_that_nobody_waits_for_any_more_is_asked_to_end() {
    let place = tempfile::tempdir().unwrap();
    let [ready, asked] = ["ready", "asked"].map(|name| place.path().join(name));
    alone(|| {
        let trap = format!("trap 'echo >{}; exit' TERM", asked.display());
        let script = format!(
            "{trap}; echo >{}; while :; do sleep 0.02; done",
            ready.display()
        );
        let (running, _) = start(&["sh", "-c", &script]);
        eventually("it is ready", || ready.exists());
        let command = running.pid();
        drop(running);
        assert!(asked.exists() && !is_alive(command) && has_reaped_all());
    });
}

/// The link is replaced by a file, of which no report can be heard.
#[test]
fn a_command_is_ended_even_if_the_guard_cannot_be_heard() {
    alone(|| {
        let (mut running, _) = start(&["sh", "-c", "trap '' TERM; sleep 1000; sleep 1000"]);
        let command = running.pid();
        let link = running.fds()[1].as_raw_fd();
        // SAFETY: the link stays open, as something else.
        let file = unsafe { dup2_raw(File::open("/dev/null").unwrap(), link) }.unwrap();
        std::mem::forget(file);
        assert_eq!(running.wait().unwrap_err().errno().raw(), libc::ENOTSOCK);
        drop(running);
        assert!(!is_alive(command) && has_reaped_all());
    });
}

#[test]
fn a_client_whose_guard_is_killed_has_no_child_left() {
    alone(|| {
        let (mut running, guard) = start(&["sleep", "1000"]);
        tree::send(guard, None, libc::SIGKILL);
        assert_eq!(running.wait().unwrap_err().errno(), Errno::ESRCH);
        assert!(has_reaped_all());
    });
}

#[test]
fn a_step_that_fails_before_the_command_runs_is_named() {
    alone(|| {
        let (ours, theirs) = Link::pair().unwrap();
        let guard = Guard::of(Pid::from_raw(pid_of(&sleeper())), ours, Plan::new(["true"]));
        theirs
            .report(&Report::Failed("do it".to_owned(), libc::ENOMEM))
            .unwrap();
        let error = guard.spawn::<String, String>([]).unwrap_err();
        assert_eq!(error.errno().raw(), libc::ENOMEM);
        assert_eq!(error.to_string(), "cannot do it");
    });
}

/// A guard that reports nothing: a process that sleeps. The test keeps the other end of the link.
fn silent_guard() -> (Guard, Pid, Link) {
    let (ours, theirs) = Link::pair().unwrap();
    let pid = Pid::from_raw(pid_of(&sleeper()));
    (Guard::of(pid, ours, Plan::new(["true"])), pid, theirs)
}

#[track_caller]
fn is_too_late(guard: Guard, words: &str) {
    let error = guard.spawn::<String, String>([]).unwrap_err();
    assert_eq!(error.errno(), Errno::ETIMEDOUT);
    assert!(error.to_string().contains(words), "{error}");
    assert!(has_reaped_all());
}

/// It would not be gone by the deadline if it were waited for until then.
#[test]
fn a_command_that_has_not_started_well_before_the_deadline_is_late() {
    alone(|| {
        let (mut guard, _, _link) = silent_guard();
        guard.plan = Plan::new(["true"]).margin(HOUR);
        guard.set_deadline(Some(boottime() + HOUR / 3)).unwrap();
        is_too_late(guard, "deadline");
    });
}

#[test]
fn an_order_to_start_that_there_is_no_room_for_is_sent_later() {
    alone(|| {
        let (guard, _, link) = silent_guard();
        let signal = |number| Order::Signal {
            number,
            group: false,
            ends: false,
        };
        let mut numbers = 0..;
        while !guard.process.has_unsent() {
            let order = signal(numbers.next().unwrap());
            guard.process.order(&order).unwrap();
        }
        let reader = thread::spawn(move || {
            while !matches!(link.next_order(), Ok(Some(Order::Start(_)))) {}
            link.report(&Report::NotStarted(libc::ENOENT)).unwrap();
        });
        let error = guard.spawn::<String, String>([]).unwrap_err();
        assert_eq!(error.errno(), Errno::ENOENT);
        reader.join().unwrap();
    });
}

#[test]
fn a_guard_that_cannot_be_continued_is_not_called_killed() {
    alone(|| {
        let (guard, pid, _link) = silent_guard();
        ptrace::seize(pid, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(pid).unwrap();
        is_too_late(guard, "stopped");
    });
}
