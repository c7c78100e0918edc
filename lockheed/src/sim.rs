//! The simulation: the real locking logic, in virtual time, over a network that loses and delays, with holders that stop and die.
//!
//! One seed gives one history, exactly. While faults last, requests and answers are lost or late, nodes are cut off, watches fall silent
//! or end, holders pause longer than their leases and die, the servers' clocks step, and writers in the manner of Go programs reserve, take
//! and abandon the lock. Then faults stop, and everybody must be served.

mod check;
mod go;
mod network;
mod node;
mod world;

use std::time::Duration;

use crate::machine;
pub use check::Violation;
use world::World;

/// A lock that is broken on purpose, to see that the simulation finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Writes replace whatever is there.
    NoVersion,
    /// A holder believes on when its lease is over.
    NoDeadline,
    /// Reservations are not deferred to.
    NoReservation,
}

/// What came of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What went wrong first, if anything did.
    pub violation: Option<Violation>,
    /// How often the lock was acquired.
    pub acquired: u32,
    /// How often it was lost to a deadline or to somebody else.
    pub lost: u32,
    /// How many requests were sent.
    pub requests: u64,
    /// Tells one history from another.
    pub digest: u64,
    /// What happened, a line each; empty unless it was asked for.
    pub trace: Vec<String>,
}

/// Plays the history of a seed.
#[must_use]
pub fn run(seed: u64, flaw: Option<Flaw>, trace: bool) -> Outcome {
    let mut world = World::new(seed, flaw.map(Flaw::inner), trace);
    let violation = world.play().err();
    world.outcome(violation)
}

impl Flaw {
    fn inner(self) -> machine::Flaw {
        match self {
            Self::NoVersion => machine::Flaw::NoVersion,
            Self::NoDeadline => machine::Flaw::NoDeadline,
            Self::NoReservation => machine::Flaw::NoReservation,
        }
    }
}

/// When faults stop.
const FAULTS_END: Duration = Duration::from_secs(180);

/// When everybody must have been served after that.
const SERVED_BY: Duration = Duration::from_secs(400);

/// How far clocks may be apart, as the contenders are told.
const SKEW: Duration = Duration::from_secs(5);
