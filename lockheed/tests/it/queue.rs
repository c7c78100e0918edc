//! Waiters for a lock in a directory get it in order of arrival. A waiter that dies or is stopped
//! in the queue delays nobody.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use testkit::{
    eventually,
    process::{Kept, assert_sleeps, is_alive},
};

use crate::support::{Place, runs, unique};

/// Locks on `.waiting` as the kernel shows them (`proc_locks(5)`): how many have a turn, and how
/// many wait for one.
fn line(place: &Place) -> (usize, usize) {
    let Ok(file) = fs::metadata(place.locks().join(".waiting")) else {
        return (0, 0);
    };
    let inode = format!(":{} ", file.ino());
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let of_file = locks.lines().filter(|line| line.contains(&inode));
    let (waiting, turns): (Vec<_>, Vec<_>) = of_file.partition(|line| line.contains("-> "));
    (turns.len(), waiting.len())
}

/// A waiter that writes down its number, with `before` others already in the queue.
fn waiter(place: &Place, number: usize, before: usize) -> Kept {
    let script = format!("echo {number} >>{}", place.path("order").display());
    let waiter = place.start(&["run", "x", "--", "sh", "-c", &script]);
    eventually("it waits", || line(place).1 == before + 1);
    waiter
}

fn order(place: &Place) -> Vec<usize> {
    let text = fs::read_to_string(place.path("order")).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn served(waiter: Kept) {
    let (code, _, stderr) = waiter.finish();
    assert_eq!(code, 0, "{stderr}");
}

// Holds lockheed-8.
#[test]
fn waiters_are_served_in_order_of_arrival() {
    let place = Place::new();
    let holder = place.hold("1m");
    let waiters: Vec<_> = (0..12)
        .map(|number| waiter(&place, number, number))
        .collect();
    place.let_go();
    served(holder);
    waiters.into_iter().for_each(served);
    assert_eq!(order(&place), (0..12).collect::<Vec<_>>());
}

/// Each hand-off takes one write to release and one to acquire, however many wait.
// Holds lockheed-8.
#[test]
fn nobody_writes_but_who_takes_the_lock_and_gives_it_back() {
    let place = Place::new();
    let version = || place.json("x")["store"]["version"].as_u64().unwrap();
    place.expect(&["acquire", "x", "--id", "a"], 0);
    let before = version();
    let first = place.start(&["run", "x", "--", "true"]);
    eventually("it has the turn", || line(&place) == (1, 0));
    let waiters: Vec<_> = (0..10)
        .map(|number| waiter(&place, number, number))
        .collect();
    place.expect(&["release", "x", "--id", "a"], 0);
    served(first);
    waiters.into_iter().for_each(served);
    assert_eq!(version() - before, 1 + 2 * 11);
}

// Holds lockheed-8.
#[test]
fn whoever_is_killed_or_stopped_in_the_queue_keeps_nobody_waiting() {
    let place = Place::new();
    let holder = place.hold("1m");
    let mut waiters: Vec<_> = (0..5)
        .map(|number| waiter(&place, number, number))
        .collect();
    let killed = waiters.remove(2);
    killed.signal(Signal::SIGKILL);
    // The kernel requeues those behind it one after another. If a waiter leaves meanwhile, their
    // order may change.
    eventually("it is out of the queue", || line(&place).1 == 4);
    let stopped = waiters.remove(1);
    stopped.signal(Signal::SIGSTOP);
    eventually("this one, too", || line(&place).1 == 3);
    place.let_go();
    served(holder);
    waiters.into_iter().for_each(served);
    assert_eq!(order(&place), [0, 3, 4]);
    assert!(is_alive(stopped.pid()));
    stopped.signal(Signal::SIGCONT);
    served(stopped);
    assert_eq!(order(&place), [0, 3, 4, 1]);
}

#[test]
fn whoever_is_stopped_when_its_turn_comes_is_passed() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a", "--duration", "1h"], 0);
    let stopped = place.start(&["run", "x", "--", "true"]);
    eventually("it has the turn", || line(&place) == (1, 0));
    let waiters: Vec<_> = (0..5)
        .map(|number| waiter(&place, number, number))
        .collect();
    stopped.signal(Signal::SIGSTOP);
    place.expect(&["release", "x", "--id", "a"], 0);
    waiters.into_iter().for_each(served);
    let mut passed = order(&place);
    passed.sort_unstable();
    assert_eq!(passed, [0, 1, 2, 3, 4]);
    stopped.signal(Signal::SIGCONT);
    served(stopped);
}

/// When its lease ends, so does its turn.
#[test]
fn a_holder_that_is_stopped_keeps_nobody_waiting_for_longer_than_its_lease() {
    let place = Place::new();
    let holder = place.start(&["run", "x", "--duration", "3s", "--", "sleep", "1000"]);
    eventually("it holds the lock", || {
        place.leases("x").len() == 1 && line(&place) == (1, 0)
    });
    let waiters: Vec<_> = (0..5)
        .map(|number| waiter(&place, number, number))
        .collect();
    holder.signal(Signal::SIGSTOP);
    waiters.into_iter().for_each(served);
    holder.signal(Signal::SIGCONT);
    assert_eq!(holder.finish().0, 122);
}

#[test]
fn a_newcomer_does_not_overtake_those_who_wait() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a", "--duration", "1h"], 0);
    let next = place.start(&["run", "x", "--", "true"]);
    eventually("it has the turn", || line(&place) == (1, 0));
    next.signal(Signal::SIGSTOP);
    place.expect(&["release", "x", "--id", "a"], 0);
    place.expect(&["acquire", "x", "--id", "new", "--wait", "200ms"], 110);
    next.signal(Signal::SIGCONT);
    served(next);
    place.expect(&["acquire", "x", "--id", "new", "--no-wait"], 0);
}

#[test]
fn whoever_gives_up_leaves_the_queue() {
    let place = Place::new();
    let holder = place.hold("1m");
    let gives_up = place.start(&["run", "x", "--wait", "500ms", "--", "true"]);
    eventually("it waits", || line(&place).1 == 1);
    let patient = waiter(&place, 0, 1);
    assert_eq!(gives_up.finish().0, 124);
    eventually("it has left", || line(&place).1 == 1);
    patient.signal(Signal::SIGTERM);
    assert_eq!(patient.finish().0, 143);
    place.let_go();
    served(holder);
    let started = Instant::now();
    place.expect(&["run", "x", "--", "true"], 0);
    assert!(started.elapsed() < Duration::from_secs(60));
}

/// A program that retries again and again has one thread in the queue, not one per try.
#[test]
fn tries_that_were_given_up_do_not_pile_up() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a", "--duration", "1h"], 0);
    let next = place.start(&["run", "x", "--", "true"]);
    eventually("it has the turn", || line(&place) == (1, 0));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = lockheed::DirStore::open(place.locks()).unwrap();
    let lock = lockheed::Lock::new(store, "x".parse().unwrap());
    runtime.block_on(async {
        for _ in 0..5 {
            assert!(
                lock.acquire_within(Duration::from_millis(300))
                    .await
                    .is_err()
            );
            eventually("there is one", || line(&place) == (1, 1));
        }
    });
    place.expect(&["release", "x", "--id", "a"], 0);
    served(next);
    eventually("nobody is left", || line(&place) == (0, 0));
}

#[test]
fn a_holder_sleeps_while_nothing_changes() {
    let (place, seconds) = (Place::new(), unique());
    let script = format!("exec sleep {seconds}");
    let holder = place.start(&["run", "x", "--", "sh", "-c", &script]);
    eventually("it holds the lock", || runs(&seconds));
    let pid = holder.pid();
    // The guard is its only child.
    let guard = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    assert_sleeps(&[pid, guard.trim().parse().unwrap()]);
}
