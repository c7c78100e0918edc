//! Holding the lock: extend the lease, watch it, and notice when it is lost.

use coord_core::BootInstant;

use super::{
    Event, Failure, Phase, Protocol,
    core::Core,
    failures::Asked,
    known::{Seen, Sent},
    watcher::LASTING,
};
use crate::LeaseLost;

#[derive(Debug)]
pub(super) struct Holding<P: Protocol> {
    grant: P::Grant,
    /// A lease of this ID existed before, so somebody relies on it.
    was_there: bool,
    /// When the holder stops believing in the lease.
    deadline: Option<BootInstant>,
    renew_at: Option<BootInstant>,
    /// When to read the lock if it may not be watched.
    look_at: BootInstant,
    /// The failure was reported.
    failing: bool,
}

impl<P: Protocol> Holding<P> {
    /// Starts to hold a lease whose write was sent at this time.
    pub(super) fn new(grant: P::Grant, sent: &Sent, core: &mut Core<P>) -> Self {
        let mut holding = Self {
            grant,
            was_there: sent.extends,
            deadline: None,
            renew_at: None,
            look_at: core.now.boot + LASTING,
            failing: false,
        };
        core.went_back = false;
        core.is_done(sent.nonce);
        holding.extended_by(sent, core);
        core.tell(Event::Acquired(holding.grant.clone(), holding.deadline));
        holding
    }

    /// The lock was acquired at the moment of the cancellation. A lease that existed before stays.
    pub(super) fn cancelled(self, core: &mut Core<P>) -> Phase<P> {
        if self.was_there {
            core.abandon();
            return Phase::Done;
        }
        Phase::Holding(self).release(core)
    }

    fn extended_by(&mut self, sent: &Sent, core: &mut Core<P>) {
        let Seen::There(object) = &core.object else {
            return;
        };
        let deadline = core.protocol.deadline(object, Some(sent.at), core.now);
        self.deadline = deadline.over(self.deadline);
        let interval = core.settings.renew_interval;
        self.renew_at = interval.map(|interval| sent.at + interval);
        self.failing = false;
    }

    pub(super) fn end_in_time(self, core: &mut Core<P>) -> Phase<P> {
        if self
            .deadline
            .is_some_and(|deadline| deadline <= core.now.boot)
        {
            return lose(LeaseLost::Expired, core);
        }
        Phase::Holding(self)
    }

    /// Decides what to do next, after every event.
    pub(super) fn decide(mut self, core: &mut Core<P>) -> Phase<P> {
        if let Some(why) = lost(core) {
            return lose(why, core);
        }
        self.follow(core);
        core.wake_by(self.deadline);
        core.resume_watch();
        if core.pending.is_some() || core.pausing() {
            return Phase::Holding(self);
        }
        if core.stale || self.is_to_look(core) {
            self.look_at = core.now.boot + LASTING;
            core.read();
            return Phase::Holding(self);
        }
        core.watch();
        self.settle_doubts(core);
        match self.renew_at {
            Some(at) if at <= core.now.boot => self.renew(core),
            at => core.wake_by(at),
        }
        Phase::Holding(self)
    }

    /// If somebody else has changed the lease's end in the object, the new end counts.
    fn follow(&mut self, core: &mut Core<P>) {
        let Seen::There(object) = &core.object else {
            return;
        };
        let deadline = core.protocol.deadline(object, None, core.now);
        let deadline = deadline.over(self.deadline);
        if deadline != self.deadline {
            self.deadline = deadline;
            core.tell(Event::Renewed(deadline));
        }
    }

    fn is_to_look(&self, core: &mut Core<P>) -> bool {
        let denied = core.watch.is_denied();
        if denied && self.look_at > core.now.boot {
            core.wake_by(Some(self.look_at));
        }
        denied && self.look_at <= core.now.boot
    }

    /// Checks whether the existing lease comes from a write of ours whose answer was lost.
    fn settle_doubts(&mut self, core: &mut Core<P>) {
        if let Some(sent) = core.landed() {
            self.renewed_by(&sent, core);
        }
        core.settle_doubts();
    }

    fn renew(&mut self, core: &mut Core<P>) {
        let lease = core.new_lease();
        let Seen::There(object) = &core.object else {
            return;
        };
        let grant = Some(&self.grant);
        match core.protocol.extend(object, grant, lease, core.now) {
            Ok(write) => core.write(write, Some(lease.nonce), true),
            // Somebody has damaged the lock. It may be repaired before the deadline.
            Err(why) => {
                core.failed(Asked::Write, None);
                core.stale = true;
                core.wake_by(core.pause_until);
                self.tell_once(why, core);
            }
        }
    }

    /// Extends the lease now, whatever the interval.
    pub(super) fn renew_now(mut self, core: &Core<P>) -> Self {
        self.renew_at = Some(core.now.boot);
        self.failing = false;
        self
    }

    pub(super) fn written(mut self, sent: &Sent, core: &mut Core<P>) -> Phase<P> {
        self.renewed_by(sent, core);
        Phase::Holding(self)
    }

    fn renewed_by(&mut self, sent: &Sent, core: &mut Core<P>) {
        core.is_done(sent.nonce);
        self.extended_by(sent, core);
        core.tell(Event::Renewed(self.deadline));
    }

    pub(super) fn failed(mut self, error: P::Error, core: &mut Core<P>) -> Self {
        self.tell_once(Failure::Request(error), core);
        self
    }

    fn tell_once(&mut self, why: Failure<P>, core: &mut Core<P>) {
        if !std::mem::replace(&mut self.failing, true) {
            core.tell(Event::NotRenewed(why));
        }
    }
}

/// Why the lock was lost, if it was. An unreadable lock counts as held.
fn lost<P: Protocol>(core: &Core<P>) -> Option<LeaseLost> {
    match &core.object {
        Seen::Absent(_) => Some(LeaseLost::Deleted),
        Seen::There(_) if core.went_back => Some(LeaseLost::Undone),
        Seen::There(object) if core.protocol.has_lease(object) == Some(false) => {
            Some(LeaseLost::Taken)
        }
        Seen::There(_) | Seen::Unknown => None,
    }
}

fn lose<P: Protocol>(why: LeaseLost, core: &mut Core<P>) -> Phase<P> {
    core.tell(Event::Lost(why));
    Phase::Lost
}
