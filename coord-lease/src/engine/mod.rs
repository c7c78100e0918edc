//! A lock as a state machine: it decides what to do, without clocks, waiting or I/O of its own.
//!
//! The driver passes in each event ([`Input`]) with the time, carries out each [`Output`], and
//! comes back at [`Engine::wake_at`]. At most one request is in flight, with one watch of the lock
//! and one watch of the subject, which is whatever else must be known.
//!
//! The [`Protocol`] knows what an object means and what to write. The engine knows when to read,
//! write, wait, give up and clean up, which is the same for all kinds of locks.
//!
//! ```
//! use coord_lease::{BootInstant, engine::{Engine, Output, Protocol}};
//!
//! /// The loop that drives it, where nothing ever happens but time.
//! fn drive<P: Protocol>(mut engine: Engine<P>, mut carry_out: impl FnMut(Output<P>)) {
//!     engine.handle(coord_lease::engine::Input::Time, BootInstant::now());
//!     while !engine.is_done() {
//!         while let Some(output) = engine.poll() {
//!             carry_out(output);
//!         }
//!         // Wait until something happens, or for this time.
//!         let _until = engine.wake_at();
//!         # return;
//!         engine.handle(coord_lease::engine::Input::Time, BootInstant::now());
//!     }
//! }
//! ```
//!
//! The engine keeps these invariants:
//! - A holder stops believing in its lease at a deadline. The protocol counts that deadline from
//!   before the write was sent.
//! - Every write applies only to the version that was judged.
//! - An attempt that gives up leaves no write behind that may still be done.

mod acquiring;
mod answers;
mod core;
mod failures;
mod holding;
mod io;
mod known;
mod protocol;
mod releasing;
mod subject;
mod watcher;

use std::mem;

use coord_core::BootInstant;

pub use io::{Event, Goal, Input, Output, Settings, Wait};
pub use protocol::{
    Deadline, Effect, Failure, Moment, NewLease, Nonce, Protocol, RequestError, StoreTime, Verdict,
    Write,
};

use self::{acquiring::Acquiring, core::Core, holding::Holding, releasing::Releasing};

/// See the module.
#[derive(Debug)]
pub struct Engine<P: Protocol> {
    core: Core<P>,
    phase: Phase<P>,
}

/// The current phase. Each phase turns into the next.
#[derive(Debug)]
enum Phase<P: Protocol> {
    Acquiring(Acquiring<P>),
    Holding(Holding<P>),
    Releasing(Releasing<P>),
    /// The lock is lost, and nobody has said yet that the work has ended.
    Lost,
    Done,
}

impl<P: Protocol> Engine<P> {
    /// Starts at this moment. All random choices follow from the seed.
    pub fn new(protocol: P, settings: Settings, now: Moment, seed: u64) -> Self {
        let phase = match settings.goal {
            Goal::Release => Phase::Releasing(Releasing::of_our_id(now.boot, settings.length)),
            _ => Phase::Acquiring(Acquiring::new(now.boot, settings.wait)),
        };
        Self {
            core: Core::new(protocol, settings, now, seed),
            phase,
        }
    }

    /// The store has answered before, so the engine waits for it even if it does not answer at
    /// first.
    #[must_use]
    pub fn patient(mut self) -> Self {
        if let Phase::Acquiring(acquiring) = &mut self.phase {
            acquiring.answered = true;
        }
        self
    }

    /// Handles an event that happened at this moment.
    pub fn handle(&mut self, input: Input<P>, now: BootInstant) {
        let core = &mut self.core;
        core.advance(now);
        let phase = mem::replace(&mut self.phase, Phase::Done);
        self.phase = phase.end_in_time(core).take(input, core).decide(core);
    }

    /// The next thing to do; none when everything is in flight.
    pub fn poll(&mut self) -> Option<Output<P>> {
        self.core.outputs.pop_front()
    }

    /// When to call again with [`Input::Time`] if nothing happens before.
    pub fn wake_at(&self) -> Option<BootInstant> {
        self.core.wake
    }

    /// Whether nothing more will happen.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// The protocol and what it knows of the lock.
    pub fn protocol(&self) -> &P {
        &self.core.protocol
    }
}

impl<P: Protocol> Phase<P> {
    /// Comes before everything else: no belief outlives its deadline, whatever has happened.
    fn end_in_time(self, core: &mut Core<P>) -> Self {
        match self {
            Self::Holding(holding) => holding.end_in_time(core),
            other => other,
        }
    }

    /// Decides what to do next, also in a phase that has just begun.
    fn decide(mut self, core: &mut Core<P>) -> Self {
        loop {
            core.wake = None;
            let before = mem::discriminant(&self);
            self = match self {
                Self::Acquiring(acquiring) => acquiring.decide(core),
                Self::Holding(holding) => holding.decide(core),
                Self::Releasing(releasing) => releasing.decide(core),
                Self::Lost | Self::Done => self,
            };
            if mem::discriminant(&self) == before {
                return self;
            }
        }
    }
}
