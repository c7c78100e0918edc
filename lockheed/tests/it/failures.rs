//! Holders that die, stop, or lose their store: their work has ended before anybody else starts.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use testkit::{eventually, process::Kept};

use crate::support::{Place, content, runs, unique};

/// A command that says when it has begun, and then lasts. Its own child lasts too. If asked, both
/// ignore TERM.
fn lasting(place: &Place, stubborn: bool) -> (String, String) {
    let seconds = unique();
    let trap = if stubborn { "trap '' TERM; " } else { "" };
    let script = format!(
        "{trap}sleep {seconds} & echo begun >{}; sleep {seconds}; wait",
        place.path("begun").display()
    );
    (script, seconds)
}

/// Waits until the work of such a script runs: a shell may say so before its first sleep has
/// started.
fn begun(place: &Place, seconds: &str) {
    content(&place.path("begun"));
    eventually("the work goes on", || runs(seconds));
}

#[test]
fn a_holder_that_is_killed_frees_its_lock_at_once() {
    let place = Place::new();
    let (script, seconds) = lasting(&place, false);
    let mut holder = place.start(&["run", "x", "--duration", "1h", "--", "sh", "-c", &script]);
    begun(&place, &seconds);
    let waiter = place.start(&["run", "x", "--", "sh", "-c", "echo $LOCKHEED_TOKEN"]);
    holder.0.kill().unwrap();
    let (code, stdout, stderr) = waiter.finish();
    assert_eq!(code, 0, "{stderr}");
    assert!(!stdout.is_empty());
    assert!(
        !runs(&seconds),
        "the next holder began before the last one's work had ended"
    );
}

// Holds lockheed-6.
#[test]
fn a_waiter_begins_only_after_the_killed_holders_whole_tree_is_gone() {
    let place = Place::new();
    let (script, seconds) = lasting(&place, true);
    let mut holder = place.start(&[
        "run",
        "x",
        "--duration",
        "1h",
        "--grace",
        "300ms",
        "--",
        "sh",
        "-c",
        &script,
    ]);
    begun(&place, &seconds);
    let check = format!(
        "grep -lsaz -e {seconds} /proc/[0-9]*/cmdline | grep -v /proc/$$/ | grep -v /proc/self/ >{}; true",
        place.path("left").display()
    );
    let waiter = place.start(&["run", "x", "--", "sh", "-c", &check]);
    holder.0.kill().unwrap();
    assert_eq!(waiter.finish().0, 0);
    let left = fs::read_to_string(place.path("left")).unwrap();
    // The waiter's own script also has the number in its arguments.
    let others = left.lines().filter(|line| {
        let line = fs::read(line).unwrap_or_default();
        String::from_utf8_lossy(&line).starts_with("sleep")
    });
    assert_eq!(others.count(), 0, "{left}");
    assert!(!runs(&seconds));
}

// Holds lockheed-3.
#[test]
fn a_stopped_holders_work_has_ended_by_the_deadline_and_it_reports_the_loss() {
    let place = Place::new();
    let (script, seconds) = lasting(&place, true);
    let holder = place.start(&["run", "x", "--duration", "2s", "--", "sh", "-c", &script]);
    begun(&place, &seconds);
    holder.signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    let out = place.path("out");
    let waiter = place.start(&[
        "run",
        "x",
        "--",
        "sh",
        "-c",
        &format!("echo $LOCKHEED_TOKEN >{}", out.display()),
    ]);
    content(&out);
    let took = stopped.elapsed();
    assert!(
        !runs(&seconds),
        "somebody else began before the work had ended"
    );
    assert!(
        took >= Duration::from_millis(1000),
        "the next holder began before the end of the lease: {took:?}"
    );
    assert_eq!(waiter.finish().0, 0);
    holder.signal(Signal::SIGCONT);
    let (code, _, stderr) = holder.finish();
    assert_eq!(code, 122, "{stderr}");
    assert!(stderr.contains("lost"), "{stderr}");
}

/// `acquire` leaves a lease that ends only when it expires.
#[test]
fn a_lease_of_a_dead_script_ends_with_its_time_and_not_before() {
    let place = Place::new();
    let began = Instant::now();
    place.expect(&["acquire", "x", "--id", "dead", "--duration", "2s"], 0);
    let acquired = Instant::now();
    place.expect(&["acquire", "x", "--id", "next"], 0);
    assert!(began.elapsed() >= Duration::from_secs(2));
    // Two seconds are promised; the rest is for a loaded machine.
    assert!(acquired.elapsed() < Duration::from_secs(12));
}

#[test]
fn a_renewed_lease_outlasts_its_first_length() {
    let place = Place::new();
    let holder = place.hold("4s");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(5500) {
        assert_eq!(
            place.run(&["acquire", "x", "--no-wait", "--id", "other"]).0,
            16
        );
    }
    place.let_go();
    assert_eq!(holder.finish().0, 0);
}

/// A stopped process holds the directory's guard: nothing can be renewed, and the work ends by the
/// deadline.
// Holds lockheed-3.
#[test]
fn a_store_that_does_not_answer_costs_the_lock_in_time() {
    let place = Place::new();
    let (script, seconds) = lasting(&place, false);
    let holder = place.start(&["run", "x", "--duration", "2s", "--", "sh", "-c", &script]);
    begun(&place, &seconds);
    let blocked = place.guard();
    let (code, _, stderr) = {
        eventually("the work has ended", || !runs(&seconds));
        drop(blocked);
        holder.finish()
    };
    assert_eq!(code, 122, "{stderr}");
    assert!(stderr.contains("not renewed"), "{stderr}");
    eventually("nothing is left", || {
        place.leases("x").is_empty()
            || place.run(&["acquire", "x", "--no-wait", "--id", "other"]).0 == 0
    });
}

// Holds lockheed-3.
#[test]
fn a_short_trouble_disturbs_nobody() {
    let place = Place::new();
    let holder = place.hold("1m");
    let blocked = place.guard();
    let log = || fs::read_to_string(place.path("stderr")).unwrap();
    eventually("a renewal has failed", || log().contains("not renewed"));
    let before = place.json("x")["leases"].clone();
    drop(blocked);
    eventually("it is renewed again", || {
        place.json("x")["leases"] != before
    });
    place.let_go();
    assert_eq!(holder.finish().0, 0);
}

// Holds lockheed-4.
#[test]
fn signals_end_a_waiter_at_once_and_leave_nothing() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a"], 0);
    let leases = place.json("x");
    for (signal, status) in [
        (Signal::SIGTERM, 143),
        (Signal::SIGINT, 130),
        (Signal::SIGHUP, 129),
    ] {
        for command in [
            &["-v", "run", "x", "--", "true"][..],
            &["-v", "acquire", "x", "--id", "b"],
        ] {
            let mut command = place.lockheed(command);
            let log = place.path("stderr");
            command.stderr(fs::File::create(&log).unwrap());
            let waiter = Kept(command.spawn().unwrap());
            eventually("it waits", || {
                fs::read_to_string(&log)
                    .unwrap()
                    .contains("waiting: it is held by \"a\"")
            });
            waiter.signal(signal);
            assert_eq!(waiter.finish().0, status);
        }
    }
    assert_eq!(place.json("x"), leases);
}

// Holds lockheed-6.
#[test]
fn signals_reach_the_command_and_the_lock_is_given_back_when_it_has_ended() {
    let place = Place::new();
    let begun = place.path("begun");
    let script = format!(
        "trap 'echo trapped; exit 5' TERM; echo >{}; while :; do sleep 0.02; done",
        begun.display()
    );
    let holder = place.start(&["run", "x", "--", "sh", "-c", &script]);
    content(&begun);
    assert_eq!(place.leases("x").len(), 1);
    holder.signal(Signal::SIGTERM);
    let (code, stdout, _) = holder.finish();
    assert_eq!((code, stdout.as_str()), (5, "trapped\n"));
    assert!(place.leases("x").is_empty());
}

#[test]
fn a_killed_guard_costs_the_work_and_is_125() {
    let place = Place::new();
    let (script, seconds) = lasting(&place, false);
    let holder = place.start(&["run", "x", "--duration", "1h", "--", "sh", "-c", &script]);
    begun(&place, &seconds);
    let children =
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.pid())).unwrap();
    let guard: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(guard), Signal::SIGKILL).unwrap();
    let (code, _, stderr) = holder.finish();
    assert_eq!(code, 125, "{stderr}");
    assert!(!runs(&seconds));
    assert!(place.leases("x").is_empty());
}
