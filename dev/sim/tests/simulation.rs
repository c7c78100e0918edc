//! The simulation finds no fault in the lock, and finds the faults of broken ones.

use std::{thread, time::Duration};

use sim::{Flaw, Kind, Line, Outage, endure, hand_offs, run, shrink};

const KINDS: [Kind; 8] = Kind::ALL;

// Holds lockheed-1, lockheed-5, cmlock-1.
#[test]
fn no_promise_is_broken() {
    let play = |kind: Kind| {
        for seed in 0..60 {
            let outcome = run(kind, seed, None, false);
            let again = format!("cargo xtask sim --lock {} --seed {seed}", kind.name());
            assert_eq!(outcome.violation, None, "replay it with `{again}`");
            assert!(outcome.acquired > 0, "{kind:?}, seed {seed}");
        }
    };
    thread::scope(|scope| {
        for kind in KINDS {
            scope.spawn(move || play(kind));
        }
    });
}

/// Both exclude each other, which means something only if both have had the lock.
#[test]
fn client_go_has_the_lock_of_a_lease_too() {
    for kind in [Kind::Lease, Kind::LeaseQueue] {
        let traces = (0..10).map(|seed| run(kind, seed, None, true).trace);
        let holders = traces.map(|trace| holders(&trace));
        let [mut to_go, mut from_go] = [0, 0];
        for holders in holders {
            for pair in holders.windows(2) {
                let is_go = |holder: &str| holder.starts_with("go-");
                match (is_go(&pair[0]), is_go(&pair[1])) {
                    (false, true) => to_go += 1,
                    (true, false) => from_go += 1,
                    _ => {}
                }
            }
        }
        assert!(to_go > 10 && from_go > 10, "{kind:?}: {to_go}, {from_go}");
    }
}

/// Who is named in the Lease, one after the other.
fn holders(trace: &[Line]) -> Vec<String> {
    let named = trace.iter().filter_map(|line| {
        let line = line.to_string();
        let (_, rest) = line.split_once(r#" {"acquireTime":"#)?;
        let (_, rest) = rest.split_once(r#""holderIdentity":""#)?;
        let (holder, _) = rest.split_once('"')?;
        (!holder.is_empty()).then(|| holder.to_owned())
    });
    let mut named: Vec<_> = named.collect();
    named.dedup();
    named
}

/// What is broken is seen on both sides: ours takes the lock too early, or keeps it for too long.
#[test]
fn a_lock_that_client_go_shares_is_checked_on_both_sides() {
    let breaks = |flaw, promise: fn(&str) -> bool| {
        let broken = |seed| run(Kind::Lease, seed, Some(flaw), false).violation;
        let mut violations = (0..500).filter_map(broken);
        assert!(violations.any(|violation| promise(&violation.what)));
    };
    breaks(Flaw::IgnoreExpiry, |what| what.starts_with("go-"));
    breaks(Flaw::TakeEarly, |what| {
        what.contains("acquired the lock while go-")
    });
}

#[test]
fn a_seed_replays_exactly() {
    for kind in KINDS {
        for seed in [1, 2, 3] {
            let outcome = run(kind, seed, None, true);
            assert_eq!(run(kind, seed, None, true), outcome);
            assert_ne!(run(kind, seed + 1, None, false).digest, outcome.digest);
        }
    }
}

/// What is broken on purpose is broken for all of lockheed's kinds alike.
const ONE_OF_EACH: [Kind; 4] = [Kind::Mutex, Kind::Queue, Kind::Lease, Kind::Pod];

/// Checks that a broken lock breaks this promise within a few hundred histories.
#[track_caller]
fn breaks(kinds: &[Kind], flaw: Flaw, promise: &str) {
    for kind in kinds {
        let broken = |seed| run(*kind, seed, Some(flaw), false).violation;
        let mut violations = (0..500).filter_map(broken);
        assert!(
            violations.any(|violation| violation.what.contains(promise)),
            "{kind:?}"
        );
    }
}

#[test]
fn a_lock_that_skips_the_version_is_caught() {
    breaks(&ONE_OF_EACH, Flaw::SkipVersion, "acquired the lock while");
}

#[test]
fn a_lock_that_skips_the_deadline_is_caught() {
    breaks(&ONE_OF_EACH, Flaw::IgnoreExpiry, "acquired the lock while");
}

#[test]
fn a_lock_that_takes_a_lease_too_early_is_caught() {
    breaks(&ONE_OF_EACH, Flaw::TakeEarly, "acquired the lock while");
}

#[test]
fn a_lock_that_skips_reservations_is_caught() {
    let mutex = [Kind::Mutex];
    breaks(&mutex, Flaw::IgnoreReservation, "over a fresh reservation");
}

#[test]
fn a_lock_that_leaves_writes_in_flight_is_caught() {
    breaks(&ONE_OF_EACH, Flaw::ForgetInFlight, "came back after");
}

/// Histories that once broke a promise.
// Holds lockheed-9.
#[test]
fn what_was_found_stays_mended() {
    const FOUND: [(Kind, u64); 8] = [
        (Kind::Mutex, 15),
        (Kind::Queue, 1),
        (Kind::Queue, 205),
        // client-go noticed no renewal within the same second.
        (Kind::Lease, 17),
        (Kind::LeaseQueue, 15),
        // Nor that of a member whose group's lease ended as before.
        (Kind::LeaseQueue, 1730),
        // The check was wrong: an undone acquisition was reported after the store was restored.
        (Kind::Shared, 7193),
        // The check was wrong: a refused creation says nothing about an earlier one.
        (Kind::Pod, 314_521),
    ];
    for (kind, seed) in FOUND {
        assert_eq!(
            run(kind, seed, None, false).violation,
            None,
            "{kind:?}, seed {seed}"
        );
    }
}

/// The story of a broken promise has everything that led to it, and no more.
#[test]
fn a_history_that_breaks_a_promise_is_told_in_short() {
    let flaw = Some(Flaw::SkipVersion);
    let breaks = |seed: &u64| run(Kind::Mutex, *seed, flaw, false).violation.is_some();
    let seed = (0..500).find(breaks).unwrap();
    let whole = run(Kind::Mutex, seed, flaw, true);
    let story = shrink(Kind::Mutex, seed, flaw).unwrap();
    assert!(story.faults < story.of, "{} of {}", story.faults, story.of);
    assert!(story.lines.len() * 2 < whole.trace.len(), "{story:#?}");
    let has_acquired = |line: &String| line.contains("says Acquired");
    assert!(story.lines.iter().any(has_acquired), "{story:#?}");
    // A history that breaks nothing has no story.
    assert!(shrink(Kind::Mutex, seed, None).is_none());
}

/// Attempts grow far more slowly than contenders. A free lock is not free for long, and a contender
/// that comes back at once does not keep waiters from it.
// Holds lockheed-8.
#[test]
fn many_waiters_do_not_storm_the_store() {
    for kind in [Kind::Mutex, Kind::Pod] {
        for (contenders, attempts) in [(2, 2.0), (10, 4.0), (100, 10.0)] {
            for seed in 1..=2 {
                let seen = hand_offs(kind, contenders, seed);
                assert!(
                    seen.attempts <= attempts
                        && seen.median <= 4.0
                        && seen.slowest <= 10.0
                        && (contenders == 2 || seen.handed_on >= 40),
                    "{kind:?}, {contenders} contenders, seed {seed}: {seen:?}"
                );
            }
        }
    }
}

/// A claim, and a place for a contender that comes back. More writes come from the time in which
/// all start at once.
#[test]
fn those_who_wait_in_turn_do_not_disturb_each_other() {
    for (contenders, attempts) in [(2, 3.0), (10, 4.0), (30, 4.0)] {
        let seen = hand_offs(Kind::Fair, contenders, 1);
        assert!(
            seen.attempts <= attempts && seen.median <= 2.0 && seen.slowest <= 4.0,
            "{contenders} contenders: {seen:?}"
        );
    }
}

/// Whatever fails for waiters and holders: there is no hot loop, each state is reported once, and
/// everything continues when it works again.
// Holds lockheed-8.
#[test]
fn each_kind_of_request_may_fail_for_a_minute_in_each_way() {
    for kind in [Kind::Mutex, Kind::Fair, Kind::Pod] {
        for (seed, outage) in (0..).zip(Outage::all()) {
            for hold in [2, 100].map(Duration::from_secs) {
                let case = format!("{kind:?}, {outage:?}, held {hold:?}, seed {seed}");
                let endured = endure(kind, outage, hold, seed);
                let endured = endured.unwrap_or_else(|violation| panic!("{case}: {violation}"));
                assert!(
                    endured.requests <= 320 && endured.told <= 6,
                    "{case}: {endured:?}"
                );
            }
        }
    }
}
