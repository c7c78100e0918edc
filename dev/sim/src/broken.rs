//! The real protocol, or one that is broken on purpose. The engine and the protocol know nothing of it.

use coord_core::BootInstant;
use coord_lease::{
    Version,
    engine::{self, Deadline, Failure, Moment, NewLease, Nonce, Protocol, Verdict, Write},
};
use lockheed::{
    Token,
    protocol::{HeldBy, Mutex, Nothing},
    store::{Object, StoreError},
};

use super::Flaw;

pub(super) type Output = engine::Output<Broken>;
pub(super) type Event = engine::Event<Broken>;

/// See the module.
pub(super) struct Broken {
    mutex: Mutex,
    flaw: Option<Flaw>,
}

impl Broken {
    pub(super) fn new(mutex: Mutex, flaw: Option<Flaw>) -> Self {
        Self { mutex, flaw }
    }
}

impl Protocol for Broken {
    type Object = Object;
    type Subject = Nothing;
    type Fact = Nothing;
    type Obstacle = HeldBy;
    type Grant = Token;
    type Refusal = String;
    type Notice = Nothing;
    type Error = StoreError;

    fn version(&self, object: &Object) -> Version {
        self.mutex.version(object)
    }

    fn observe(&mut self, object: Option<&Object>, now: Moment) {
        self.mutex.observe(object, now);
    }

    fn judge(&self, object: Option<&Object>, now: Moment) -> Verdict<Self> {
        match self.mutex.judge(object, now) {
            Verdict::Reserved(..) if self.flaw == Some(Flaw::IgnoreReservation) => Verdict::Free,
            Verdict::Free => Verdict::Free,
            Verdict::Ours(length) => Verdict::Ours(length),
            Verdict::Held(by, until) => Verdict::Held(by, until),
            Verdict::Reserved(by, until) => Verdict::Reserved(by, until),
            Verdict::Unknown => Verdict::Unknown,
            Verdict::Impossible(why) => Verdict::Impossible(why),
        }
    }

    fn is_same(&self, one: &HeldBy, other: &HeldBy) -> bool {
        self.mutex.is_same(one, other)
    }

    fn has_lease(&self, object: &Object) -> Option<bool> {
        self.mutex.has_lease(object)
    }

    fn nonce(&self, object: &Object) -> Option<Nonce> {
        self.mutex.nonce(object)
    }

    fn grant(&self, object: &Object) -> Result<Token, StoreError> {
        self.mutex.grant(object)
    }

    fn deadline(&mut self, object: &Object, sent: Option<BootInstant>, now: Moment) -> Deadline {
        match self.mutex.deadline(object, sent, now) {
            Deadline::At(_) if self.flaw == Some(Flaw::IgnoreExpiry) => Deadline::Never,
            deadline => deadline,
        }
    }

    fn claim(
        &mut self,
        object: Option<&Object>,
        lease: NewLease,
        now: Moment,
    ) -> (Write<Object>, Option<Nothing>) {
        self.mutex.claim(object, lease, now)
    }

    fn extend(
        &self,
        object: &Object,
        grant: Option<&Token>,
        lease: NewLease,
        now: Moment,
    ) -> Result<Write<Object>, Failure<Self>> {
        self.mutex
            .extend(object, grant, lease, now)
            .map_err(failure)
    }

    fn release(&self, object: &Object) -> Result<Option<Write<Object>>, Failure<Self>> {
        self.mutex.release(object).map_err(failure)
    }

    fn fence(&self, object: Option<&Object>, nonce: Nonce, now: Moment) -> Write<Object> {
        self.mutex.fence(object, nonce, now)
    }
}

/// Those that a protocol says.
fn failure(failure: Failure<Mutex>) -> Failure<Broken> {
    match failure {
        Failure::Lost(why) => Failure::Lost(why),
        Failure::Refused(why) => Failure::Refused(why),
        Failure::Request(error) => Failure::Request(error),
        _ => Failure::Silent,
    }
}
