//! How a command ends, and what happens to what it started.

use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};

use super::{
    ask_for_the_end, eventually, example, fifo, ignoring, sleeps, start, status, supervise, unique,
    with_argument,
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

/// The supervisor waits for what the command left behind, and then ends it.
#[test]
fn a_command_that_has_ended_keeps_its_status_when_the_end_is_asked_for() {
    let (_place, fifo) = fifo();
    let long = unique();
    // `kill -0` succeeds until the guard has reaped the command.
    let orphan = format!("while kill -0 $$; do sleep 0.02; done; echo alone; exec sleep {long}");
    let script = format!("(trap : TERM; {orphan}) 2>/dev/null & exit 3");
    let options = ["--orphans", "wait", "--end-on", fifo.to_str().unwrap()];
    let mut supervised = start(&mut supervise(
        &[&options[..], &["sh", "-c", &script]].concat(),
    ));
    supervised.says("alone");
    eventually("the orphan sleeps", || sleeps(&long));
    ask_for_the_end(&fifo);
    assert_eq!(supervised.finish().code(), Some(3));
    assert!(!sleeps(&long));
}

#[test]
fn a_condition_ends_the_command_without_a_thread() {
    assert_eq!(status(&["--until-ms", "50", "sleep", "1000"]), Some(122));
    assert_eq!(
        status(&["--until-ms", "60000", "sh", "-c", "exit 3"]),
        Some(3)
    );
    let (_place, fifo) = fifo();
    let script = "echo ready; exec sleep 1000";
    let words = ["--until", fifo.to_str().unwrap(), "sh", "-c", script];
    let mut supervised = start(&mut supervise(&words));
    supervised.says("ready");
    let tasks = format!("/proc/{}/task", supervised.pid());
    assert_eq!(std::fs::read_dir(tasks).unwrap().count(), 1);
    std::fs::write(&fifo, "now").unwrap();
    assert_eq!(supervised.finish().code(), Some(122));
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
    ended.says("ready");
    drop(ended.child.stdin.take());
    assert_eq!(ended.finish().code(), Some(3));
    assert_eq!(ended.line(), None);
    assert!(!sleeps(&long));

    let mut waits = run("wait");
    waits.says("ready");
    drop(waits.child.stdin.take());
    waits.says("done");
    eventually("the orphan sleeps on", || sleeps(&long));
    assert_eq!(waits.child.try_wait().unwrap(), None);
    kill(with_argument(&long)[0], Signal::SIGKILL).unwrap();
    assert_eq!(waits.finish().code(), Some(3));

    let mut leaves = run("leave");
    leaves.says("ready");
    drop(leaves.child.stdin.take());
    assert_eq!(leaves.finish().code(), Some(3));
    leaves.says("done");
    eventually("the orphan sleeps on", || sleeps(&long));
    kill(with_argument(&long)[0], Signal::SIGKILL).unwrap();
}

#[test]
fn what_ignores_the_signal_is_killed_after_the_grace_period() {
    let (_place, fifo) = fifo();
    let long = unique();
    let script =
        format!("trap '' TERM; (setsid sleep {long} &); echo ready; sleep {long}; sleep {long}");
    let options = ["--grace", "300", "--end-on", fifo.to_str().unwrap()];
    let mut supervised = start(&mut supervise(
        &[&options[..], &["sh", "-c", &script]].concat(),
    ));
    supervised.says("ready");
    ask_for_the_end(&fifo);
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
    // This process has threads: the test runs in one.
    let error =
        coord_process::supervise::Guard::start(coord_process::supervise::Plan::new(["true"]))
            .unwrap_err();
    assert_eq!(
        coord_core::HasErrno::errno(&error),
        coord_core::Errno::EBUSY
    );
    assert_eq!(error.status(), coord_core::Status::FAILED);
}

/// The shell's trap starts a process after the signal. That process is not asked to end, and has
/// the grace period.
#[test]
fn a_clean_up_that_the_signal_starts_may_finish() {
    for _ in 0..20 {
        let script = r#"trap 'sh -c "sleep 0.05; echo cleaned"; exit 3' TERM; echo ready; while :; do sleep 0.01; done"#;
        let mut supervised = start(&mut supervise(&["--grace", "30000", "sh", "-c", script]));
        supervised.says("ready");
        // The guard ends the tree when the client is killed.
        supervised.send(Signal::SIGKILL);
        supervised.says("cleaned");
    }
}

/// What the trap leaves in the background is no longer a clean-up, so it is asked to end, too. The
/// grace period is longer than the test waits.
#[test]
fn an_orphan_that_the_signal_started_is_asked_too() {
    let (_place, fifo) = fifo();
    let long = unique();
    let script = format!(
        "trap 'sh -c \"echo left; exec sleep {long}\" & read -r _; exit' TERM
        echo ready; while :; do sleep 0.02; done"
    );
    let options = ["--grace", "3600000", "--end-on", fifo.to_str().unwrap()];
    let mut command = supervise(&[&options[..], &["sh", "-c", &script]].concat());
    let mut supervised = start(command.stdin(Stdio::piped()));
    supervised.says("ready");
    ask_for_the_end(&fifo);
    supervised.says("left");
    eventually("what is left sleeps", || sleeps(&long));
    drop(supervised.child.stdin.take());
    assert_eq!(supervised.finish().code(), Some(122));
    assert!(!sleeps(&long));
}

/// Any of the 64 signals that waitpid(2) can report may end CMD.
#[test]
fn every_deadly_signal_is_told_by_the_status() {
    for number in deadly() {
        let script = format!("kill -{number} $$");
        let found = status(&["sh", "-c", &script]);
        assert_eq!(found, Some(128 + number), "signal {number}");
    }
}

/// A signal that ends one orphan does not end the others.
#[test]
fn an_orphan_that_any_signal_ends_is_not_the_end_of_the_tree() {
    let (_place, fifo) = fifo();
    let kills = deadly().map(|number| format!("(sh -c 'kill -{number} $$' &);"));
    let kills: String = kills.collect();
    let script = format!(
        "{kills} (sh -c 'echo orphan; read _ <{}; echo last' &); exit 3",
        fifo.display()
    );
    let mut supervised = start(&mut supervise(&["--orphans", "wait", "sh", "-c", &script]));
    supervised.says("orphan");
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(supervised.child.try_wait().unwrap(), None);
    std::fs::write(&fifo, "now\n").unwrap();
    supervised.says("last");
    assert_eq!(supervised.finish().code(), Some(3));
}

#[test]
fn every_deadly_signal_ends_a_command_that_was_asked_to_end() {
    for number in [6, 11, 31, 32, 33, 34, 50, 64] {
        let (_place, fifo) = fifo();
        let script =
            format!("trap 'kill -{number} $$' TERM; echo ready; while :; do sleep 0.01; done");
        let options = ["--grace", "3600000", "--until", fifo.to_str().unwrap()];
        let mut supervised = start(&mut supervise(
            &[&options[..], &["sh", "-c", &script]].concat(),
        ));
        supervised.says("ready");
        ask_for_the_end(&fifo);
        assert_eq!(supervised.finish().code(), Some(122), "signal {number}");
    }
}

/// The signals that end a process that does not handle them, `signal(7)`.
fn deadly() -> impl Iterator<Item = i32> {
    let harmless = [
        Signal::SIGCHLD,
        Signal::SIGCONT,
        Signal::SIGSTOP,
        Signal::SIGTSTP,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGURG,
        Signal::SIGWINCH,
    ];
    (1..=64).filter(move |number| harmless.iter().all(|signal| *signal as i32 != *number))
}

/// The signal can mean nothing else: no command is left that could handle it.
#[test]
fn once_the_command_has_exited_a_signal_ends_what_it_left_behind() {
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ] {
        let long = unique();
        let script = format!("echo $$; sleep {long} & exit 4");
        let mut supervised = start(&mut supervise(&["--orphans", "wait", "sh", "-c", &script]));
        let command = supervised.says_pid();
        eventually("the command has been reaped", || {
            super::state(command).is_none()
        });
        supervised.send(signal);
        assert_eq!(supervised.finish().code(), Some(4), "{signal}");
        assert!(!sleeps(&long));
    }
}

/// A container is stopped with TERM, and killed some time later. Our grace period must end before
/// that.
#[test]
fn the_grace_period_bounds_a_signal_that_asks_to_end() {
    for (signal, options) in [
        (Signal::SIGTERM, &["--grace", "300"][..]),
        (Signal::SIGINT, &["--grace", "300"]),
        (Signal::SIGQUIT, &["--grace", "300", "--signal", "QUIT"]),
    ] {
        let long = unique();
        let script =
            format!("trap : TERM INT QUIT; echo ready; sleep {long}; sleep {long}; sleep {long}");
        let mut supervised = start(&mut supervise(&[options, &["sh", "-c", &script]].concat()));
        supervised.says("ready");
        supervised.send(signal);
        assert_eq!(supervised.finish().code(), Some(137), "{signal}");
        assert!(!sleeps(&long));
    }
}

#[test]
fn a_signal_that_may_mean_something_else_is_not_bounded() {
    let script = "trap 'echo again' HUP QUIT; echo ready; i=0; while [ $i -lt 40 ]; do sleep 0.02; i=$((i+1)); done; exit 5";
    let mut supervised = start(&mut supervise(&["--grace", "50", "sh", "-c", script]));
    supervised.says("ready");
    for signal in [Signal::SIGHUP, Signal::SIGQUIT] {
        supervised.send(signal);
        supervised.says("again");
    }
    assert_eq!(supervised.finish().code(), Some(5));
}
