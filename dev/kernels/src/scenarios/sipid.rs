//! Pidfiles, and the processes that they name.

use std::fs;

use nix::sys::signal::Signal;
use testkit::process::{Kept, is_alive};

use super::scenarios;
use crate::place::{Place, ends, goes, send};

scenarios![
    one_of_ten_claims_wins,
    a_claim_lives_as_long_as_its_process,
    kill_ends_the_process,
    a_process_that_ignores_term_is_killed,
    a_process_that_outlives_the_schedule_is_named,
    a_reused_pid_is_left_alone,
    a_signal_reaches_the_process,
    a_claimed_command_is_ready_in_time,
    what_answers_is_healthy,
    what_is_silent_is_unhealthy,
    the_end_of_the_watched_process_ends_the_wait,
];

fn sleeper(place: &Place) -> Kept {
    place.start("sleep", &["1000"])
}

fn claim(place: &Place, pid: i32, status: i32) {
    let pid = pid.to_string();
    place.expect(
        "sipid",
        &["claim", "--pid", &pid, "--pid-file", "x.pid"],
        status,
    );
}

/// A process that already ignores TERM.
fn stubborn(place: &Place) -> Kept {
    let script = "trap '' TERM; echo $$ >stubborn; exec sleep 1000";
    let process = place.start("sh", &["-c", script]);
    place.pid("stubborn");
    process
}

fn one_of_ten_claims_wins(place: &Place) {
    for _ in 0..3 {
        let processes = [(); 10].map(|()| sleeper(place));
        let claims = processes.each_ref().map(|process| {
            let pid = process.pid().to_string();
            place.start("sipid", &["claim", "--pid", &pid, "--pid-file", "x.pid"])
        });
        let statuses = claims.map(|claim| claim.finish().0);
        let won: Vec<_> = (0..10).filter(|index| statuses[*index] == 0).collect();
        assert_eq!(won.len(), 1, "{statuses:?}");
        assert!(
            statuses.iter().all(|it| [0, 11, 17].contains(it)),
            "{statuses:?}"
        );
        assert_eq!(place.lines("x.pid"), [processes[won[0]].pid().to_string()]);
        place.expect("sipid", &["kill", "--pid-file", "x.pid"], 0);
        goes(processes[won[0]].pid());
    }
}

fn a_claim_lives_as_long_as_its_process(place: &Place) {
    place.expect("sipid", &["status", "--pid-file", "x.pid"], 1);
    let (first, second) = (sleeper(place), sleeper(place));
    claim(place, first.pid(), 0);
    claim(place, second.pid(), 17);
    let said = place.expect("sipid", &["status", "--pid-file", "x.pid", "-o", "json"], 0);
    assert!(said.contains(&first.pid().to_string()), "{said}");
    // It is a zombie until it is waited for. A zombie counts as ended.
    send(first.pid(), Signal::SIGKILL);
    goes(first.pid());
    place.expect("sipid", &["status", "--pid-file", "x.pid"], 1);
    claim(place, second.pid(), 0);
    place.expect("sipid", &["status", "--pid-file", "x.pid"], 0);
}

fn kill_ends_the_process(place: &Place) {
    let process = sleeper(place);
    claim(place, process.pid(), 0);
    place.expect(
        "sipid",
        &["kill", "--pid-file", "x.pid", "--timeout", "1h"],
        0,
    );
    assert!(!is_alive(process.pid()));
    ends(process, 143);
    assert!(!place.path("x.pid").exists());
    place.expect("sipid", &["kill", "--pid-file", "x.pid"], 0);
}

fn a_process_that_ignores_term_is_killed(place: &Place) {
    let process = stubborn(place);
    claim(place, process.pid(), 0);
    let kill = ["kill", "--pid-file", "x.pid", "--timeout", "200ms"];
    place.expect("sipid", &kill, 0);
    ends(process, 137);
    assert!(!place.path("x.pid").exists());
}

fn a_process_that_outlives_the_schedule_is_named(place: &Place) {
    let process = stubborn(place);
    claim(place, process.pid(), 0);
    let kill = ["kill", "--pid-file", "x.pid", "--retry", "TERM/0.2"];
    place.expect("sipid", &kill, 110);
    place.expect("sipid", &["status", "--pid-file", "x.pid"], 0);
    place.expect(
        "sipid",
        &["kill", "--pid-file", "x.pid", "--retry", "KILL/60"],
        0,
    );
    ends(process, 137);
}

/// Before Linux 6.9, pidfds have no inodes, and only the start time tells the processes apart.
fn a_reused_pid_is_left_alone(place: &Place) {
    let first = sleeper(place);
    let pid = first.pid();
    claim(place, pid, 0);
    drop(first);
    let other = loop {
        // The next process gets the PID after this one.
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        let other = sleeper(place);
        if other.pid() == pid {
            break other;
        }
    };
    place.expect("sipid", &["status", "--pid-file", "x.pid"], 1);
    place.expect("sipid", &["signal", "--pid-file", "x.pid", "TERM"], 3);
    place.expect("sipid", &["kill", "--pid-file", "x.pid"], 0);
    assert!(is_alive(pid));
    claim(place, pid, 0);
    place.expect("sipid", &["kill", "--pid-file", "x.pid"], 0);
    ends(other, 143);
}

fn a_signal_reaches_the_process(place: &Place) {
    let script = "trap 'echo got it; exit 5' HUP; echo $$ >ready; while :; do sleep 0.05; done";
    let process = place.start("sh", &["-c", script]);
    claim(place, place.pid("ready"), 0);
    place.expect("sipid", &["signal", "--pid-file", "x.pid", "HUP"], 0);
    assert_eq!(ends(process, 5), "got it\n");
    place.expect("sipid", &["signal", "--pid-file", "x.pid", "HUP"], 3);
}

fn a_claimed_command_is_ready_in_time(place: &Place) {
    let this = std::env::current_exe().unwrap();
    let this = this.display();
    let ready = format!(
        "exec >log 2>&1; echo $$ >daemon; {this} notify \"$NOTIFY_SOCKET\" READY=1; exec sleep 1000"
    );
    let claim_of = |script| {
        let claim = ["claim", "--ready-timeout", "1m", "--pid-file", "x.pid"];
        [&claim[..], &["--", "sh", "-c", script]].concat()
    };
    place.expect("sipid", &claim_of(&ready), 0);
    assert_eq!(place.lines("x.pid"), place.lines("daemon"));
    place.expect("sipid", &claim_of("touch ran"), 17);
    assert!(!place.path("ran").exists());
    place.expect("sipid", &["kill", "--pid-file", "x.pid"], 0);
    goes(place.pid("daemon"));
    place.expect("sipid", &claim_of("exit 9"), 9);
}

fn what_answers_is_healthy(place: &Place) {
    place.write("index.html", "up and running");
    // Nothing else uses a port here.
    let server = place.start("httpd", &["-f", "-p", "127.0.0.1:8080"]);
    let wait = [
        "wait-until-healthy",
        "--timeout",
        "1m",
        "--polling-frequency",
        "1s",
    ];
    for target in [
        &[
            "--url",
            "http://127.0.0.1:8080/index.html",
            "--expect-body",
            "running",
        ][..],
        &[
            "--url",
            "http://localhost:8080/missing",
            "--expect-status",
            "404",
        ],
        &["--url", "tcp://127.0.0.1:8080"],
        &["--", "test", "-e", "index.html"],
    ] {
        place.expect("sipid", &[&wait, target].concat(), 0);
    }
    drop(server);
}

fn what_is_silent_is_unhealthy(place: &Place) {
    let wait = [
        "wait-until-healthy",
        "--timeout",
        "300ms",
        "--polling-frequency",
        "100ms",
    ];
    for target in [
        &["--url", "http://127.0.0.1:8081/"][..],
        &["--url", "tcp://127.0.0.1:8081"],
        &["--url", "unix:socket"],
        &["--", "sleep", "1000"],
    ] {
        place.expect("sipid", &[&wait, target].concat(), 110);
    }
}

fn the_end_of_the_watched_process_ends_the_wait(place: &Place) {
    let process = sleeper(place);
    claim(place, process.pid(), 0);
    // It watches the process before it runs this command.
    let ask = "echo $$ >asked; exit 1";
    let waiter = place.start(
        "sipid",
        &[
            "wait-until-healthy",
            "--timeout",
            "1h",
            "--polling-frequency",
            "1h",
            "--pid-file",
            "x.pid",
            "--",
            "sh",
            "-c",
            ask,
        ],
    );
    place.pid("asked");
    place.expect("sipid", &["kill", "--pid-file", "x.pid"], 0);
    drop(process);
    ends(waiter, 3);
}
