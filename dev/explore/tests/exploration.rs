//! The exploration finds no fault in the lock, visits many states, and finds the faults of broken
//! locks.

use explore::{Flaw, Kind, Setup, explore};

/// Checks that no promise is broken up to this depth, in at least this many states.
#[track_caller]
fn is_well(setup: &Setup, states: usize) {
    let report = explore(setup);
    if let Some(violation) = report.violation {
        panic!("{setup:?}\n{violation}");
    }
    assert_eq!(report.depth, setup.depth, "{setup:?}");
    assert!(
        report.states >= states,
        "{setup:?}: {} states",
        report.states
    );
    assert_eq!(report.served, report.states as u64 - beginnings(setup.kind));
}

/// How many states there are before anything has happened.
fn beginnings(kind: Kind) -> u64 {
    if kind == Kind::Pod { 1 } else { 2 }
}

#[test]
fn two_contenders_keep_every_promise() {
    let of_lockheed = [Kind::Mutex, Kind::Shared, Kind::Fair];
    for kind in of_lockheed {
        is_well(&Setup::new(kind, 2, 8), 6_000);
    }
    is_well(&Setup::new(Kind::Pod, 2, 9), 5_000);
}

#[test]
fn three_contenders_keep_every_promise() {
    for kind in [Kind::Mutex, Kind::Pod] {
        is_well(&Setup::new(kind, 3, 8), 5_000);
    }
}

/// Checks that the shortest history in which a broken lock breaks this promise has this many steps.
#[track_caller]
fn breaks(setup: &Setup, flaw: Flaw, steps: u32, promise: &str) {
    let setup = Setup {
        flaw: Some(flaw),
        served_of: u64::MAX,
        depth: steps,
        ..*setup
    };
    let violation = explore(&setup).violation;
    let violation = violation.unwrap_or_else(|| panic!("{setup:?}: nothing found"));
    println!("{:?}, {flaw:?}:\n{violation}\n", setup.kind);
    assert!(violation.what.contains(promise), "{setup:?}\n{violation}");
    let told = violation.story.len() - 1;
    assert_eq!(told, steps as usize, "{setup:?}\n{violation}");
}

fn with_faults(kind: Kind, faults: u8) -> Setup {
    Setup {
        faults,
        ..Setup::new(kind, 2, 0)
    }
}

#[test]
fn a_lock_that_skips_the_version_is_caught() {
    for kind in [Kind::Mutex, Kind::Shared, Kind::Fair] {
        let setup = with_faults(kind, 0);
        breaks(&setup, Flaw::SkipVersion, 10, "acquires the lock while");
    }
    let setup = with_faults(Kind::Pod, 0);
    breaks(&setup, Flaw::SkipVersion, 13, "of one who has left");
}

#[test]
fn a_lock_that_skips_the_deadline_is_caught() {
    let kinds = [
        (Kind::Mutex, 13),
        (Kind::Shared, 13),
        (Kind::Fair, 14),
        (Kind::Pod, 21),
    ];
    for (kind, steps) in kinds {
        let mut setup = with_faults(kind, 1);
        setup.only_pauses = true;
        breaks(&setup, Flaw::IgnoreExpiry, steps, "acquires the lock while");
    }
}

#[test]
fn a_lock_that_skips_reservations_is_caught() {
    let setup = with_faults(Kind::Mutex, 1);
    let promise = "over a fresh reservation";
    breaks(&setup, Flaw::IgnoreReservation, 5, promise);
}

#[test]
fn a_lock_that_leaves_writes_in_flight_is_caught() {
    for kind in Kind::ALL {
        let setup = with_faults(kind, 1);
        breaks(&setup, Flaw::ForgetInFlight, 5, "of one who has left");
    }
}
