//! Runs the real lease engine and its protocols through every possible history up to a number of
//! steps.
//!
//! `sim` runs long random histories. This crate runs short ones, and leaves none out. Two or three
//! contenders want one lock, and at each step everything happens that can:
//!
//! - A request arrives, or its answer, or neither. The server refuses it. A write arrives after its
//!   sender has given up.
//! - A watch reports a change, or ends.
//! - Time moves on, and a contender may miss its wake-up.
//! - A contender dies, alone or with its Pod, and comes back with another ID. It gives up, or
//!   releases the lock.
//! - A Go program announces a write. Somebody removes an object that nobody needs.
//!
//! In every state, at most one contender believes to hold the lock, tokens have risen, and a
//! contender that says it has left has left nothing behind. From there on, once nothing fails any
//! more, everybody is served.
//!
//! The search visits states in order of depth, so it reports a broken promise with one of the
//! shortest histories that break it. The part in which nothing fails any more is added to that.
//!
//! # Limits
//!
//! - A history has a limited number of faults, two by default. Each of these is one: a request that
//!   is not answered or is refused, a watch that ends, a contender that misses its wake-up or dies,
//!   a cancellation, an announced write, and a removed object. A slow answer, event or late write
//!   is no fault.
//! - Time has whole seconds. It moves on to the next second at which somebody wants to wake; a
//!   wake-up within a second comes at its end. All clocks run alike, and there is one server.
//! - Random choices in an engine follow from a seed, which follows from its ID.
//! - Each contender waits forever, holds the lock once, and has two lives. Contenders are alike, so
//!   they start in one order the first time.
//! - States are identified by 64 bits. Among a hundred million, the probability that two are
//!   confused is below a thousandth.
//! - Times and versions count from the beginning. So histories meet if the same things happen in
//!   another order, but not if they happen again later.
//! - The state of a fair lock has a table in random order, so the number of its engine states
//!   varies a little.
//!
//! # Why this is not `stateright`
//!
//! That crate needs a world that can be copied, hashed and compared. An engine is large, and can
//! only be printed. Here each engine state has a number instead, and the effect of an input is
//! computed once for all worlds; see `automaton`. A world is then a few numbers. What remains is a
//! breadth-first search: `search`.

mod action;
mod automaton;
mod check;
mod fair;
mod io;
mod lock;
mod print;
mod search;
mod server;
mod story;
mod time;
mod world;

use std::{fmt, time::Duration};

pub use sim::Flaw;

/// The kinds of locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// lockheed's, with one holder.
    Mutex,
    /// lockheed's: the first contender is a writer, the others are readers.
    Shared,
    /// lockheed's, with a queue.
    Fair,
    /// cmlock's.
    Pod,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Mutex, Self::Shared, Self::Fair, Self::Pod];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::Shared => "shared",
            Self::Fair => "fair",
            Self::Pod => "pod",
        }
    }

    /// Whether this contender holds the lock exclusively.
    fn is_alone(self, contender: u8) -> bool {
        self != Self::Shared || contender == 0
    }
}

/// What to explore, and how far.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The lock.
    pub kind: Kind,
    /// The number of contenders.
    pub contenders: u8,
    /// The largest number of faults in a history.
    pub faults: u8,
    /// The only faults are contenders that wake too late.
    pub only_pauses: bool,
    /// How often each contender starts at most: again after a crash or a failure.
    pub lives: u8,
    /// The largest number of steps in a history.
    pub depth: u32,
    /// One in this many states is checked for whether all are served from it.
    pub served_of: u64,
    /// When to stop, however far the exploration is.
    pub limit: Option<Duration>,
    /// What to break on purpose.
    pub flaw: Option<Flaw>,
}

impl Setup {
    /// A setup with two faults, and with all checks in every state.
    #[must_use]
    pub fn new(kind: Kind, contenders: u8, depth: u32) -> Self {
        Self {
            kind,
            contenders,
            faults: 2,
            only_pauses: false,
            lives: 2,
            depth,
            served_of: 1,
            limit: None,
            flaw: None,
        }
    }
}

/// The result of an exploration.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The number of states.
    pub states: usize,
    /// The number of steps between states.
    pub transitions: u64,
    /// Everything up to this depth was seen.
    pub depth: u32,
    /// There are no more states at any depth.
    pub is_all: bool,
    /// From how many states it was checked that all are served.
    pub served: u64,
    /// The number of states of the engines.
    pub engine_states: usize,
    /// How long it took.
    pub took: Duration,
    /// What was broken, if anything was.
    pub violation: Option<Violation>,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub what: String,
    /// How it came about, one line per step.
    pub story: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.story {
            writeln!(f, "{line}")?;
        }
        f.write_str(&self.what)
    }
}

/// Explores all histories.
#[must_use]
pub fn explore(setup: &Setup) -> Report {
    match setup.kind {
        Kind::Pod => search::search::<lock::OfPods>(setup),
        Kind::Mutex | Kind::Shared | Kind::Fair => search::search::<lock::OfLockheed>(setup),
    }
}
