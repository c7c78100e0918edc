//! Holding the lock: renew it, watch over it, and know when it is lost.

use std::time::Duration;

use super::{Latest, Machine, News, Phase, Write, edit};
use crate::{Lease, Lost, Token, error::Kind, store::StoreError};

#[derive(Debug)]
pub(crate) struct Holding {
    pub(crate) token: Token,
    /// The `CLOCK_BOOTTIME` at which the belief ends.
    pub(crate) deadline: Option<Duration>,
    length: Option<Duration>,
    interval: Option<Duration>,
    renew_at: Option<Duration>,
}

impl Holding {
    /// By a write that was sent then.
    pub(crate) fn new(
        token: Token,
        sent: Duration,
        length: Option<Duration>,
        interval: Option<Duration>,
    ) -> Self {
        let mut holding = Self {
            token,
            deadline: None,
            length,
            interval,
            renew_at: None,
        };
        holding.renewed(sent);
        holding
    }

    fn renewed(&mut self, sent: Duration) {
        let after = |length: Duration| sent.saturating_add(length);
        self.deadline = self.length.map(after);
        self.renew_at = self.interval.map(after);
    }
}

impl Machine {
    fn holding(&mut self) -> Option<&mut Holding> {
        match &mut self.phase {
            Phase::Holding(holding) => Some(holding),
            _ => None,
        }
    }

    /// Before anything else: whatever has happened, a belief does not outlive its deadline.
    pub(super) fn end_belief_in_time(&mut self) {
        #[cfg(feature = "sim")]
        if self.me.flaw == Some(crate::sim::Flaw::Stubborn) {
            return;
        }
        let boot = self.now.boot;
        let deadline = self.holding().and_then(|holding| holding.deadline);
        if deadline.is_some_and(|deadline| deadline <= boot) {
            self.lose(Lost::Expired);
        }
    }

    /// What to do next; comes here after everything that happens.
    pub(super) fn hold(&mut self) {
        if let Some(why) = self.lost() {
            return self.lose(why);
        }
        let Some(holding) = self.holding() else {
            return;
        };
        let (deadline, renew_at) = (holding.deadline, holding.renew_at);
        self.wake_by(deadline);
        if self.pending.is_some() || self.pausing() {
            return;
        }
        if self.stale {
            return self.send_read();
        }
        self.see();
        if self.renewed_by_doubt() {
            return self.hold();
        }
        match renew_at {
            Some(at) if at <= self.now.boot => self.renew(),
            at => self.wake_by(at),
        }
    }

    /// Why the lock is not ours any more, as far as was seen. While what is known may be old, and where it cannot be read, it is taken to be.
    fn lost(&self) -> Option<Lost> {
        match &self.latest {
            Latest::Absent(_) => Some(Lost::Deleted),
            Latest::There(_, Ok(record)) if !record.leases.contains_key(&self.me.id) => {
                Some(Lost::Taken)
            }
            _ => None,
        }
    }

    fn lose(&mut self, why: Lost) {
        self.phase = Phase::Lost;
        self.tell(News::Lost(why));
    }

    fn renew(&mut self) {
        let Some(token) = self.holding().map(|holding| holding.token) else {
            return;
        };
        let (mut lease, nonce) = self.new_lease();
        lease.token = Some(token);
        match self.view() {
            Ok(Some((object, record))) => {
                let object = edit::renewed(object, record, lease);
                self.send_write(object, Some(nonce), true);
            }
            Ok(None) => {}
            Err(kind) => self.unreadable(kind),
        }
    }

    /// Somebody has spoilt the lock. Until the deadline it may be put right.
    fn unreadable(&mut self, kind: Kind) {
        let pause = self.backoff.pause(&mut self.random, None);
        self.pause_until = Some(self.now.boot + pause);
        self.stale = true;
        self.wake_by(self.pause_until);
        let error = self.error(kind);
        self.tell(News::NotRenewed(error));
    }

    /// Renews now, whatever the interval is.
    pub(super) fn renew_now(&mut self) {
        let boot = self.now.boot;
        if let Some(holding) = self.holding() {
            holding.renew_at = Some(boot);
        }
    }

    pub(super) fn renewed_by(&mut self, write: &Write) {
        let Some(holding) = self.holding() else {
            return;
        };
        holding.renewed(write.sent);
        let deadline = holding.deadline;
        self.tell(News::Renewed { deadline });
    }

    /// Whether the lease that is there is one of ours whose answer was lost.
    fn renewed_by_doubt(&mut self) -> bool {
        let nonce = match self.view() {
            Ok(Some((_, record))) => record
                .leases
                .get(&self.me.id)
                .and_then(|lease: &Lease| lease.nonce.clone()),
            _ => None,
        };
        let doubts = std::mem::take(&mut self.doubts);
        let write = doubts
            .iter()
            .find(|write| write.nonce.is_some() && write.nonce == nonce);
        if let Some(write) = write {
            self.renewed_by(write);
            return true;
        }
        let open = doubts.into_iter().filter(|write| self.may_be_done(write));
        self.doubts = open.collect();
        false
    }

    pub(super) fn not_renewed(&mut self, error: StoreError) {
        let error = self.error(Kind::Store(error));
        self.tell(News::NotRenewed(error));
    }
}
