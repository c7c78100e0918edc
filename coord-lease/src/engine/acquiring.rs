//! Acquiring the lock: read, judge, write, and find out whether writes were done.

use std::time::Duration;

use coord_core::{BootInstant, errno::with_sources};

use super::{
    Event, Failure, Goal, NewLease, Nonce, Phase, Protocol, Verdict, Wait, Write, core::Core,
    holding::Holding, known::Sent,
};
use crate::{LeaseLost, Version};

/// How long to wait for a store that has never answered.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a contender that does not wait tries a write.
const TRIES: u32 = 3;

#[derive(Debug)]
pub(super) struct Acquiring<P: Protocol> {
    since: BootInstant,
    wait: Wait,
    /// The store has answered once.
    pub(super) answered: bool,
    /// The obstacle that was last reported.
    obstacle: Option<P::HeldBy>,
    /// The lock was waited for, so others may be waiting too.
    pub(super) waited: bool,
    /// Since when the lock is free, and when to write.
    free: Option<(BootInstant, BootInstant)>,
    /// When to write our place in the queue, once that is due.
    place_at: Option<BootInstant>,
    last_failure: Option<P::Error>,
    /// The version of the last claim that came with a notice.
    noticed: Option<Version>,
}

impl<P: Protocol> Acquiring<P> {
    pub(super) fn new(since: BootInstant, wait: Wait) -> Self {
        Self {
            since,
            wait,
            answered: false,
            obstacle: None,
            waited: false,
            free: None,
            place_at: None,
            last_failure: None,
            noticed: None,
        }
    }

    /// Decides what to do next, after every event.
    pub(super) fn decide(mut self, core: &mut Core<P>) -> Phase<P> {
        if let Some(why) = self.end(core) {
            return Phase::Acquiring(self).give_up(why, core);
        }
        core.resume_watch();
        if core.pending.is_some() || core.pausing() {
            return Phase::Acquiring(self);
        }
        if core.stale {
            core.read();
            return Phase::Acquiring(self);
        }
        core.wants_subject();
        match core.protocol.judge(core.there(), core.now) {
            Verdict::Impossible(why) => Phase::Acquiring(self).give_up(Failure::Refused(why), core),
            Verdict::Unknown => self.ask(core),
            Verdict::Ours(length) => self.extend(length, core),
            _ if core.settings.goal == Goal::Renew => {
                let why = match core.there() {
                    Some(_) => LeaseLost::Expired,
                    None => LeaseLost::Deleted,
                };
                Phase::Acquiring(self).give_up(Failure::Lost(why), core)
            }
            Verdict::Held(by, until) => self.wait_for_holder(by, until, core),
            Verdict::Reserved(by, until) => {
                self.wait_for(&by, Some(until), core);
                Phase::Acquiring(self)
            }
            Verdict::Free => {
                self.compete(core);
                Phase::Acquiring(self)
            }
            Verdict::Turn { since, before } => self.take_turn(since, before, core),
        }
    }

    /// Why the attempt is over, if it is.
    fn end(&mut self, core: &mut Core<P>) -> Option<Failure<P>> {
        let now = core.now.boot;
        let is_over = |at: Option<BootInstant>| at.is_some_and(|at| at <= now);
        let (limit, patience) = (self.limit(), self.patience());
        let tired = self.wait == Wait::No && core.failures.write.count >= TRIES;
        if tired || is_over(patience) {
            let error = self.last_failure.take()?;
            return Some(if self.answered {
                Failure::Request(error)
            } else {
                Failure::Unanswered(error)
            });
        }
        if is_over(limit) {
            return Some(self.too_late());
        }
        core.wake_by(limit);
        core.wake_by(patience);
        None
    }

    fn limit(&self) -> Option<BootInstant> {
        match self.wait {
            Wait::For(limit) => Some(self.since + limit),
            Wait::No | Wait::Forever => None,
        }
    }

    /// When to give up on a store that does not answer.
    fn patience(&self) -> Option<BootInstant> {
        let waits = self.answered && self.wait != Wait::No;
        (!waits && self.last_failure.is_some()).then_some(self.since + PATIENCE)
    }

    fn too_late(&self) -> Failure<P> {
        let limit = match self.wait {
            Wait::For(limit) => limit,
            Wait::No | Wait::Forever => Duration::ZERO,
        };
        // Before the store has answered, no obstacle is known.
        let why = match (&self.last_failure, &self.obstacle) {
            (_, Some(obstacle)) => format!("it is {obstacle}"),
            (Some(error), None) => with_sources(error),
            (None, None) if !self.answered => "the store has not answered yet".to_owned(),
            (None, None) => "others were faster".to_owned(),
        };
        Failure::TimedOut(limit, why)
    }

    /// Reads the subject when that is due.
    fn ask(self, core: &mut Core<P>) -> Phase<P> {
        if core.subject_is_due() {
            core.read_subject();
        } else {
            core.wake_by(core.beside.read_at);
        }
        Phase::Acquiring(self)
    }

    fn wait_for_holder(
        mut self,
        by: P::HeldBy,
        until: Option<BootInstant>,
        core: &mut Core<P>,
    ) -> Phase<P> {
        if core.subject_is_due() {
            return self.ask(core);
        }
        if self.wait == Wait::No {
            return Phase::Acquiring(self).give_up(Failure::Held(by), core);
        }
        core.wake_by(core.beside.read_at);
        self.wait_for(&by, until, core);
        self.keep_place(core)
    }

    /// Keeps our place in the queue, if the lock has one. After a collision, tries again after a
    /// pause.
    fn keep_place(mut self, core: &mut Core<P>) -> Phase<P> {
        let now = core.now.boot;
        let Some(due) = core.protocol.place_due(core.now) else {
            return Phase::Acquiring(self);
        };
        let write_at = *self.place_at.get_or_insert_with(|| {
            let pause = core.contention.pause(&mut core.random);
            due.max(now) + pause
        });
        if due > now || write_at > now {
            self.place_at = self.place_at.filter(|_| due <= now);
            core.wake_by(Some(due.max(write_at)));
            return Phase::Acquiring(self);
        }
        self.place_at = None;
        let Some(object) = core.object.there() else {
            return Phase::Acquiring(self);
        };
        let nonce = Nonce(core.random.number());
        match core.protocol.take_place(object, nonce, core.now) {
            Err(why) => Phase::Acquiring(self).give_up(why, core),
            Ok(write) => {
                let is_theirs = core.protocol.nonce(object).is_some() && !core.created_it();
                core.created.push(nonce);
                core.write_place(write, nonce, is_theirs);
                Phase::Acquiring(self)
            }
        }
    }

    /// Claims the lock once everybody ahead has had time for it, so writes happen in turn without
    /// collisions.
    fn take_turn(mut self, since: BootInstant, before: u32, core: &mut Core<P>) -> Phase<P> {
        let at = since + core.contention.turn_length() * before;
        if at > core.now.boot {
            core.watch();
            core.wake_by(Some(at));
            return self.keep_place(core);
        }
        self.claim(core);
        Phase::Acquiring(self)
    }

    fn wait_for(&mut self, by: &P::HeldBy, until: Option<BootInstant>, core: &mut Core<P>) {
        core.watch();
        core.wake_by(until);
        let due = core.protocol.place_due(core.now);
        if due.is_none_or(|due| due > core.now.boot) {
            core.failures.conflicts = 0;
        }
        self.waited = true;
        let turn = core.there().and_then(|object| core.protocol.passed(object));
        match self.free.take() {
            Some((since, _)) => core.contention.spared(core.now.boot.since(since), turn),
            None if self.obstacle.is_none() => core.contention.found_held(turn),
            None => {}
        }
        let known = self.obstacle.as_ref();
        if !known.is_some_and(|known| core.protocol.is_same(known, by)) {
            core.tell(Event::Waiting(by.clone()));
        }
        self.obstacle = Some(by.clone());
    }

    /// Competes for a free lock. After a wait, the other waiters see the free lock too, and all but
    /// one should be spared their write.
    fn compete(&mut self, core: &mut Core<P>) {
        let now = core.now.boot;
        self.make_room(core);
        let pause = if self.waited {
            core.contention.pause(&mut core.random)
        } else {
            Duration::ZERO
        };
        // A free lock is tried before the wait is over.
        let left = self.limit().map(|limit| limit.since(now) / 2);
        let pause = left.map_or(pause, |left| pause.min(left));
        let (_, write_at) = *self.free.get_or_insert((now, now + pause));
        if write_at > now {
            return core.wake_by(Some(write_at));
        }
        self.claim(core);
    }

    fn claim(&mut self, core: &mut Core<P>) {
        let lease = core.new_lease();
        let (write, notice) = core.protocol.claim(core.object.there(), lease, core.now);
        let on = core.there().map(|object| core.protocol.version(object));
        if let Some(notice) = notice.filter(|_| self.noticed != on) {
            core.tell(Event::Notice(notice));
            self.noticed = on;
        }
        if matches!(write, Write::Delete(_)) {
            return core.write(write, None, false);
        }
        self.free = None;
        core.created.push(lease.nonce);
        core.write(write, Some(lease.nonce), false);
    }

    /// Lets waiters try first. This is for a newcomer, or a holder that comes back at once.
    fn make_room(&mut self, core: &mut Core<P>) {
        if self.waited || self.wait == Wait::No {
            return;
        }
        if let Some(room) = core.there().and_then(|object| core.protocol.room(object)) {
            self.waited = true;
            core.contention.found_free(room);
            core.watch();
        }
    }

    /// Extends a lease of ours that exists already: from a write whose answer was lost, or from
    /// before, with the same ID.
    fn extend(self, length: Option<Duration>, core: &mut Core<P>) -> Phase<P> {
        if let Some(sent) = core.landed() {
            core.is_done(sent.nonce);
            if is_fresh(&sent, core) {
                return self.acquired(&sent, core);
            }
        }
        if core.settings.goal == Goal::Renew && core.settings.length.is_none() {
            core.settings.length = length;
        }
        let lease = core.new_lease();
        match extension(lease, core) {
            Err(why) => Phase::Acquiring(self).give_up(why, core),
            Ok(write) => {
                let made = core.created_it();
                if made {
                    core.created.push(lease.nonce);
                }
                core.write(write, Some(lease.nonce), !made);
                Phase::Acquiring(self)
            }
        }
    }

    /// A write was done. If it took so long that hardly anything of the lease is left, the lease is
    /// extended first. If the watch has meanwhile reported a state without the lease, nothing was
    /// acquired.
    pub(super) fn written(mut self, sent: &Sent, core: &mut Core<P>) -> Phase<P> {
        self.answered = true;
        if sent.nonce.is_none() || sent.is_place || !is_fresh(sent, core) {
            return Phase::Acquiring(self);
        }
        let is_gone = |object| core.protocol.has_lease(object) == Some(false);
        if core.there().is_none_or(is_gone) {
            core.stale = true;
            return Phase::Acquiring(self);
        }
        self.acquired(sent, core)
    }

    fn acquired(self, sent: &Sent, core: &mut Core<P>) -> Phase<P> {
        let grant = match core.there() {
            Some(object) => core.protocol.grant(object).map_err(Failure::Request),
            None => Err(Failure::Lost(LeaseLost::Deleted)),
        };
        match grant {
            Ok(grant) => Phase::Holding(Holding::new(grant, sent, core)),
            Err(why) => Phase::Acquiring(self).give_up(why, core),
        }
    }

    pub(super) fn failed(&mut self, error: P::Error) {
        self.last_failure = Some(error);
        self.free = None;
    }
}

fn extension<P: Protocol>(lease: NewLease, core: &Core<P>) -> Result<Write<P::Object>, Failure<P>> {
    let object = core.there().ok_or(Failure::Lost(LeaseLost::Deleted))?;
    core.protocol.extend(object, None, lease, core.now)
}

fn is_fresh<P: Protocol>(sent: &Sent, core: &Core<P>) -> bool {
    let begun = core.now.boot.since(sent.at);
    core.settings.length.is_none_or(|length| begun < length / 2)
}
