//! Releasing the lock: no lease of ours stays, and no write that could create one later.

use std::time::Duration;

use coord_core::BootInstant;

use super::{Event, Failure, Phase, Protocol, Write, core::Core, known::Seen};

/// The longest time to try. A lease with an end expires soon after.
const LONGEST: Duration = Duration::from_secs(30);

/// The same after an attempt that was told to stop: the caller waits for its end.
const SOON: Duration = Duration::from_millis(800);

#[derive(Debug)]
pub(super) struct Releasing<P: Protocol> {
    /// The outcome of the attempt whose own writes are removed; none to end the lease of our ID.
    after: Option<Failure<P>>,
    until: BootInstant,
}

impl<P: Protocol> Releasing<P> {
    /// Ends the lease of our ID, if it exists.
    pub(super) fn of_our_id(now: BootInstant, length: Option<Duration>) -> Self {
        let longest = length.map_or(LONGEST, |length| length.min(LONGEST));
        Self {
            after: None,
            until: now + longest,
        }
    }

    /// Removes what an attempt has written or has in doubt, and ends when nothing is left.
    pub(super) fn after(why: Failure<P>, core: &mut Core<P>) -> Phase<P> {
        core.abandon();
        core.in_doubt.retain(|sent| !sent.extends);
        if core.created_it() || core.any_may_land() {
            let releasing = Self {
                after: Some(why),
                until: core.now.boot + SOON,
            };
            return releasing.begin(core);
        }
        core.tell(Event::Failed(why));
        Phase::Done
    }

    pub(super) fn begin(self, core: &mut Core<P>) -> Phase<P> {
        core.abandon();
        core.pause_until = None;
        core.failures.conflicts = 0;
        Phase::Releasing(self)
    }

    /// Decides what to do next, after every event.
    pub(super) fn decide(self, core: &mut Core<P>) -> Phase<P> {
        if self.until <= core.now.boot {
            return self.left_something(Failure::Silent, core);
        }
        core.wake_by(Some(self.until));
        if core.pending.is_some() || core.pausing() {
            return Phase::Releasing(self);
        }
        if matches!(core.object, Seen::Unknown) || core.stale && !self.fences_unseen(core) {
            core.read();
            return Phase::Releasing(self);
        }
        match self.cleaning(core) {
            Err(why) => self.left_something(why, core),
            Ok(None) => self.nothing_left(core),
            Ok(Some(write)) => {
                core.write(write, None, false);
                Phase::Releasing(self)
            }
        }
    }

    /// Whether to fence off a creation in doubt without a read, by another creation. If that fails,
    /// there is an object to read.
    fn fences_unseen(&self, core: &Core<P>) -> bool {
        let was_absent = matches!(core.object, Seen::Absent(_));
        self.after.is_some() && was_absent && core.failures.conflicts == 0
    }

    /// The write that removes what is left of ours; none if nothing is left.
    fn cleaning(&self, core: &mut Core<P>) -> Result<Option<Write<P::Object>>, Failure<P>> {
        let of_our_id = self.after.is_none();
        if let Seen::There(object) = &core.object
            && (of_our_id || core.created_it())
            && let Some(write) = core.protocol.release(object, core.now)?
        {
            let nonce = core.protocol.nonce(object);
            core.is_done(nonce);
            return Ok(Some(write));
        }
        if !core.any_may_land() {
            return Ok(None);
        }
        let nonce = core.nonce();
        Ok(Some(core.protocol.fence(core.there(), nonce, core.now)))
    }

    /// A write was done: it ended the lease, or made the writes in doubt impossible.
    pub(super) fn written(self, core: &mut Core<P>) -> Phase<P> {
        core.settle_doubts();
        if core.any_may_land() {
            Phase::Releasing(self)
        } else {
            self.nothing_left(core)
        }
    }

    fn nothing_left(self, core: &mut Core<P>) -> Phase<P> {
        core.tell(self.after.map_or(Event::Released, Event::Failed));
        Phase::Done
    }

    pub(super) fn left_something(self, why: Failure<P>, core: &mut Core<P>) -> Phase<P> {
        if let Some(after) = self.after {
            core.tell(Event::Failed(after));
        }
        core.tell(Event::NotReleased(why));
        Phase::Done
    }
}
