//! The mutex protocol for the lease engine: how to judge the object, and the writes that claim,
//! extend, release and fence it.

mod broken;
mod edit;
mod held_by;
mod judge;
mod observed;
mod skew;
#[cfg(test)]
mod tests;
mod write;

use std::time::Duration;

use coord_core::BootInstant;
use coord_lease::{
    Version,
    engine::{
        Deadline, Effect, Failure, Moment, NewLease, Nonce, Protocol, RequestError, StoreTime,
        Verdict, Write,
    },
};

pub(crate) use self::broken::Broken;
pub use self::held_by::{HeldBy, NotHeld, OtherKey, Refusal};
use self::observed::Observed;
pub use self::skew::Skew;
use crate::{
    Condition, InvalidRecord, Lease, LockName, Mode, Record, Timestamp, Token,
    error::Kind,
    fair::{ObservedQueue, Waiter},
    key,
    record::MUTEX,
    store::{Object, StoreError, StoreErrorKind},
};

/// What one contender wants of a mutex.
#[derive(Clone, Debug)]
pub struct Contender {
    /// The lock's name.
    pub name: LockName,
    /// The holder's ID.
    pub id: String,
    /// Tags to add to the lock when it is acquired.
    pub tags: Vec<String>,
    /// Removes all other tags then.
    pub reset_tags: bool,
    /// Takes the lock from its holder if this condition holds.
    pub force: Option<Condition>,
    /// How many may hold the lock at once.
    pub mode: Mode,
    /// It waits in the lock's queue and is served in turn.
    pub fair: bool,
    /// Its priority in the queue; higher ones come first.
    pub priority: u32,
    /// How far clocks may differ.
    pub skew: Skew,
    /// A number for the lease by which some stores can tell whether the holder is alive.
    pub alive: Option<u64>,
}

/// A mutex, as one contender sees it.
#[derive(Debug)]
pub struct Mutex {
    contender: Contender,
    /// It only renews an existing lease.
    renews: bool,
    /// An existing lease of ours keeps its length.
    keeps_length: bool,
    observed: Observed,
    /// The record of the object that was seen last.
    record: Option<Result<Record, Refusal>>,
    /// Its queue, and the age of each place.
    queue: ObservedQueue,
    /// Our position in the queue, and since when.
    position: Option<(usize, BootInstant)>,
    /// Whose lease was broken last.
    broken: Option<Broken>,
}

/// The protocol needs to know nothing but the lock's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {}

impl Mutex {
    /// A mutex that nobody has seen yet.
    #[must_use]
    pub fn new(contender: Contender) -> Self {
        Self {
            contender,
            renews: false,
            keeps_length: false,
            observed: Observed::default(),
            record: None,
            queue: ObservedQueue::default(),
            position: None,
            broken: None,
        }
    }

    /// Only renews an existing lease.
    #[must_use]
    pub fn renewing(mut self) -> Self {
        self.renews = true;
        self
    }

    /// An existing lease of this ID keeps its length when it is extended.
    #[must_use]
    pub fn keeping_the_length(mut self) -> Self {
        self.keeps_length = true;
        self
    }

    /// The record, if the object exists and is a mutex.
    fn record(&self) -> Result<Option<&Record>, Refusal> {
        match &self.record {
            None => Ok(None),
            Some(Err(refusal)) => Err(refusal.clone()),
            Some(Ok(record)) if record.lock_type.is_empty() || record.lock_type == MUTEX => {
                Ok(Some(record))
            }
            Some(Ok(record)) => {
                let reason = format!("its type {:?} is not known", record.lock_type);
                Err(Refusal::Unreadable(reason))
            }
        }
    }

    fn readable(&self) -> Result<Option<&Record>, Failure<Self>> {
        self.record().map_err(Failure::Refused)
    }
}

impl Protocol for Mutex {
    type Object = Object;
    type Subject = Nothing;
    type Fact = Nothing;
    type HeldBy = HeldBy;
    type Grant = Token;
    type Refusal = Refusal;
    type Notice = Nothing;
    type Error = StoreError;

    fn version(&self, object: &Object) -> Version {
        object.version.clone()
    }

    fn observe(&mut self, object: Option<&Object>, now: Moment) {
        self.broken = object.and_then(Broken::read);
        self.queue.read(object, now.boot);
        let position = self.queue.latest().position(&self.contender.id);
        self.position = position.map(|position| match self.position {
            Some((before, since)) if before == position => (position, since),
            _ => (position, now.boot),
        });
        let Some(object) = object else {
            self.record = None;
            return self.observed.forget();
        };
        let unreadable = |error: InvalidRecord| Refusal::Unreadable(error.to_string());
        let record = key::check(&self.contender.name, object).map_err(Refusal::OtherKey);
        let record = record.and_then(|()| object.record().map_err(unreadable));
        if let Ok(record) = &record {
            self.observed.observe(object, record, now);
        }
        self.record = Some(record);
    }

    fn judge(&self, _: Option<&Object>, now: Moment) -> Verdict<Self> {
        self.verdict(now)
    }

    /// An extended lease counts as different, since the wait now ends at another time.
    fn is_same(&self, one: &HeldBy, other: &HeldBy) -> bool {
        one == other
    }

    fn has_lease(&self, _: &Object) -> Option<bool> {
        self.record.as_ref()?.as_ref().ok()?;
        Some(self.our_lease().is_some())
    }

    fn nonce(&self, _: &Object) -> Option<Nonce> {
        // Beside our place there may be an expired lease of an earlier attempt.
        let place = self
            .position
            .and_then(|(at, _)| self.queue.latest().waiters().get(at));
        let of_lease = || self.our_entry()?.nonce.as_deref();
        let nonce = place.map(Waiter::nonce).or_else(of_lease)?;
        u64::from_str_radix(nonce, 16).ok().map(Nonce)
    }

    fn passed(&self, _: &Object) -> Option<u32> {
        let record = self.record.as_ref()?.as_ref().ok()?;
        record.leases.values().find_map(|lease| lease.passed)
    }

    fn leases(&self) -> u32 {
        let record = self.record.as_ref().and_then(|record| record.as_ref().ok());
        let leases = record.map_or(1, |record| record.leases.len());
        u32::try_from(leases).unwrap_or(u32::MAX)
    }

    fn room(&self, _: &Object) -> Option<u32> {
        if self.contender.fair {
            return None;
        }
        self.record.as_ref()?.as_ref().ok()?.room
    }

    fn grant(&self, object: &Object) -> Result<Token, StoreError> {
        let known = self.our_lease().and_then(|lease| lease.token);
        known.map_or_else(|| Token::of(&object.version), Ok)
    }

    fn deadline(&mut self, _: &Object, sent: Option<BootInstant>, _: Moment) -> Deadline {
        let length = self.our_lease().and_then(Lease::duration);
        match (sent, length) {
            (None, _) => Deadline::Unchanged,
            (Some(sent), Some(length)) => Deadline::At(sent + length),
            (Some(_), None) => Deadline::Never,
        }
    }

    fn claim(
        &mut self,
        object: Option<&Object>,
        lease: NewLease,
        now: Moment,
    ) -> (Write<Object>, Option<Nothing>) {
        let lease = self.new_lease(lease, None, now);
        (self.acquired(object, lease, now), None)
    }

    fn extend(
        &self,
        object: &Object,
        grant: Option<&Token>,
        lease: NewLease,
        now: Moment,
    ) -> Result<Write<Object>, Failure<Self>> {
        let Some(record) = self.readable()? else {
            return Err(Failure::Lost(coord_lease::LeaseLost::Deleted));
        };
        let lease = NewLease {
            length: self.length(lease.length),
            ..lease
        };
        if let Some(token) = grant {
            let lease = self.new_lease(lease, Some(*token), now);
            return Ok(Write::Update(edit::renewed(object, record, lease)));
        }
        let token = self.grant(object).map_err(Failure::Request)?;
        let lease = self.new_lease(lease, Some(token), now);
        Ok(self.acquired(Some(object), lease, now))
    }

    fn release(
        &self,
        object: &Object,
        now: Moment,
    ) -> Result<Option<Write<Object>>, Failure<Self>> {
        let record = self.readable()?;
        let released = record.and_then(|record| self.released(object, record, now));
        Ok(released.map(Write::Update))
    }

    fn place_due(&self, now: Moment) -> Option<BootInstant> {
        self.place_due_at(now)
    }

    fn take_place(
        &self,
        object: &Object,
        nonce: Nonce,
        now: Moment,
    ) -> Result<Write<Object>, Failure<Self>> {
        self.placed(object, nonce, now).map(Write::Update)
    }

    fn fence(&self, object: Option<&Object>, nonce: Nonce, _: Moment) -> Write<Object> {
        match object {
            Some(object) => Write::Update(edit::moved(object, nonce)),
            None => {
                let name = &self.contender.name;
                Write::Create(key::keep(name, edit::empty(&Object::new(name))))
            }
        }
    }
}

impl RequestError for StoreError {
    fn effect(&self) -> Effect {
        match self.kind() {
            StoreErrorKind::NotFound | StoreErrorKind::Exists | StoreErrorKind::Conflict => {
                Effect::Conflict
            }
            StoreErrorKind::Unavailable => Effect::None,
            StoreErrorKind::Unknown => Effect::Unknown,
            StoreErrorKind::Denied | StoreErrorKind::Invalid => Effect::Final,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        self.wanted_wait()
    }
}

impl From<Failure<Mutex>> for Kind {
    fn from(failure: Failure<Mutex>) -> Self {
        match failure {
            Failure::Held(by @ (HeldBy::Lease { .. } | HeldBy::Waiter { .. })) => Self::Held(by),
            Failure::Held(by @ HeldBy::Reservation { .. }) => {
                Self::TimedOut(Duration::ZERO, format!("it is {by}"))
            }
            Failure::TimedOut(limit, why) => Self::TimedOut(limit, why),
            Failure::Lost(why) => Self::Lost(why),
            Failure::Cancelled => Self::Cancelled,
            Failure::Refused(Refusal::Unreadable(reason)) => Self::Record(reason),
            Failure::Refused(Refusal::OtherKey(other)) => other.into(),
            Failure::Refused(refusal @ (Refusal::OtherMode { .. } | Refusal::QueueFull(_))) => {
                Self::InvalidRequest(refusal.to_string())
            }
            Failure::Refused(Refusal::NoLock) => Self::NoLock,
            Failure::Refused(Refusal::NotHeld(why)) => Self::NotHeld(why),
            Failure::Request(error) => Self::Store(error),
            Failure::Unanswered(error) => Self::Unanswered(error),
            Failure::Silent => Self::Store(StoreError::silent(StoreErrorKind::Unavailable)),
        }
    }
}

/// The earliest time that the store's clock may show.
fn earliest(now: Moment) -> Timestamp {
    let earliest = |store: StoreTime| store.earliest;
    Timestamp::from_unix(now.store.map_or(Duration::ZERO, earliest))
}

/// The latest time that it may show.
fn latest(now: Moment) -> Timestamp {
    let latest = |store: StoreTime| store.latest;
    Timestamp::from_unix(now.store.map_or(Duration::ZERO, latest))
}
