//! The mutex as the lease engine plays it: how the object is read and judged, and what claims, extends, releases and fences it.

mod broken;
mod edit;
mod held_by;
mod observed;
mod skew;
#[cfg(test)]
mod tests;

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
    Condition, InvalidRecord, Lease, LockName, Record, Timestamp, Token,
    error::Kind,
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
    /// Added to the lock's tags when it is acquired.
    pub tags: Vec<String>,
    /// The other tags go then.
    pub reset_tags: bool,
    /// Takes the lock away from whoever holds it, where this holds.
    pub force: Option<Condition>,
    /// How far clocks may differ.
    pub skew: Skew,
    /// Goes into the lease, for stores that can tell whether a holder lives.
    pub alive: Option<u64>,
}

/// A mutex, as one contender sees it.
#[derive(Debug)]
pub struct Mutex {
    contender: Contender,
    /// Nothing but a lease that is there is wanted.
    renews: bool,
    /// A lease of ours that is there keeps its length.
    keeps_length: bool,
    observed: Observed,
    /// Of the object that was seen last.
    record: Option<Result<Record, Refusal>>,
    /// Who was the last whose lease was broken.
    broken: Option<Broken>,
}

/// There is nothing but the lock's object to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {}

impl Mutex {
    /// As nobody has seen it yet.
    #[must_use]
    pub fn new(contender: Contender) -> Self {
        Self {
            contender,
            renews: false,
            keeps_length: false,
            observed: Observed::default(),
            record: None,
            broken: None,
        }
    }

    /// For one who wants nothing but to renew a lease that is there.
    #[must_use]
    pub fn renewing(mut self) -> Self {
        self.renews = true;
        self
    }

    /// A lease of this ID that is there already keeps its length when it is extended.
    #[must_use]
    pub fn keeping_the_length(mut self) -> Self {
        self.keeps_length = true;
        self
    }

    /// The record, if there is an object, and it is one of a mutex.
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

    fn our_lease(&self) -> Option<&Lease> {
        let record = self.record.as_ref()?.as_ref().ok()?;
        record.leases.get(&self.contender.id)
    }

    fn is_forced(&self, now: Moment) -> bool {
        let (Some(force), Ok(Some(record))) = (&self.contender.force, self.record()) else {
            return false;
        };
        force.holds(record, self.observed.is_held(self.contender.skew, now))
    }

    /// Why there is nothing to renew; none when a lease of ours is there, even if it is over.
    fn not_to_renew(&self, by: Option<HeldBy>) -> Option<Refusal> {
        if !self.renews || self.our_lease().is_some() {
            return None;
        }
        if self.record.is_none() {
            return Some(Refusal::NoLock);
        }
        let id = &self.contender.id;
        let broken = self.broken.as_ref().filter(|broken| broken.ended(id));
        Some(Refusal::NotHeld(Box::new(NotHeld {
            id: id.clone(),
            token: None,
            broken: broken.cloned(),
            by,
            current: None,
        })))
    }

    /// How long a lease is to be that extends the one that is there.
    fn length(&self, wanted: Option<Duration>) -> Option<Duration> {
        match self.our_lease().filter(|_| self.keeps_length) {
            Some(lease) if lease.expires.is_never() => None,
            Some(lease) => lease.duration().or(wanted),
            None => wanted,
        }
    }

    /// What it says of its end is rather too late than too early, or others would take it for over.
    fn new_lease(&self, lease: NewLease, token: Option<Token>, now: Moment) -> Lease {
        let latest = now.store.map_or(Duration::ZERO, |store| store.latest);
        let expires = lease.length.map_or(Timestamp::NEVER, |length| {
            Timestamp::from_unix(latest).plus(length)
        });
        let mut new = Lease::new(&self.contender.id, expires, lease.length);
        new.nonce = Some(lease.nonce.to_string());
        new.passed = lease.passed;
        new.alive = self.contender.alive;
        new.token = token;
        new
    }

    fn acquired(&self, object: Option<&Object>, lease: Lease) -> Write<Object> {
        let Contender {
            name,
            tags,
            reset_tags,
            ..
        } = &self.contender;
        let acquired = |object: &Object, record: &Record| {
            key::keep(
                name,
                edit::acquired(object, record, lease, tags, *reset_tags),
            )
        };
        match (object, self.record()) {
            (Some(object), Ok(Some(record))) => Write::Update(acquired(object, record)),
            _ => Write::Create(acquired(&Object::new(name), &Record::mutex(name.as_str()))),
        }
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
        let Contender { id, skew, .. } = &self.contender;
        if let Err(refusal) = self.record() {
            return Verdict::Impossible(refusal);
        }
        let held = self.observed.held(id, *skew, now);
        let held = held.map(|(by, expires, until)| {
            let is_past = !expires.is_never() && expires <= earliest(now);
            let by = HeldBy::Lease {
                by,
                expires,
                is_past,
            };
            (by, until)
        });
        let by = held.as_ref().map(|(by, _)| by.clone());
        if let Some(refusal) = self.not_to_renew(by) {
            return Verdict::Impossible(refusal);
        }
        if let Some((by, until)) = held
            && !self.is_forced(now)
        {
            return Verdict::Held(by, until);
        }
        let ours = self.our_lease();
        if let Some(lease) = ours.filter(|lease| !lease.is_expired(earliest(now))) {
            return Verdict::Ours(lease.duration());
        }
        match self.observed.reserved(id, now) {
            Some((by, until)) => Verdict::Reserved(HeldBy::Reservation { by }, until),
            None => Verdict::Free,
        }
    }

    /// A lease that was extended is news, since it says until when to wait.
    fn is_same(&self, one: &HeldBy, other: &HeldBy) -> bool {
        one == other
    }

    fn has_lease(&self, _: &Object) -> Option<bool> {
        let record = self.record.as_ref()?.as_ref().ok()?;
        Some(record.leases.contains_key(&self.contender.id))
    }

    fn nonce(&self, _: &Object) -> Option<Nonce> {
        let nonce = self.our_lease()?.nonce.as_ref()?;
        u64::from_str_radix(nonce, 16).ok().map(Nonce)
    }

    fn passed(&self, _: &Object) -> Option<u32> {
        let record = self.record.as_ref()?.as_ref().ok()?;
        record.leases.values().find_map(|lease| lease.passed)
    }

    fn room(&self, _: &Object) -> Option<u32> {
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
        (
            self.acquired(object, self.new_lease(lease, None, now)),
            None,
        )
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
        Ok(self.acquired(Some(object), self.new_lease(lease, Some(token), now)))
    }

    fn release(&self, object: &Object) -> Result<Option<Write<Object>>, Failure<Self>> {
        let record = self.readable()?;
        let id = &self.contender.id;
        let record = record.filter(|record| record.leases.contains_key(id));
        Ok(record.map(|record| Write::Update(edit::released(object, record, id))))
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
            Failure::Held(by @ HeldBy::Lease { .. }) => Self::Held(by),
            Failure::Held(by @ HeldBy::Reservation { .. }) => {
                Self::TimedOut(Duration::ZERO, format!("it is {by}"))
            }
            Failure::TimedOut(limit, why) => Self::TimedOut(limit, why),
            Failure::Lost(why) => Self::Lost(why),
            Failure::Cancelled => Self::Cancelled,
            Failure::Refused(Refusal::Unreadable(reason)) => Self::Record(reason),
            Failure::Refused(Refusal::OtherKey(other)) => other.into(),
            Failure::Refused(Refusal::NoLock) => Self::NoLock,
            Failure::Refused(Refusal::NotHeld(why)) => Self::NotHeld(why),
            Failure::Request(error) => Self::Store(error),
            Failure::Unanswered(error) => Self::Unanswered(error),
            Failure::Silent => Self::Store(StoreError::silent(StoreErrorKind::Unavailable)),
        }
    }
}

/// The earliest that the store's clock may show.
fn earliest(now: Moment) -> Timestamp {
    let earliest = |store: StoreTime| store.earliest;
    Timestamp::from_unix(now.store.map_or(Duration::ZERO, earliest))
}
