//! client-go's leader election on the same Lease: no two leaders work at once, and a leader that is
//! gone is followed in time.
//!
//! The program is `xtask/kube/leader`. It gives up its lease `retry` plus `renew` after its last
//! renewal, which is before the lease is over.

use std::{
    env, fs,
    os::unix::process::CommandExt,
    path::Path,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use coord_core::boottime;
use lockheed::Timestamp;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testkit::{
    eventually,
    process::{Kept, number_in},
};

use super::super::{
    Place,
    commands::run_on,
    contend,
    crash::{Holder, LEASE, NEXT, began, next_by},
};

/// How much a loaded machine may add to what is documented.
const SLACK: Duration = Duration::from_secs(2);

const THEIR_LEASE: Duration = Duration::from_secs(3);
const RENEW: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(200);

/// Before a try it waits for `RETRY`, and up to 1.2 times `RETRY` more.
const LATE: Duration = Duration::from_millis(440);

/// It works until it is ended. Its successor checks whether it still does.
const WORK: &str = "echo $$ >second; echo $$ >third; echo $$ >first; exec sleep 100000";

fn leader(place: &Place, id: &str) -> Command {
    leader_for(place, id, [THEIR_LEASE, RENEW, RETRY])
}

fn leader_for(place: &Place, id: &str, times: [Duration; 3]) -> Command {
    let program = env::var_os("TESTKIT_LEADER").expect("`cargo xtask test` builds it");
    let mut command = Command::new(program);
    command.arg("-kubeconfig").arg(&place.user);
    command.args(["-namespace", place.namespace.name(), "-id", id]);
    for (option, time) in ["-lease", "-renew", "-retry"].into_iter().zip(times) {
        command.args([option, &format!("{}ms", time.as_millis())]);
    }
    command
}

fn start(mut leader: Command, directory: &Path, script: &str) -> Kept {
    leader
        .args(["x", "sh", "-c", script])
        .current_dir(directory);
    let log = fs::File::create(directory.join("leader-log")).unwrap();
    Kept::spawn(leader.stderr(log).process_group(0))
}

fn contends(directory: &Path) {
    eventually("the leader to be contends", || {
        let log = fs::read_to_string(directory.join("leader-log")).unwrap();
        log.contains("Attempting to acquire leader lease")
    });
}

fn holder(place: &Place) -> String {
    let holder = place.object("x")["spec"]["holderIdentity"].clone();
    holder.as_str().unwrap_or_default().to_owned()
}

/// When the lease was last renewed, on `CLOCK_BOOTTIME`. The holder's clock is this machine's.
fn renewed(place: &Place) -> Duration {
    let time = place.object("x")["spec"]["renewTime"].clone();
    let time: Timestamp = time.as_str().unwrap().parse().unwrap();
    let (wall, boot) = (SystemTime::now(), boottime());
    boot - (wall.duration_since(UNIX_EPOCH).unwrap() - time.since_unix())
}

// Holds lockheed-1.
#[test]
#[ignore = "no cluster"]
fn sections_of_ours_and_of_theirs_never_overlap() {
    const EACH: usize = 4;
    let (place, directory) = (Place::of_leases(), contend::directory());
    let ours = |number| {
        let mut program = place.lockheed();
        program.args(["-v", "run", "x", "--duration", "1500ms", "--"]);
        contend::worker_by(&program, directory.path(), number, 25)
    };
    let theirs = |number| {
        let mut program = leader(&place, &format!("leader-{number}"));
        program.arg("x");
        contend::worker_by(&program, directory.path(), number, 5)
    };
    let workers = (0..EACH).map(ours).chain((EACH..2 * EACH).map(theirs));
    contend::wait_for(workers.collect(), directory.path());
    let done = contend::done(directory.path());
    for worker in 0..2 * EACH {
        let expected = if worker < EACH { 25 } else { 5 };
        let sections = done.iter().filter(|it| **it == worker).count();
        assert_eq!(sections, expected, "worker {worker}");
    }
    let handed = |from_ours: bool| {
        let from = |it: &usize| (*it < EACH) == from_ours;
        let pairs = done.windows(2);
        pairs.filter(|two| from(&two[0]) && !from(&two[1])).count()
    };
    println!("{} times to theirs, {} back", handed(true), handed(false));
    assert!(handed(true) > 0 && handed(false) > 0, "{done:?}");
    assert_eq!(holder(&place), "");
}

#[test]
#[ignore = "no cluster"]
fn a_killed_leader_is_followed_when_its_lease_was_seen_for_its_length() {
    let (place, directory) = (Place::of_leases(), tempfile::tempdir().unwrap());
    let mut leader = start(leader(&place, "leader"), directory.path(), WORK);
    assert!(number_in(&directory.path().join("first")) > 0);
    let (mut waiting, next) = next_by(place.lockheed(), directory.path());
    let first = renewed(&place);
    eventually("it has renewed", || renewed(&place) > first);
    leader.signal(Signal::SIGKILL);
    leader.0.wait().unwrap();
    let (killed, renewed) = (boottime(), renewed(&place));
    let next = began(&next);
    // The file has hundredths of a second.
    assert!(next + Duration::from_millis(10) >= renewed + THEIR_LEASE);
    assert!(next <= killed + THEIR_LEASE + SLACK, "{:?}", next - killed);
    assert!(waiting.0.wait().unwrap().success());
}

#[test]
#[ignore = "no cluster"]
fn a_leader_follows_a_killed_holder_of_ours_when_that_has_ended() {
    let place = Place::of_leases();
    let mut holder = Holder::by(place.lockheed(), &[]);
    let directory = holder.directory.path();
    let mut leader = start(leader(&place, "leader"), directory, NEXT);
    contends(directory);
    holder.process.signal(Signal::SIGKILL);
    let killed = boottime();
    holder.process.0.wait().unwrap();
    eventually("the whole tree is gone", || !holder.is_running());
    let next = began(&holder.directory.path().join("next"));
    let latest = killed + LEASE + LATE + SLACK;
    assert!(next <= latest, "{:?} too late", next - latest);
    assert_eq!(leader.status(), 0);
}

#[test]
#[ignore = "no cluster"]
fn a_leader_follows_a_stopped_holder_of_ours_when_that_has_ended() {
    let place = Place::of_leases();
    let mut holder = Holder::by(place.lockheed(), &[]);
    let mut leader = start(leader(&place, "leader"), holder.directory.path(), NEXT);
    holder.process.signal(Signal::SIGSTOP);
    let stopped = boottime();
    holder.assert_over_by(stopped + LEASE);
    let next = began(&holder.directory.path().join("next"));
    let latest = stopped + LEASE + LATE + SLACK;
    assert!(next <= latest, "{:?} too late", next - latest);
    assert_eq!(leader.status(), 0);
    holder.process.signal(Signal::SIGCONT);
    let status = holder.process.0.wait().unwrap();
    assert_eq!(status.code(), Some(122), "{}", holder.log());
}

/// It has no guard: when it continues, it takes `renew` to notice that it is no longer the leader.
/// It cannot renew. But if it was stopped during a renewal, it releases the lease that it takes for
/// its own, and our holder is told.
#[test]
#[ignore = "no cluster"]
fn a_stopped_leader_is_followed_and_cannot_take_the_lease_back() {
    let (place, directory) = (Place::of_leases(), tempfile::tempdir().unwrap());
    let mut leader = start(leader(&place, "leader"), directory.path(), WORK);
    let work = Pid::from_raw(number_in(&directory.path().join("first")));
    leader.signal(Signal::SIGSTOP);
    kill(work, Signal::SIGSTOP).unwrap();
    let stopped = boottime();
    let script =
        "cut -d' ' -f1 /proc/uptime | tr -d . >next; while ! [ -e end ]; do sleep 0.05; done";
    let mut ours = place.lockheed();
    ours.args(["run", "x", "--", "sh", "-c", script]);
    let mut ours = Kept::spawn(ours.current_dir(directory.path()));
    let next = began(&directory.path().join("next"));
    assert!(
        next <= stopped + THEIR_LEASE + SLACK,
        "{:?}",
        next - stopped
    );
    let us = holder(&place);
    assert_ne!(us, "leader");
    kill(work, Signal::SIGCONT).unwrap();
    leader.signal(Signal::SIGCONT);
    let resumed = boottime();
    assert_eq!(leader.status(), 3);
    let took = boottime() - resumed;
    assert!(took <= RENEW + LATE + SLACK, "{took:?}");
    let holder = holder(&place);
    let status = if holder == us { 0 } else { 122 };
    assert!(holder == us || holder.is_empty(), "{holder}");
    if status == 0 {
        fs::write(directory.path().join("end"), "").unwrap();
    }
    assert_eq!(ours.status(), status);
}

/// This happens long before the released leases would be over.
#[test]
#[ignore = "no cluster"]
fn whoever_releases_is_followed_at_once() {
    let (place, directory) = (Place::of_leases(), tempfile::tempdir().unwrap());
    let acquired = run_on(&place, &["acquire", "x", "--id", "us", "--duration", "1h"]);
    assert_eq!(acquired.0, Some(0));
    let times = [Duration::from_secs(600), Duration::from_secs(500), RETRY];
    let leader = leader_for(&place, "leader", times);
    let mut leader = start(
        leader,
        directory.path(),
        "while ! [ -e end ]; do sleep 0.05; done",
    );
    contends(directory.path());
    assert_eq!(holder(&place), "us");
    let release = || run_on(&place, &["release", "x", "--id", "us"]).0;
    assert_eq!(release(), Some(0));
    eventually("theirs follows", || holder(&place) == "leader");
    assert_eq!(
        run_on(&place, &["acquire", "x", "--id", "us", "--no-wait"]).0,
        Some(16)
    );
    let mut waiting = place.lockheed();
    waiting.args(["acquire", "x", "--id", "us", "--wait", "60s"]);
    let mut waiting = Kept::spawn(&mut waiting);
    fs::write(directory.path().join("end"), "").unwrap();
    assert_eq!(leader.status(), 0);
    assert_eq!(waiting.status(), 0);
    assert_eq!(holder(&place), "us");
    assert_eq!(place.object("x")["spec"]["leaseTransitions"], 2);
}
