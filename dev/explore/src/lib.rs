//! The real lease engine and its protocols, in every history that there can be, up to a number of
//! steps.
//!
//! `sim` plays long histories at random. This plays short ones, and leaves none out. Two or three
//! contenders want one lock, and at each step everything happens that can:
//!
//! - A request arrives, or its answer, or neither; the server refuses it; a write arrives after its sender has given up.
//! - A watch tells of a change, or ends.
//! - Time goes on, and somebody sleeps through the moment at which it wanted to wake.
//! - A contender dies, alone or with its Pod, and comes back under another ID. It wants the lock no more, or releases it.
//! - A Go program announces a write. Somebody removes an object that nobody needs.
//!
//! In every state at most one believes to hold the lock, tokens have risen, and who says that it
//! has left has left nothing. From there on, once nothing fails any more, everybody is served.
//! States are visited in the order of their depth, so that a broken promise is told with one of the
//! shortest histories that break it; the part in which nothing fails any more comes on top of that.
//!
//! # Limits
//!
//! - A history has a number of faults at most, two where nothing else is said. Each of these is one: a request that is not answered or
//!   is refused, a watch that ends, a contender that oversleeps or dies, a cancellation, an announced write, and a removed object. An
//!   answer, an event or a late write may take as long as it likes at no cost.
//! - Time has whole seconds. It goes on to the first at which somebody wants to wake; who wants to wake within one wakes at its end. All
//!   clocks go alike, and there is one server.
//! - What is random in an engine follows from a seed, which follows from its ID.
//! - Each contender waits for ever, holds the lock once, and has two lives. They are alike, so that they begin in one order the first time.
//! - States are told apart by 64 bits. In a hundred million, two are taken for one with a probability below a thousandth.
//! - Times and versions count from the beginning. So histories meet where the same has happened in another order, and not where the same
//!   happens again later.
//! - The state of a fair lock has a table whose order is random, so that the number of its engines' states differs a little each time.
//!
//! # Why this is not `stateright`
//!
//! That crate wants a world that can be copied, hashed and compared. An engine is large, and can
//! only be shown. Here each state of an engine has a number instead, and what it does with an input
//! is found out once, in however many worlds it is; see `automaton`. So a world is a few numbers,
//! and what remains to be done, a search by breadth, is `search`.

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
    /// lockheed's, held by one.
    Mutex,
    /// lockheed's: the first contender is a writer, the others are readers.
    Shared,
    /// lockheed's, waited for in turn.
    Fair,
    /// cmlock's.
    Pod,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Mutex, Self::Shared, Self::Fair, Self::Pod];

    /// On the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::Shared => "shared",
            Self::Fair => "fair",
            Self::Pod => "pod",
        }
    }

    /// Whether this contender holds it alone.
    fn is_alone(self, contender: u8) -> bool {
        self != Self::Shared || contender == 0
    }
}

/// What is explored, and how far.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The lock.
    pub kind: Kind,
    /// How many want it.
    pub contenders: u8,
    /// How many faults a history has at most.
    pub faults: u8,
    /// The only faults are contenders who wake too late.
    pub only_pauses: bool,
    /// How often each contender begins at most: again after a crash, or a failure.
    pub lives: u8,
    /// How many steps a history has at most.
    pub depth: u32,
    /// It is looked at from one of so many states whether all are served.
    pub served_of: u64,
    /// When to stop, wherever it is then.
    pub limit: Option<Duration>,
    /// What is broken on purpose.
    pub flaw: Option<Flaw>,
}

impl Setup {
    /// With two faults, and in every state all that is checked.
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

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many states.
    pub states: usize,
    /// How many steps from one to another.
    pub transitions: u64,
    /// Up to so many steps everything was seen.
    pub depth: u32,
    /// There is nothing more at any depth.
    pub is_all: bool,
    /// From how many states it was looked at whether all are served.
    pub served: u64,
    /// In how many states the engines were.
    pub engine_states: usize,
    /// How long it took.
    pub took: Duration,
    /// What was broken, if anything was.
    pub violation: Option<Violation>,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub what: String,
    /// How it came to it, a line for each step.
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

/// Goes through all histories.
#[must_use]
pub fn explore(setup: &Setup) -> Report {
    match setup.kind {
        Kind::Pod => search::search::<lock::OfPods>(setup),
        Kind::Mutex | Kind::Shared | Kind::Fair => search::search::<lock::OfLockheed>(setup),
    }
}
