//! The real protocol, or one that is broken on purpose. The engine and the protocol do not know
//! about this.

use std::time::Duration;

use coord_core::BootInstant;
use coord_lease::{
    Version,
    engine::{Deadline, Failure, Moment, NewLease, Nonce, Protocol, Verdict, Write},
};

use super::Flaw;

/// How much too early [`Flaw::TakeEarly`] takes a lease.
const EARLY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Broken<P> {
    inner: P,
    flaw: Option<Flaw>,
}

impl<P> Broken<P> {
    /// The protocol with this flaw, if it has one.
    pub fn new(inner: P, flaw: Option<Flaw>) -> Self {
        Self { inner, flaw }
    }
}

impl<P: Protocol> Protocol for Broken<P> {
    type Object = P::Object;
    type Subject = P::Subject;
    type Fact = P::Fact;
    type HeldBy = P::HeldBy;
    type Grant = P::Grant;
    type Refusal = P::Refusal;
    type Notice = P::Notice;
    type Error = P::Error;

    const CLOCK_UNIT: Duration = P::CLOCK_UNIT;
    const CLAIMS_UNSEEN: bool = P::CLAIMS_UNSEEN;

    fn version(&self, object: &P::Object) -> Version {
        self.inner.version(object)
    }

    fn observe(&mut self, object: Option<&P::Object>, now: Moment) {
        self.inner.observe(object, now);
    }

    fn subject(&self) -> Option<P::Subject> {
        self.inner.subject()
    }

    fn is_watched(&self, subject: &P::Subject) -> bool {
        self.inner.is_watched(subject)
    }

    fn learn(&mut self, subject: &P::Subject, fact: P::Fact) -> Option<P::Notice> {
        self.inner.learn(subject, fact)
    }

    fn unwatched(&mut self, why: &P::Error) -> Option<P::Notice> {
        self.inner.unwatched(why)
    }

    fn judge(&self, object: Option<&P::Object>, now: Moment) -> Verdict<Self> {
        match self.inner.judge(object, now) {
            Verdict::Reserved(..) if self.flaw == Some(Flaw::IgnoreReservation) => Verdict::Free,
            Verdict::Free => Verdict::Free,
            Verdict::Ours(length) => Verdict::Ours(length),
            Verdict::Held(by, Some(until)) if self.flaw == Some(Flaw::TakeEarly) => {
                let until = BootInstant::after_boot(until.since_boot().saturating_sub(EARLY));
                if until <= now.boot {
                    Verdict::Free
                } else {
                    Verdict::Held(by, Some(until))
                }
            }
            Verdict::Held(by, until) => Verdict::Held(by, until),
            Verdict::Reserved(by, until) => Verdict::Reserved(by, until),
            Verdict::Turn { since, before } => Verdict::Turn { since, before },
            Verdict::Unknown => Verdict::Unknown,
            Verdict::Impossible(why) => Verdict::Impossible(why),
        }
    }

    fn is_same(&self, one: &P::HeldBy, other: &P::HeldBy) -> bool {
        self.inner.is_same(one, other)
    }

    fn has_lease(&self, object: &P::Object) -> Option<bool> {
        self.inner.has_lease(object)
    }

    fn nonce(&self, object: &P::Object) -> Option<Nonce> {
        self.inner.nonce(object)
    }

    fn leases(&self) -> u32 {
        self.inner.leases()
    }

    fn passed(&self, object: &P::Object) -> Option<u32> {
        self.inner.passed(object)
    }

    fn room(&self, object: &P::Object) -> Option<u32> {
        self.inner.room(object)
    }

    fn grant(&self, object: &P::Object) -> Result<P::Grant, P::Error> {
        self.inner.grant(object)
    }

    fn deadline(&mut self, object: &P::Object, sent: Option<BootInstant>, now: Moment) -> Deadline {
        match self.inner.deadline(object, sent, now) {
            Deadline::At(_) if self.flaw == Some(Flaw::IgnoreExpiry) => Deadline::Never,
            deadline => deadline,
        }
    }

    fn claim(
        &mut self,
        object: Option<&P::Object>,
        lease: NewLease,
        now: Moment,
    ) -> (Write<P::Object>, Option<P::Notice>) {
        self.inner.claim(object, lease, now)
    }

    fn extend(
        &self,
        object: &P::Object,
        grant: Option<&P::Grant>,
        lease: NewLease,
        now: Moment,
    ) -> Result<Write<P::Object>, Failure<Self>> {
        let extended = self.inner.extend(object, grant, lease, now);
        extended.map_err(failure)
    }

    fn release(
        &self,
        object: &P::Object,
        now: Moment,
    ) -> Result<Option<Write<P::Object>>, Failure<Self>> {
        self.inner.release(object, now).map_err(failure)
    }

    fn place_due(&self, now: Moment) -> Option<BootInstant> {
        self.inner.place_due(now)
    }

    fn take_place(
        &self,
        object: &P::Object,
        nonce: Nonce,
        now: Moment,
    ) -> Result<Write<P::Object>, Failure<Self>> {
        let placed = self.inner.take_place(object, nonce, now);
        placed.map_err(failure)
    }

    fn fence(&self, object: Option<&P::Object>, nonce: Nonce, now: Moment) -> Write<P::Object> {
        self.inner.fence(object, nonce, now)
    }
}

fn failure<P: Protocol>(failure: Failure<P>) -> Failure<Broken<P>> {
    match failure {
        Failure::Held(by) => Failure::Held(by),
        Failure::TimedOut(limit, why) => Failure::TimedOut(limit, why),
        Failure::Lost(why) => Failure::Lost(why),
        Failure::Cancelled => Failure::Cancelled,
        Failure::Refused(why) => Failure::Refused(why),
        Failure::Request(error) => Failure::Request(error),
        Failure::Unanswered(error) => Failure::Unanswered(error),
        Failure::Silent => Failure::Silent,
    }
}
