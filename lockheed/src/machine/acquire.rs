//! Getting the lock: observe, judge, write, and find out what became of writes.

use std::time::Duration;

use super::{
    Latest, Machine, News, Pending, Phase, Verdict, Wait, Write, edit, hold::Holding,
    leave::Leaving,
};
use crate::{
    Lease, Lost, Record,
    error::Kind,
    store::{Object, StoreError},
};

use super::Goal;

/// How long a store that has never answered is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Acquiring {
    since: Duration,
    wait: Wait,
    /// The store has answered once.
    pub(crate) answered: bool,
    /// What was last told to be in the way.
    told: Option<Verdict>,
    /// It was waited for, so that others may be waiting too.
    pub(crate) waited: bool,
    /// Since when it is free, and when to write then.
    free: Option<(Duration, Duration)>,
    last_failure: Option<StoreError>,
}

impl Acquiring {
    pub(crate) fn new(since: Duration, wait: Wait) -> Self {
        Self {
            since,
            wait,
            answered: false,
            told: None,
            waited: false,
            free: None,
            last_failure: None,
        }
    }

    fn limit(&self) -> Option<Duration> {
        match self.wait {
            Wait::For(limit) => Some(self.since.saturating_add(limit)),
            Wait::No | Wait::Forever => None,
        }
    }

    /// When a store that does not answer is given up.
    fn patience(&self) -> Option<Duration> {
        let waits = self.answered && self.wait != Wait::No;
        (!waits && self.last_failure.is_some()).then_some(self.since + PATIENCE)
    }
}

impl Machine {
    fn acquiring(&mut self) -> Option<&mut Acquiring> {
        match &mut self.phase {
            Phase::Acquiring(acquiring) => Some(acquiring),
            _ => None,
        }
    }

    /// What to do next; comes here after everything that happens.
    pub(super) fn acquire(&mut self) {
        if self.out_of_time() || self.pending.is_some() || self.pausing() {
            return;
        }
        if self.stale {
            return self.send_read();
        }
        let absent = match self.view() {
            Err(kind) => return self.give_up(kind),
            Ok(seen) => seen.is_none(),
        };
        let (me, skew, now) = (&self.me.id, self.me.skew, self.now);
        let verdict = self.sightings.judge(me, skew, now);
        match verdict {
            Verdict::Ours(lease) => self.extend(&lease),
            _ if self.me.goal == Goal::Renew => self.give_up(Kind::Lost(if absent {
                Lost::Deleted
            } else {
                Lost::Expired
            })),
            Verdict::Held { .. } if !self.forced() => self.wait_for(verdict),
            _ => match self.deference() {
                Some(reserved) => self.wait_for(reserved),
                None => self.take(),
            },
        }
    }

    fn out_of_time(&mut self) -> bool {
        let boot = self.now.boot;
        let Some(acquiring) = self.acquiring() else {
            return true;
        };
        let (limit, patience) = (acquiring.limit(), acquiring.patience());
        let over = |at: Option<Duration>| at.is_some_and(|at| at <= boot);
        if over(patience) {
            let failure = acquiring.last_failure.take();
            self.give_up(failure.map_or(Kind::Cancelled, Kind::Unanswered));
        } else if over(limit) {
            let kind = acquiring.too_late();
            self.give_up(kind);
        } else {
            self.wake_by(limit);
            self.wake_by(patience);
            return false;
        }
        true
    }

    fn deference(&self) -> Option<Verdict> {
        #[cfg(feature = "sim")]
        if self.me.flaw == Some(crate::sim::Flaw::Rude) {
            return None;
        }
        self.sightings.reserved(&self.me.id, self.now)
    }

    fn forced(&self) -> bool {
        let Ok(Some((_, record))) = self.view() else {
            return false;
        };
        let acquired = self.sightings.acquired(self.me.skew, self.now);
        let force = self.me.force.as_ref();
        force.is_some_and(|condition| condition.holds(record, acquired))
    }

    fn wait_for(&mut self, obstacle: Verdict) {
        let no_wait = self.me.wait == Wait::No;
        if let (Verdict::Held { by, expires, .. }, true) = (&obstacle, no_wait) {
            let (by, until) = (by.clone(), *expires);
            return self.give_up(Kind::Held { by, until });
        }
        let until = match obstacle {
            Verdict::Held { until, .. } => until,
            Verdict::Reserved { until, .. } => Some(until),
            Verdict::Free | Verdict::Ours(_) => None,
        };
        self.see();
        self.wake_by(until);
        let Some(acquiring) = self.acquiring() else {
            return;
        };
        acquiring.waited = true;
        let free = acquiring.free.take();
        let news = acquiring
            .told
            .as_ref()
            .is_none_or(|told| !told.is_like(&obstacle));
        acquiring.told = Some(obstacle.clone());
        if let Some((since, _)) = free {
            let taken_after = self.now.boot.saturating_sub(since);
            self.crowd.spared(taken_after);
        }
        if news {
            self.tell(News::Waiting(obstacle));
        }
    }

    /// It is free: after a wait the others who waited see it too, and all but one should spare their write.
    fn take(&mut self) {
        let pause = self.crowd.pause(&mut self.random);
        let boot = self.now.boot;
        let Some(acquiring) = self.acquiring() else {
            return;
        };
        let pause = if acquiring.waited {
            pause
        } else {
            Duration::ZERO
        };
        let (_, write_at) = *acquiring.free.get_or_insert((boot, boot + pause));
        if write_at > boot {
            return self.wake_by(Some(write_at));
        }
        acquiring.free = None;
        let (lease, nonce) = self.new_lease();
        self.made.push(nonce.clone());
        let object = self.with_lease(lease);
        self.send_write(object, Some(nonce), false);
    }

    /// A lease of ours is there already: by a write whose answer was lost, or from before, by the same ID.
    fn extend(&mut self, lease: &Lease) {
        if self.taken_by_doubt(lease) {
            return;
        }
        if self.me.goal == Goal::Renew && self.me.length.is_none() {
            self.me.length = lease.duration();
        }
        let Latest::There(object, _) = &self.latest else {
            return;
        };
        let token = match (lease.token, object.version.token()) {
            (Some(token), _) | (None, Ok(token)) => token,
            (None, Err(error)) => return self.give_up(Kind::Store(error)),
        };
        let (mut longer, nonce) = self.new_lease();
        longer.token = Some(token);
        let made = lease
            .nonce
            .as_ref()
            .is_some_and(|nonce| self.made.contains(nonce));
        if made {
            self.made.push(nonce.clone());
        }
        let object = self.with_lease(longer);
        self.send_write(object, Some(nonce), !made);
    }

    /// Whether the lease is from a write of ours that was in doubt, and lasts long enough to begin with.
    fn taken_by_doubt(&mut self, lease: &Lease) -> bool {
        let ours = |write: &&Write| write.nonce.is_some() && write.nonce == lease.nonce;
        let Some(write) = self.doubts.iter().find(ours).cloned() else {
            return false;
        };
        let Latest::There(object, _) = &self.latest else {
            return false;
        };
        let object = object.as_ref().clone();
        let begun = self.now.boot.saturating_sub(write.sent);
        let fresh = self.me.length.is_none_or(|length| begun < length / 2);
        if fresh {
            self.doubts.clear();
            self.acquired_by(&write, &object);
        }
        fresh
    }

    fn with_lease(&self, lease: Lease) -> Object {
        let (tags, reset) = (&self.me.tags, self.me.reset_tags);
        match self.view() {
            Ok(Some((object, record))) => edit::acquired(object, record, lease, tags, reset),
            _ => {
                let object = Object::new(&self.me.name);
                edit::acquired(
                    &object,
                    &Record::mutex(self.me.name.as_str()),
                    lease,
                    tags,
                    reset,
                )
            }
        }
    }

    /// The write that made the lease was done. When it took so long that hardly anything of the lease is left, it is extended first.
    pub(super) fn acquired_by(&mut self, write: &Write, object: &Object) {
        let begun = self.now.boot.saturating_sub(write.sent);
        if self.me.length.is_some_and(|length| begun >= length / 2) {
            return;
        }
        let known = match self.view() {
            Ok(Some((_, record))) => record.leases.get(&self.me.id).and_then(|lease| lease.token),
            _ => None,
        };
        let token = match known.map_or_else(|| object.version.token(), Ok) {
            Ok(token) => token,
            Err(error) => return self.give_up(Kind::Store(error)),
        };
        let holding = Holding::new(token, write.sent, self.me.length, self.me.renew_interval);
        self.tell(News::Acquired {
            token,
            deadline: holding.deadline,
        });
        self.phase = Phase::Holding(holding);
    }

    pub(super) fn not_answered(&mut self, error: StoreError) {
        self.unreachable(&error);
        if let Some(acquiring) = self.acquiring() {
            acquiring.last_failure = Some(error);
            acquiring.free = None;
        }
    }

    /// Whether a lease of this attempt is there, or may come to be.
    fn leaves_something(&self) -> bool {
        #[cfg(feature = "sim")]
        if self.me.flaw == Some(crate::sim::Flaw::Careless) {
            return false;
        }
        let mut doubts = self.doubts.iter();
        self.lease_there(false) || doubts.any(|write| self.may_be_done(write))
    }

    /// Ends the attempt, once no write of it can be done any more.
    pub(super) fn give_up(&mut self, kind: Kind) {
        if !matches!(self.phase, Phase::Acquiring(_)) {
            return;
        }
        let error = self.error(kind);
        match self.pending.take() {
            Some(Pending::Write(write)) => {
                self.doubts.push(write);
                self.stale = true;
                self.actions.push_back(super::Action::Abandon);
            }
            Some(Pending::Read { .. }) => self.actions.push_back(super::Action::Abandon),
            None => {}
        }
        self.doubts.retain(|write| !write.extends);
        if self.leaves_something() {
            self.leave(Leaving::after(error, self.now.boot, self.me.length));
        } else {
            self.tell(News::Failed(error));
            self.phase = Phase::Done;
        }
    }
}

impl Acquiring {
    fn too_late(&mut self) -> Kind {
        let limit = match self.wait {
            Wait::For(limit) => limit,
            Wait::No | Wait::Forever => Duration::ZERO,
        };
        let why = match (&self.last_failure, &self.told) {
            (Some(error), _) if !self.answered => error.to_string(),
            (_, Some(obstacle)) => obstacle.to_string(),
            (Some(error), None) => error.to_string(),
            (None, None) if !self.answered => "the store has not answered yet".to_owned(),
            (None, None) => "others were faster".to_owned(),
        };
        Kind::TimedOut(limit, why)
    }
}

impl Verdict {
    /// Whether it is the same news as that.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Held { by, .. }, Self::Held { by: then, .. })
            | (Self::Reserved { by, .. }, Self::Reserved { by: then, .. }) => by == then,
            _ => false,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Free => f.write_str("it is free"),
            Self::Ours(lease) => write!(f, "it is held by {:?}", lease.holder),
            Self::Held { by, expires, .. } if expires.is_never() => {
                write!(f, "it is held by {by:?} indefinitely")
            }
            Self::Held { by, expires, .. } => write!(f, "it is held by {by:?} until {expires}"),
            Self::Reserved { by, .. } => write!(f, "it is reserved by {by:?}"),
        }
    }
}
