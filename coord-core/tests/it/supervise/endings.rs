//! How a command ends, and what becomes of what it had started.

use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};

use super::{
    eventually, example, ignoring, sleeps, start, status, supervise, unique, with_argument,
};

#[test]
fn statuses_are_those_of_the_command_or_the_reason() {
    assert_eq!(status(&["sh", "-c", "exit 7"]), Some(7));
    assert_eq!(status(&["sh", "-c", "kill -9 $$"]), Some(137));
    assert_eq!(status(&["/no/such"]), Some(127));
    assert_eq!(status(&["no-such-program"]), Some(127));
    assert_eq!(status(&["/etc/passwd"]), Some(126));
    assert_eq!(status(&["/"]), Some(126));
    assert_eq!(status(&["--end", "50", "sleep", "1000"]), Some(122));
    assert_eq!(
        status(&["--deadline", "300", "--grace", "100", "sleep", "1000"]),
        Some(122)
    );
}

#[test]
fn a_command_that_ends_by_itself_keeps_its_status_although_it_is_to_end() {
    let script = "trap '' TERM; (trap '' TERM; sleep 1; echo done) & exit 3";
    let mut supervised = start(&mut supervise(&["--end", "0", "sh", "-c", script]));
    // Whether the end was asked for before or after CMD's exit, the tree is waited for.
    assert_eq!(supervised.line(), "done");
    assert!([Some(3), Some(122)].contains(&supervised.finish().code()));
}

#[test]
fn orphans_are_ended_waited_for_or_let_be() {
    let long = unique();
    let script = format!(
        "setsid sh -c 'echo ready; sleep 1; echo done; exec sleep {long}' & read _; exit 3"
    );
    let run = |orphans: &str| {
        let mut command = supervise(&["--orphans", orphans, "sh", "-c", &script]);
        start(command.stdin(Stdio::piped()))
    };
    let mut ended = run("end");
    assert_eq!(ended.line(), "ready");
    drop(ended.child.stdin.take());
    assert_eq!(ended.finish().code(), Some(3));
    assert_eq!(ended.line(), "");
    assert!(!sleeps(&long));

    let mut waits = run("wait");
    assert_eq!(waits.line(), "ready");
    drop(waits.child.stdin.take());
    assert_eq!(waits.line(), "done");
    eventually("the orphan sleeps on", || sleeps(&long));
    assert_eq!(waits.child.try_wait().unwrap(), None);
    kill(with_argument(&long)[0], Signal::SIGKILL).unwrap();
    assert_eq!(waits.finish().code(), Some(3));

    let mut leaves = run("leave");
    assert_eq!(leaves.line(), "ready");
    drop(leaves.child.stdin.take());
    assert_eq!(leaves.finish().code(), Some(3));
    assert_eq!(leaves.line(), "done");
    eventually("the orphan sleeps on", || sleeps(&long));
    kill(with_argument(&long)[0], Signal::SIGKILL).unwrap();
}

#[test]
fn what_ignores_the_signal_is_killed_after_the_grace_period() {
    let long = unique();
    let script =
        format!("trap '' TERM; (setsid sleep {long} &); echo ready; sleep {long}; sleep {long}");
    let mut supervised = start(&mut supervise(&[
        "--grace", "300", "--end", "200", "sh", "-c", &script,
    ]));
    assert_eq!(supervised.line(), "ready");
    assert_eq!(supervised.finish().code(), Some(122));
    assert!(!sleeps(&long));
}

#[test]
fn statuses_survive_a_parent_that_ignores_its_children() {
    let mut command = supervise(&["sh", "-c", "(exit 7); exit $?"]);
    ignoring(&mut command, Signal::SIGCHLD);
    let mut supervised = start(&mut command);
    assert_eq!(supervised.finish().code(), Some(7));
}

#[test]
fn a_task_of_tokio_ends_the_command() {
    let mut child = Command::new(example("beside_tokio"))
        .args(["sleep", "1000"])
        .spawn()
        .unwrap();
    assert_eq!(super::finish(&mut child).code(), Some(122));
}

#[test]
fn a_process_with_threads_cannot_fork_a_guard() {
    // This process is one: the test runs in a thread.
    let error = coord_core::supervise::Guard::start(coord_core::supervise::Plan::new(["true"]))
        .unwrap_err();
    assert_eq!(
        coord_core::HasErrno::errno(&error),
        coord_core::Errno::EBUSY
    );
    assert_eq!(error.status(), coord_core::Status::FAILED);
}
