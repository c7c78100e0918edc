//! Letting the lock go: no lease of ours stays, and no write that could make one later.

use std::time::Duration;

use coord_core::BootInstant;

use super::{Event, Failure, Phase, Protocol, Write, core::Core, known::Seen};

/// How long it is tried at most. A lease with an end goes by itself soon after.
const LONGEST: Duration = Duration::from_secs(30);

/// The same after an attempt, whose end is waited for by whoever has asked us to stop.
const SOON: Duration = Duration::from_millis(800);

#[derive(Debug)]
pub(super) struct Releasing<P: Protocol> {
    /// The attempt that ended so, whose writes alone are taken back; none to end the lease of our ID.
    after: Option<Failure<P>>,
    until: BootInstant,
}

impl<P: Protocol> Releasing<P> {
    /// Ends the lease of our ID, if there is one.
    pub(super) fn of_our_id(now: BootInstant, length: Option<Duration>) -> Self {
        let longest = length.map_or(LONGEST, |length| length.min(LONGEST));
        Self {
            after: None,
            until: now + longest,
        }
    }

    /// Takes back what an attempt has written, or has in doubt; it is over when there is nothing of that.
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

    /// What to do next; comes here after everything that happens.
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

    /// A creation in doubt is fenced off without another look, by another creation. Where that fails, there is something to look at.
    fn fences_unseen(&self, core: &Core<P>) -> bool {
        let was_absent = matches!(core.object, Seen::Absent(_));
        self.after.is_some() && was_absent && core.failures.conflicts == 0
    }

    /// What must be written, so that nothing of ours is left; none when nothing is.
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

    /// A write was done: the lease is ended, or what was in doubt cannot be done any more.
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
