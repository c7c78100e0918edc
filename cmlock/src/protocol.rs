//! The Pod's lock as the lease engine plays it: how the object and its owner are judged, and what claims, extends, releases and fences it.

mod refusal;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use coord_core::BootInstant;
use coord_lease::{
    Version,
    engine::{Deadline, Failure, Moment, NewLease, Nonce, Protocol, RequestError, Verdict, Write},
};
use k8s_openapi::api::core::v1::ConfigMap;

pub use self::refusal::Refusal;
pub use crate::holder::{Container, Holder, OwnerState};
use crate::{
    FreeReason, HeldBy, Record, Time,
    judge::{self, judge, look_again},
    record::{self, Malformed, Owner},
    time::ClockBounds,
};

/// How far back the expiry of an object is that only keeps its name from a creation in doubt: whole seconds, and then some.
const LONG_OVER: u64 = 5;

/// A lock, as one contender sees it, whose requests fail with such errors.
#[derive(Debug)]
pub struct PodLock<E> {
    name: String,
    labels: BTreeMap<String, String>,
    /// Whether it has an expiry, for which the server's clock is needed.
    expires: bool,
    /// The expiry as it was written last.
    written: Written,
    us: Option<Result<Holder, Refusal>>,
    record: Option<Result<Record, Malformed>>,
    /// Of the Pod that owns what was seen.
    owner: OwnerState,
    errors: PhantomData<fn() -> E>,
}

/// What is known of the expiry of a lock that is held: none as long as nothing was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written(Arc<Mutex<Option<Option<Time>>>>);

/// What must be known besides the object.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// Who we are.
    Us,
    /// The Pod of whoever holds the lock.
    Owner(Owner),
}

/// What is known of a [`Subject`].
#[derive(Debug)]
pub enum Fact {
    /// Who we are, and the container that was asked for and that the Pod does not have.
    Us(Result<Holder, Refusal>, Option<String>),
    /// The Pod of whoever holds the lock.
    Owner(OwnerState),
}

/// What else happens to a lock that is wanted.
#[derive(Debug)]
pub enum Notice {
    /// The holder is there no more, and its object is deleted.
    Freeing(FreeReason),
    /// This user may not watch the owner Pod; why.
    NotWatchingPods(String),
    /// The Pod has no container of this name, so that none is noted.
    NoContainer(String),
}

impl<E> PodLock<E> {
    /// As nobody has seen it yet, and whether it is to have an expiry.
    #[must_use]
    pub fn new(name: &str, expires: bool) -> Self {
        Self {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            expires,
            written: Written::default(),
            us: None,
            record: None,
            owner: OwnerState::Unknown,
            errors: PhantomData,
        }
    }

    #[cfg(feature = "client")]
    pub(crate) fn with_labels(mut self, labels: &BTreeMap<String, String>) -> Self {
        self.labels.clone_from(labels);
        self
    }

    /// Tells this of each expiry that is written.
    #[cfg(feature = "client")]
    pub(crate) fn telling(mut self, written: &Written) -> Self {
        self.written = written.clone();
        self
    }

    fn us(&self) -> Option<&Holder> {
        self.us.as_ref()?.as_ref().ok()
    }

    fn readable(&self) -> Option<&Record> {
        self.record.as_ref()?.as_ref().ok()
    }

    fn is_ours(&self, record: &Record) -> bool {
        self.us().is_some_and(|us| record.is_held_by(us))
    }

    /// Who has waited for a predecessor of its own container knows now how often that has been restarted.
    fn freshen(&mut self) {
        let Some(Ok(us)) = &mut self.us else { return };
        let ours = self.record.as_ref().and_then(|record| record.as_ref().ok());
        let ours = ours.is_some_and(|record| record.owner == us.owner);
        if let (true, OwnerState::Alive(containers), Some(run)) = (ours, &self.owner, &mut us.run) {
            let runs = containers.iter().map(|container| &container.run);
            let now = runs.filter(|now| now.container == run.container);
            run.restarts = now.map(|now| now.restarts).fold(run.restarts, i32::max);
        }
    }

    fn new_object(&self, expires: Option<Time>, lease: NewLease) -> ConfigMap {
        // Nothing is claimed before it is known.
        let us = self.us().cloned().unwrap_or_default();
        record::new(&self.name, &self.labels, &us, expires, lease)
    }
}

impl<E: RequestError> Protocol for PodLock<E> {
    type Object = ConfigMap;
    type Subject = Subject;
    type Fact = Fact;
    type HeldBy = HeldBy;
    type Grant = Holder;
    type Refusal = Refusal;
    type Notice = Notice;
    type Error = E;

    /// The server's `Date` has whole seconds.
    const CLOCK_UNIT: Duration = Duration::from_secs(1);

    const CLAIMS_UNSEEN: bool = true;

    fn version(&self, object: &ConfigMap) -> Version {
        let version = object.metadata.resource_version.clone();
        Version::new(version.unwrap_or_default())
    }

    fn observe(&mut self, object: Option<&ConfigMap>, _: Moment) {
        let record = object.map(Record::read);
        let owner = |record: &Option<Result<Record, Malformed>>| {
            let record = record.as_ref()?.as_ref().ok()?;
            Some(record.owner.clone())
        };
        if owner(&record) != owner(&self.record) && record.is_some() {
            self.owner = OwnerState::Unknown;
        }
        self.record = record;
    }

    fn subject(&self) -> Option<Subject> {
        if self.us.is_none() {
            return Some(Subject::Us);
        }
        let record = self.readable().filter(|record| !self.is_ours(record))?;
        Some(Subject::Owner(record.owner.clone()))
    }

    fn is_watched(&self, subject: &Subject) -> bool {
        matches!(subject, Subject::Owner(_)) && matches!(self.owner, OwnerState::Alive(_))
    }

    fn learn(&mut self, subject: &Subject, fact: Fact) -> Option<Notice> {
        match fact {
            Fact::Us(us, missing) => {
                self.us = Some(us);
                missing.map(Notice::NoContainer)
            }
            Fact::Owner(state) => {
                let record = self.readable();
                let is_current = |owner: &Owner| record.is_some_and(|now| now.owner == *owner);
                if matches!(subject, Subject::Owner(owner) if is_current(owner)) {
                    self.owner = state;
                    self.freshen();
                }
                None
            }
        }
    }

    fn unwatched(&mut self, why: &E) -> Option<Notice> {
        Some(Notice::NotWatchingPods(coord_core::errno::with_sources(
            why,
        )))
    }

    fn judge(&self, _: Option<&ConfigMap>, now: Moment) -> Verdict<Self> {
        let us = match &self.us {
            None => return Verdict::Unknown,
            Some(Err(refusal)) => return Verdict::Impossible(refusal.clone()),
            Some(Ok(us)) => us,
        };
        let bounds = ClockBounds::of(now);
        let record = match &self.record {
            None if self.expires && bounds.is_none() => {
                return Verdict::Impossible(Refusal::NoClock);
            }
            None => return Verdict::Free,
            Some(Err(malformed)) => {
                return Verdict::Impossible(Refusal::Malformed(malformed.clone()));
            }
            Some(Ok(record)) => record,
        };
        match judge(record, &self.owner, bounds, Some(us)) {
            judge::Verdict::Ours => Verdict::Ours(None),
            judge::Verdict::Free(_) => Verdict::Free,
            judge::Verdict::Held(by) => Verdict::Held(by, look_again(record, bounds)),
        }
    }

    fn is_same(&self, one: &HeldBy, other: &HeldBy) -> bool {
        one == other
    }

    /// What cannot be read is not what we have written.
    fn has_lease(&self, _: &ConfigMap) -> Option<bool> {
        Some(self.readable().is_some_and(|record| self.is_ours(record)))
    }

    fn nonce(&self, object: &ConfigMap) -> Option<Nonce> {
        self.readable().filter(|record| self.is_ours(record))?;
        record::nonce(object)
    }

    fn passed(&self, object: &ConfigMap) -> Option<u32> {
        record::passed(object)
    }

    fn grant(&self, _: &ConfigMap) -> Result<Holder, E> {
        Ok(self.us().cloned().unwrap_or_default())
    }

    /// The expiry in the object counts for all others, whoever has written it, and so for us.
    fn deadline(&mut self, _: &ConfigMap, sent: Option<BootInstant>, now: Moment) -> Deadline {
        let Some(expires) = self.readable().map(|record| record.expires) else {
            return Deadline::Unchanged;
        };
        let is_known = self.written.get() == Some(expires);
        if sent.is_none() && is_known {
            return Deadline::Unchanged;
        }
        self.written.set(Some(expires));
        match (expires, ClockBounds::of(now)) {
            (None, _) => Deadline::Never,
            (Some(expires), Some(bounds)) => Deadline::At(bounds.deadline(expires)),
            // What was granted by this clock was so by one that told the time.
            (Some(_), None) => Deadline::At(now.boot),
        }
    }

    fn claim(
        &mut self,
        object: Option<&ConfigMap>,
        lease: NewLease,
        now: Moment,
    ) -> (Write<ConfigMap>, Option<Notice>) {
        if let Some(object) = object {
            let bounds = ClockBounds::of(now);
            let freed = self
                .readable()
                .and_then(|record| judge::freed(record, &self.owner, bounds));
            return (Write::Delete(object.clone()), freed.map(Notice::Freeing));
        }
        let expires = expiry(lease, now);
        (Write::Create(self.new_object(expires, lease)), None)
    }

    /// A holder believes in the expiry that is there until it hears of this write, and others may
    /// hear of it long before. So this one is not earlier, even where more is known of the clock by
    /// now.
    fn extend(
        &self,
        object: &ConfigMap,
        grant: Option<&Holder>,
        lease: NewLease,
        now: Moment,
    ) -> Result<Write<ConfigMap>, Failure<Self>> {
        let mut object = object.clone();
        let held = self.readable().filter(|_| grant.is_some());
        let held_until = held.map(|record| record.expires);
        // None is later than any.
        let expires = expiry(lease, now).filter(|_| held_until != Some(None));
        if let Some(expires) = expires {
            let expires = held_until
                .flatten()
                .map_or(expires, |until| until.max(expires));
            let data = object.data.get_or_insert_default();
            data.extend(record::data(Some(expires)));
        }
        record::set_nonce(&mut object, lease.nonce);
        Ok(Write::Update(object))
    }

    fn release(
        &self,
        object: &ConfigMap,
        _: Moment,
    ) -> Result<Option<Write<ConfigMap>>, Failure<Self>> {
        match &self.record {
            Some(Ok(record)) if self.is_ours(record) => Ok(Some(Write::Delete(object.clone()))),
            Some(Ok(record)) => Err(Failure::Held(HeldBy::of(record))),
            Some(Err(malformed)) => Err(Failure::Refused(Refusal::Malformed(malformed.clone()))),
            None => Ok(None),
        }
    }

    /// The name is taken by an object that is over, which the next one deletes; else it goes with the Pod.
    fn fence(&self, object: Option<&ConfigMap>, nonce: Nonce, now: Moment) -> Write<ConfigMap> {
        if let Some(object) = object {
            let mut object = object.clone();
            record::set_nonce(&mut object, nonce);
            return Write::Update(object);
        }
        let now = now.store.map_or(0, |store| store.earliest.as_secs());
        let over = Time::from_secs(now.saturating_sub(LONG_OVER));
        Write::Create(self.new_object(Some(over), NewLease::new(nonce)))
    }
}

/// The ID of whoever holds the lock in this object, if it is one of ours.
#[must_use]
pub fn holder(object: &ConfigMap) -> Option<String> {
    Record::read(object).ok()?.holder
}

/// The Pod that the object belongs to.
#[must_use]
pub fn owner(object: &ConfigMap) -> Option<Owner> {
    Record::read(object).ok().map(|record| record.owner)
}

fn expiry(lease: NewLease, now: Moment) -> Option<Time> {
    Some(ClockBounds::of(now)?.expiry(lease.length?))
}

impl Written {
    pub(crate) fn get(&self) -> Option<Option<Time>> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, expires: Option<Option<Time>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = expires;
    }
}
