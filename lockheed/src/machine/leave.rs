//! Leaving the lock: no lease of ours stays, and no write that could make one later.

use std::time::Duration;

use coord_core::{Errno, HasErrno};

use super::{Action, Latest, Machine, News, Pending, Phase, Write, edit};
use crate::{
    error::{Error, Kind},
    store::{Object, StoreError},
};

/// How long it is tried at most. A lease with an end goes by itself soon after.
const LONGEST: Duration = Duration::from_secs(30);

/// The same, for one who was asked to stop.
const SOON: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Leaving {
    /// The attempt that ended with this error, whose writes alone are taken back; none to end the lease of our ID.
    after: Option<Error>,
    until: Duration,
}

impl Leaving {
    /// Ends the lease of our ID, if there is one.
    pub(crate) fn by_id(now: Duration, length: Option<Duration>) -> Self {
        let longest = length.map_or(LONGEST, |length| length.min(LONGEST));
        Self {
            after: None,
            until: now + longest,
        }
    }

    /// Takes back what an attempt has written. Who was asked to stop does so soon, even if something is left.
    pub(crate) fn after(error: Error, now: Duration, length: Option<Duration>) -> Self {
        let leaving = Self::by_id(now, length);
        let soon = now + SOON;
        let cancelled = error.errno() == Errno::ECANCELED;
        Self {
            until: if cancelled {
                leaving.until.min(soon)
            } else {
                leaving.until
            },
            after: Some(error),
        }
    }
}

impl Machine {
    pub(super) fn leave(&mut self, leaving: Leaving) {
        if matches!(self.phase, Phase::Leaving(_) | Phase::Done) {
            return;
        }
        match self.pending.take() {
            Some(Pending::Write(write)) => {
                self.doubts.push(write);
                self.actions.push_back(Action::Abandon);
            }
            Some(Pending::Read { .. }) => self.actions.push_back(Action::Abandon),
            None => {}
        }
        self.pause_until = None;
        self.phase = Phase::Leaving(leaving);
    }

    /// What to do next; comes here after everything that happens.
    pub(super) fn go(&mut self) {
        let Phase::Leaving(leaving) = &self.phase else {
            return;
        };
        let (until, by_id) = (leaving.until, leaving.after.is_none());
        if until <= self.now.boot {
            let text = "the store did not answer in time";
            let error = StoreError::new(
                crate::store::StoreErrorKind::Unavailable,
                Errno::ETIMEDOUT,
                text,
            );
            return self.stay(Kind::Store(error));
        }
        self.wake_by(Some(until));
        if self.pending.is_some() || self.pausing() {
            return;
        }
        if self.stale || matches!(self.latest, Latest::Unknown) {
            return self.send_read();
        }
        if let (Err(kind), true) = (self.view(), by_id) {
            return self.stay(kind);
        }
        match self.undone(by_id) {
            Some(object) => self.send_write(object, None, false),
            None => self.left(),
        }
    }

    /// What must be written, so that nothing of ours is left; none when nothing is.
    fn undone(&mut self, by_id: bool) -> Option<Object> {
        if let (Ok(Some((object, record))), true) = (self.view(), self.lease_there(by_id)) {
            return Some(edit::released(object, record, &self.me.id));
        }
        if !self.doubts.iter().any(|write| self.may_be_done(write)) {
            return None;
        }
        let nonce = self.nonce();
        match &self.latest {
            Latest::There(object, _) => Some(edit::moved(object, &nonce)),
            _ => Some(edit::empty(&Object::new(&self.me.name))),
        }
    }

    /// Whether a lease of ours is there: any of our ID, or only one that this attempt has made.
    pub(super) fn lease_there(&self, by_id: bool) -> bool {
        let Ok(Some((_, record))) = self.view() else {
            return false;
        };
        let ours = |nonce: &Option<String>| {
            nonce
                .as_ref()
                .is_some_and(|nonce| self.made.contains(nonce))
        };
        let lease = record.leases.get(&self.me.id);
        lease.is_some_and(|lease| by_id || ours(&lease.nonce))
    }

    /// Whether a write whose answer was lost can still be done, by what is known.
    pub(super) fn may_be_done(&self, write: &Write) -> bool {
        match (&self.latest, &write.base) {
            (Latest::Unknown, _) => true,
            (Latest::Absent(_), base) => base.is_none(),
            (Latest::There(..), None) => self.stale,
            (Latest::There(object, _), Some(base)) => {
                !base.is_before(&object.version) || self.stale
            }
        }
    }

    /// Nothing of ours is left.
    pub(super) fn left(&mut self) {
        let Phase::Leaving(leaving) = std::mem::replace(&mut self.phase, Phase::Done) else {
            return;
        };
        self.tell(leaving.after.map_or(News::Released, News::Failed));
    }

    /// Something of ours may be left.
    pub(super) fn stay(&mut self, kind: Kind) {
        let Phase::Leaving(leaving) = std::mem::replace(&mut self.phase, Phase::Done) else {
            return;
        };
        let error = self.error(kind);
        if let Some(after) = leaving.after {
            self.tell(News::Failed(after));
        }
        self.tell(News::NotReleased(error));
    }
}
