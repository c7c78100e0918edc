//! The mutex as the lease engine plays it: how the object is read and judged, and what claims, extends, releases and fences it.

mod edit;
mod observed;
#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use coord_core::BootInstant;
use coord_lease::{
    Version,
    engine::{
        Deadline, Effect, Failure, Moment, NewLease, Nonce, Protocol, RequestError, StoreTime,
        Verdict, Write,
    },
};

use self::observed::Observed;
use crate::{
    Condition, Lease, LockName, Record, Timestamp, Token,
    error::Kind,
    record::MUTEX,
    store::{Object, RECORD, Store, StoreError, StoreErrorKind},
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

/// How far the clocks may differ by which leases are written and judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// A lease that does not say how long it is counts for so much longer than it says.
    pub without_length: Duration,
    /// A lease with a length that was over for so long when it was first seen is not waited for; none to wait for each.
    pub at_first_sight: Option<Duration>,
}

/// A mutex, as one contender sees it.
#[derive(Debug)]
pub struct Mutex {
    contender: Contender,
    observed: Observed,
    /// Of the object that was seen last.
    record: Option<Result<Record, String>>,
}

/// Who holds a mutex, or is about to write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// The holder, and when its lease is over by its own word.
    Lease {
        /// The holder's ID.
        by: String,
        /// On the store's clock.
        expires: Timestamp,
    },
    /// A Go program that has announced its write.
    Reservation {
        /// Its ID.
        by: String,
    },
}

/// There is nothing but the lock's object to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {}

impl Skew {
    /// How far the clock of this store may be from what another contender takes it for: what is past by a minute more than that is past,
    /// unless there is only one clock.
    #[must_use]
    pub fn of(store: &impl Store) -> Self {
        const AT_FIRST_SIGHT: Duration = Duration::from_secs(60);
        let skew = store.clock_skew();
        Self {
            without_length: skew,
            at_first_sight: Some(if skew.is_zero() {
                skew
            } else {
                skew.max(AT_FIRST_SIGHT)
            }),
        }
    }

    /// Whether a lease that is seen for the first time is over, however far clocks differ.
    pub(crate) fn is_surely_over(self, lease: &Lease, now: Timestamp) -> bool {
        let skew = match lease.duration() {
            Some(_) => self.at_first_sight,
            None => Some(self.without_length),
        };
        !lease.expires.is_never() && skew.is_some_and(|skew| lease.expires.plus(skew) < now)
    }
}

impl Mutex {
    /// As nobody has seen it yet.
    #[must_use]
    pub fn new(contender: Contender) -> Self {
        Self {
            contender,
            observed: Observed::default(),
            record: None,
        }
    }

    /// The record, if there is an object, and it is one of a mutex.
    fn record(&self) -> Result<Option<&Record>, String> {
        match &self.record {
            None => Ok(None),
            Some(Err(reason)) => Err(reason.clone()),
            Some(Ok(record)) if record.lock_type.is_empty() || record.lock_type == MUTEX => {
                Ok(Some(record))
            }
            Some(Ok(record)) => Err(format!("its type {:?} is not known", record.lock_type)),
        }
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

    /// What it says of its end is rather too late than too early, or others would take it for over.
    fn new_lease(&self, lease: NewLease, token: Option<Token>, now: Moment) -> Lease {
        let latest = now.store.map_or(Duration::ZERO, |store| store.latest);
        let expires = lease.length.map_or(Timestamp::NEVER, |length| {
            Timestamp::from_unix(latest).plus(length)
        });
        let mut new = Lease::new(&self.contender.id, expires, lease.length);
        new.nonce = Some(lease.nonce.to_string());
        new.passed = Some(lease.passed).filter(|passed| *passed > 0);
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
        match (object, self.record()) {
            (Some(object), Ok(Some(record))) => {
                Write::Update(edit::acquired(object, record, lease, tags, *reset_tags))
            }
            _ => {
                let (object, record) = (Object::new(name), Record::mutex(name.as_str()));
                Write::Create(edit::acquired(&object, &record, lease, tags, *reset_tags))
            }
        }
    }
}

impl Protocol for Mutex {
    type Object = Object;
    type Subject = Nothing;
    type Fact = Nothing;
    type Obstacle = HeldBy;
    type Grant = Token;
    type Refusal = String;
    type Notice = Nothing;
    type Error = StoreError;

    fn version(&self, object: &Object) -> Version {
        object.version.clone()
    }

    fn observe(&mut self, object: Option<&Object>, now: Moment) {
        let Some(object) = object else {
            self.record = None;
            return self.observed.forget();
        };
        let text = object.data.get(RECORD);
        let record = text
            .ok_or_else(|| format!("it has no {RECORD:?} entry"))
            .and_then(|text| Record::from_json(text).map_err(|error| error.to_string()));
        if let Ok(record) = &record {
            self.observed.observe(object, record, now);
        }
        self.record = Some(record);
    }

    fn judge(&self, _: Option<&Object>, now: Moment) -> Verdict<Self> {
        let Contender { id, skew, .. } = &self.contender;
        if let Err(reason) = self.record() {
            return Verdict::Impossible(reason);
        }
        if let Some((by, expires, until)) = self.observed.held(id, *skew, now)
            && !self.is_forced(now)
        {
            return Verdict::Held(HeldBy::Lease { by, expires }, until);
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

    fn is_same(&self, one: &HeldBy, other: &HeldBy) -> bool {
        match (one, other) {
            (HeldBy::Lease { by, .. }, HeldBy::Lease { by: then, .. })
            | (HeldBy::Reservation { by }, HeldBy::Reservation { by: then }) => by == then,
            _ => false,
        }
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
        let Some(record) = self.record().map_err(Failure::Refused)? else {
            return Err(Failure::Lost(coord_lease::Lost::Deleted));
        };
        if let Some(token) = grant {
            let lease = self.new_lease(lease, Some(*token), now);
            return Ok(Write::Update(edit::renewed(object, record, lease)));
        }
        let token = self.grant(object).map_err(Failure::Request)?;
        Ok(self.acquired(Some(object), self.new_lease(lease, Some(token), now)))
    }

    fn release(&self, object: &Object) -> Result<Option<Write<Object>>, Failure<Self>> {
        let record = self.record().map_err(Failure::Refused)?;
        let id = &self.contender.id;
        let record = record.filter(|record| record.leases.contains_key(id));
        Ok(record.map(|record| Write::Update(edit::released(object, record, id))))
    }

    fn fence(&self, object: Option<&Object>, nonce: Nonce, _: Moment) -> Write<Object> {
        match object {
            Some(object) => Write::Update(edit::moved(object, nonce)),
            None => Write::Create(edit::empty(&Object::new(&self.contender.name))),
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
            Failure::Held(HeldBy::Lease { by, expires }) => Self::Held { by, until: expires },
            Failure::Held(by @ HeldBy::Reservation { .. }) => {
                Self::TimedOut(Duration::ZERO, format!("it is {by}"))
            }
            Failure::TimedOut(limit, why) => Self::TimedOut(limit, why),
            Failure::Lost(why) => Self::Lost(why),
            Failure::Cancelled => Self::Cancelled,
            Failure::Refused(reason) => Self::Record(reason),
            Failure::Request(error) => Self::Store(error),
            Failure::Unanswered(error) => Self::Unanswered(error),
            Failure::Silent => Self::Store(StoreError::silent(StoreErrorKind::Unavailable)),
        }
    }
}

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease { by, expires } if expires.is_never() => {
                write!(f, "held by {by:?} indefinitely")
            }
            Self::Lease { by, expires } => write!(f, "held by {by:?} until {expires}"),
            Self::Reservation { by } => write!(f, "reserved by {by:?}"),
        }
    }
}

/// The earliest that the store's clock may show.
fn earliest(now: Moment) -> Timestamp {
    let earliest = |store: StoreTime| store.earliest;
    Timestamp::from_unix(now.store.map_or(Duration::ZERO, earliest))
}
