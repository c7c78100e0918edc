//! Trees that are large, or that grow, and what is done to parts of them.

use std::{fs, time::Duration};

use coord_core::boottime;
use nix::sys::signal::{Signal, kill};

use super::{ask_for_the_end, eventually, fifo, sleeps, start, supervise, unique, with_argument};

/// Every look at the tree finds new processes, and the tree is still killed in time. The shells end
/// when the test does. They fork a limited number of times, so that others find free PIDs even if
/// nobody reaps.
#[test]
fn a_tree_that_forks_without_end_is_killed() {
    let (place, fifo) = fifo();
    let gate = place.path().join("gate");
    fs::write(&gate, "").unwrap();
    let mark = unique();
    let gate = gate.display();
    let forks = format!(
        "i=0; while [ -e {gate} ] && [ $i -lt 2500 ]; do i=$((i+1)); (true &) ; done; \
         while [ -e {gate} ]; do sleep 0.1; done"
    );
    // In sessions of their own, so that they are not killed as a group.
    let script = format!(
        "trap '' TERM; for i in 1 2 3; do setsid sh -c '{forks}' {mark} & done; echo ready; {forks}"
    );
    let deadline = ["--deadline", "1500", "--grace", "500", "--margin", "100"];
    let until = ["--until", fifo.to_str().unwrap(), "--grace", "300"];
    for options in [&deadline[..], &until] {
        let mut supervised = start(&mut supervise(&[options, &["sh", "-c", &script]].concat()));
        while supervised.line().unwrap() != "ready" {}
        if options.contains(&"--until") {
            ask_for_the_end(&fifo);
        }
        assert_eq!(supervised.finish().code(), Some(122), "{options:?}");
        assert!(!sleeps(&mark), "{options:?}");
    }
}

/// The larger the tree is, the earlier the killing begins. One run of five has to be in time,
/// within a tenth of a second: other tests run meanwhile, and a killed process needs the processor
/// once more to end.
// Holds lockheed-3.
#[test]
fn a_large_tree_is_gone_when_the_deadline_has_come() {
    let mut late = Vec::new();
    for _ in 0..5 {
        let long = unique();
        let many = "while [ $i -lt 500 ]; do i=$((i+1)); setsid sleep $1 & done";
        let script = format!("trap '' TERM; i=0; {many}; echo ready; wait");
        let arguments = [
            "--deadline",
            "8000",
            "--grace",
            "1000",
            "sh",
            "-c",
            &script,
            "sh",
            &long,
        ];
        let deadline = boottime() + Duration::from_secs(8);
        let mut supervised = start(&mut supervise(&arguments));
        while supervised.line().is_some_and(|line| line != "ready") {}
        // It can only end by the deadline.
        while sleeps(&long) {}
        late.push(boottime().saturating_sub(deadline));
        assert_eq!(supervised.finish().code(), Some(122));
        if late
            .last()
            .is_some_and(|&late| late < Duration::from_millis(100))
        {
            return;
        }
    }
    panic!("late by {late:?}");
}

/// The command ends its workers itself. They are not asked to end, and are killed only if they are
/// left at the end.
#[test]
fn with_kill_mode_main_the_command_alone_is_asked() {
    let (_place, fifo) = fifo();
    let long = unique();
    let worker = format!("trap 'echo worker' TERM; while :; do sleep 0.02; done # {long}");
    let script = format!(
        "trap 'echo main; exit 3' TERM; sh -c \"$1\" {long} & sh -c \"$1\" {long} & sleep {long} & echo ready; wait"
    );
    let options = [
        "--kill-mode",
        "main",
        "--grace",
        "700",
        "--until",
        fifo.to_str().unwrap(),
    ];
    let command = ["sh", "-c", &script, "sh", &worker];
    let mut supervised = start(&mut supervise(&[&options[..], &command].concat()));
    supervised.says("ready");
    eventually("the workers run", || with_argument(&long).len() == 3);
    ask_for_the_end(&fifo);
    supervised.says("main");
    assert_eq!(supervised.finish().code(), Some(122));
    assert_eq!(supervised.line(), None);
    assert!(!sleeps(&long));
}

#[test]
fn a_signal_is_rewritten_before_it_is_passed_on() {
    let script = "trap 'echo quit' QUIT; trap 'echo usr1' USR1; trap 'echo term' TERM; echo $$; while :; do sleep 0.02; done";
    let options = [
        "--rewrite",
        "TERM=QUIT",
        "--rewrite",
        "HUP=USR1",
        "--grace",
        "4000",
    ];
    let mut supervised = start(&mut supervise(
        &[&options[..], &["sh", "-c", script]].concat(),
    ));
    supervised.says_pid();
    supervised.send(Signal::SIGHUP);
    supervised.says("usr1");
    supervised.send(Signal::SIGTERM);
    supervised.says("quit");
    // A TERM asks for the end, whatever it is passed on as.
    assert_eq!(supervised.finish().code(), Some(137));
    assert_eq!(supervised.line(), None);
}

#[test]
fn nobody_wakes_while_nothing_happens() {
    let mut supervised = start(&mut supervise(&["sh", "-c", "echo $PPID; exec sleep 1000"]));
    let guard = supervised.says_pid();
    let switches = |pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let switches = status.lines().filter(|line| line.contains("ctxt_switches"));
        switches.map(str::to_owned).collect::<Vec<_>>()
    };
    let both = || [supervised.pid(), guard].map(switches);
    eventually("both are asleep", || {
        let before = both();
        std::thread::sleep(Duration::from_millis(300));
        before == both()
    });
    let before = both();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(both(), before);
    kill(supervised.pid(), Signal::SIGTERM).unwrap();
    assert_eq!(supervised.finish().code(), Some(143));
}
