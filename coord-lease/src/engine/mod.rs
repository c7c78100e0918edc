//! A lease as a state machine: what to do when what happens, without clocks, waiting or I/O of its own.
//!
//! Whoever drives it hands in what has happened ([`Input`]) with the time, carries out what comes back ([`Output`]), and comes again at
//! [`Engine::wake_at`]. One request is under way at a time, one watch of the lock, and one of what else must be known. What an object
//! means, and what is written, is the [`Protocol`]'s; when to read, write, wait, give up and clean up is the same for all.
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
//! Invariants: a holder's belief ends by what its protocol makes of the moment before the write was sent; nothing is written but on top of the version that was
//! judged; and whoever gives up leaves no write behind that may still be done.

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

/// What is done just now. Each phase is moved into the next.
#[derive(Debug)]
enum Phase<P: Protocol> {
    Acquiring(Acquiring<P>),
    Holding(Holding<P>),
    Releasing(Releasing<P>),
    /// The lock is held no more, and nobody has said yet that the work is over.
    Lost,
    Done,
}

impl<P: Protocol> Engine<P> {
    /// Begins at this moment; all that is random follows from the seed.
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

    /// The store has answered before: that it does not answer is waited for from the beginning.
    #[must_use]
    pub fn patient(mut self) -> Self {
        if let Phase::Acquiring(acquiring) = &mut self.phase {
            acquiring.answered = true;
        }
        self
    }

    /// Something has happened at this moment.
    pub fn handle(&mut self, input: Input<P>, now: BootInstant) {
        let core = &mut self.core;
        core.advance(now);
        let phase = mem::replace(&mut self.phase, Phase::Done);
        self.phase = phase.end_in_time(core).take(input, core).decide(core);
    }

    /// What is to be done next; none when everything is under way.
    pub fn poll(&mut self) -> Option<Output<P>> {
        self.core.outputs.pop_front()
    }

    /// When to come again with [`Input::Time`], if nothing happens before.
    pub fn wake_at(&self) -> Option<BootInstant> {
        self.core.wake
    }

    /// Nothing will happen any more.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// What is known of the lock.
    pub fn protocol(&self) -> &P {
        &self.core.protocol
    }
}

impl<P: Protocol> Phase<P> {
    /// Before anything else: whatever has happened, a belief does not outlive its deadline.
    fn end_in_time(self, core: &mut Core<P>) -> Self {
        match self {
            Self::Holding(holding) => holding.end_in_time(core),
            other => other,
        }
    }

    /// What to do next; a phase that has just begun decides too.
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
