//! The simulation finds nothing wrong with the lock, and does find what is wrong with broken ones.

use sim::{Flaw, hand_offs, run};

#[test]
fn no_promise_is_broken() {
    for seed in 0..300 {
        let outcome = run(seed, None, false);
        assert_eq!(
            outcome.violation, None,
            "seed {seed}: replay it with `cargo xtask sim --seed {seed}`"
        );
        assert!(outcome.acquired > 0, "seed {seed}");
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [1, 2, 3] {
        let outcome = run(seed, None, true);
        assert_eq!(run(seed, None, true), outcome);
        assert_ne!(run(seed + 1, None, false).digest, outcome.digest);
    }
}

/// Whether a broken lock breaks this promise within a few hundred histories.
fn breaks(flaw: Flaw, promise: &str) -> bool {
    let broken = |seed| run(seed, Some(flaw), false).violation;
    (0..500)
        .filter_map(broken)
        .any(|violation| violation.what.contains(promise))
}

#[test]
fn a_lock_that_skips_the_version_is_caught() {
    assert!(breaks(Flaw::SkipVersion, "acquired the lock while"));
}

#[test]
fn a_lock_that_skips_the_deadline_is_caught() {
    assert!(breaks(Flaw::IgnoreExpiry, "acquired the lock while"));
}

#[test]
fn a_lock_that_skips_reservations_is_caught() {
    assert!(breaks(Flaw::IgnoreReservation, "over a fresh reservation"));
}

#[test]
fn a_lock_that_leaves_writes_in_flight_is_caught() {
    assert!(breaks(Flaw::ForgetInFlight, "came back after"));
}

/// Attempts grow far slower than contenders, and nobody waits long for a free lock.
#[test]
fn many_waiters_do_not_storm_the_store() {
    for (contenders, attempts, median) in [(2, 1.5, 4.0), (10, 4.0, 4.0), (100, 10.0, 12.0)] {
        let seen = hand_offs(contenders, 1);
        assert!(
            seen.attempts <= attempts && seen.median <= median,
            "{contenders} contenders: {seen:?}"
        );
    }
}
