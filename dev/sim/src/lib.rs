//! Runs the real lease engine and its protocols in virtual time, over a network that loses and
//! delays messages, with holders that pause and die.
//!
//! A seed determines a history exactly. While faults last:
//! - Requests and answers are lost, late or doubled.
//! - Nodes are cut off, or not allowed to do anything. One kind of request fails.
//! - Watches fall silent, lag or end.
//! - Holders die, or pause for longer than their leases.
//! - The servers' clocks step. The store is restored to an earlier state.
//! - Writers like Go programs reserve, take and abandon the lock. A program with client-go's leader
//!   election competes for a Lease.
//!
//! Then the faults stop, and everybody must be served.

mod broken;
mod check;
mod client_go;
mod crowd;
mod event;
mod fate;
mod faults;
mod game;
mod go;
mod lease;
mod mutex;
mod network;
mod node;
mod objects;
mod outage;
mod pods;
mod server;
mod shrink;
mod trace;
mod world;

use std::time::Duration;

pub use broken::Broken;
pub use check::Violation;
use faults::LeftOut;
use lease::LeaseObject;
use lockheed::store::Object;
use mutex::MutexGame;
pub use outage::{Asked, Endured, Failing, Outage};
use pods::PodGame;
pub use shrink::{Story, shrink};
pub use trace::Line;
use world::World;

/// What the simulation breaks on purpose, to test that it finds it. The lock itself does not know
/// about this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Writes replace any version.
    SkipVersion,
    /// A holder still believes in its lease after the end.
    IgnoreExpiry,
    /// A lease counts as over a second before its end.
    TakeEarly,
    /// Reservations are ignored.
    IgnoreReservation,
    /// A contender that gives up ignores its writes that may still be done.
    ForgetInFlight,
}

/// The result of one seed.
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
    /// Distinguishes histories.
    pub digest: u64,
    /// How many faults happened.
    pub faults: u32,
    /// What happened, one line each; empty unless it was requested.
    pub trace: Vec<Line>,
}

/// The kinds of locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// lockheed's, with one holder.
    Mutex,
    /// lockheed's, with readers and writers.
    Shared,
    /// lockheed's, with two slots.
    Slots,
    /// lockheed's, with one holder and a queue.
    Fair,
    /// lockheed's, with readers and writers, and a queue with priorities.
    Queue,
    /// lockheed's in a Lease, with one holder.
    Lease,
    /// lockheed's in a Lease, with readers and writers, and a queue with priorities.
    LeaseQueue,
    /// cmlock's.
    Pod,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Mutex,
        Self::Shared,
        Self::Slots,
        Self::Fair,
        Self::Queue,
        Self::Lease,
        Self::LeaseQueue,
        Self::Pod,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::Shared => "shared",
            Self::Slots => "slots",
            Self::Fair => "fair",
            Self::Queue => "queue",
            Self::Lease => "lease",
            Self::LeaseQueue => "lease-queue",
            Self::Pod => "pod",
        }
    }
}

/// Does this with the game of a kind.
macro_rules! game {
    ($kind:expr, $game:ident => $do:expr) => {
        match $kind {
            Kind::Pod => {
                type $game = PodGame;
                $do
            }
            Kind::Lease | Kind::LeaseQueue => {
                type $game = MutexGame<LeaseObject>;
                $do
            }
            Kind::Mutex | Kind::Shared | Kind::Slots | Kind::Fair | Kind::Queue => {
                type $game = MutexGame<Object>;
                $do
            }
        }
    };
}

/// Runs the history of a seed.
#[must_use]
pub fn run(kind: Kind, seed: u64, flaw: Option<Flaw>, trace: bool) -> Outcome {
    run_without(kind, seed, flaw, trace, &LeftOut::default())
}

fn run_without(
    kind: Kind,
    seed: u64,
    flaw: Option<Flaw>,
    trace: bool,
    left_out: &LeftOut,
) -> Outcome {
    game!(kind, G => play::<G>(kind, seed, flaw, trace, left_out))
}

fn play<G: game::Game>(
    kind: Kind,
    seed: u64,
    flaw: Option<Flaw>,
    trace: bool,
    left_out: &LeftOut,
) -> Outcome {
    let mut world = World::<G>::new(kind, seed, flaw, trace, left_out);
    let violation = world.play().err();
    world.outcome(violation)
}

/// The cost of hand-offs.
#[derive(Clone, Debug, PartialEq)]
pub struct HandOffs {
    /// How many writes were tried for each hand-off, not counting the release.
    pub attempts: f64,
    /// How long the lock was free, as a median, in units of one write.
    pub median: f64,
    /// The same for the slowest of a hundred.
    pub slowest: f64,
    /// How many of a hundred went to another contender, not to one that came back at once.
    pub handed_on: usize,
}

/// Lets this many contenders hand a lock around, without faults.
///
/// # Panics
/// When a promise is broken.
#[must_use]
pub fn hand_offs(kind: Kind, contenders: usize, seed: u64) -> HandOffs {
    game!(kind, G => hand_around::<G>(kind, contenders, seed))
}

fn hand_around<G: game::Game>(kind: Kind, contenders: usize, seed: u64) -> HandOffs {
    const COUNT: u32 = 300;
    let mut world = World::<G>::crowd(kind, contenders, seed);
    if let Err(violation) = world.play_hand_offs(COUNT as usize) {
        panic!("{violation}");
    }
    let handed_on = world.handed_on * 100 / COUNT as usize;
    let mut times = std::mem::take(&mut world.hand_offs);
    times.sort();
    let in_writes = |at: usize| times[at].as_secs_f64() / WRITE.as_secs_f64();
    let handed = f64::from(COUNT);
    HandOffs {
        attempts: f64::from(u32::try_from(world.writes).unwrap_or(u32::MAX)) / handed - 1.0,
        median: in_writes(times.len() / 2),
        slowest: in_writes(times.len() * 99 / 100),
        handed_on,
    }
}

/// Lets a few contenders, who hold the lock for up to `hold`, go through an outage of a minute.
///
/// # Errors
/// When a promise is broken, or somebody is not served long after the outage.
pub fn endure(kind: Kind, outage: Outage, hold: Duration, seed: u64) -> Result<Endured, Violation> {
    game!(kind, G => World::<G>::under(kind, outage, hold, seed).endure())
}

/// How long a write takes there and back, on average.
const WRITE: Duration = Duration::from_millis(11);

/// When faults stop.
const FAULTS_END: Duration = Duration::from_secs(180);

/// When everybody must have been served after the faults.
const SERVED_BY: Duration = Duration::from_secs(400);

/// How far apart clocks may be, as the contenders are told.
const SKEW: Duration = Duration::from_secs(5);
