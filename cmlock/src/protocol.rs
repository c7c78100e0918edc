//! The Pod's lock for the lease engine: judges the object and its owner, and builds the writes that
//! claim, extend, release and fence the lock.

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

/// How far in the past the expiry of a fencing object is. Such an object only keeps its name from a
/// creation in doubt. The value covers whole seconds, and more.
const LONG_OVER: u64 = 5;

/// A lock, as one contender sees it. `E` is the error of its requests.
#[derive(Debug)]
pub struct PodLock<E> {
    name: String,
    labels: BTreeMap<String, String>,
    /// Whether it has an expiry, which needs the server's clock.
    expires: bool,
    /// The last written expiry.
    written: Written,
    us: Option<Result<Holder, Refusal>>,
    record: Option<Result<Record, Malformed>>,
    /// The state of the Pod that owns the object.
    owner: OwnerState,
    errors: PhantomData<fn() -> E>,
}

/// The expiry of a held lock as far as known: the outer `None` until something was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written(Arc<Mutex<Option<Option<Time>>>>);

/// What must be known besides the object.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// Our own identity.
    Us,
    /// The Pod of the lock's holder.
    Owner(Owner),
}

/// The facts about a [`Subject`].
#[derive(Debug)]
pub enum Fact {
    /// Our own identity, and the requested container if the Pod does not have it.
    Us(Result<Holder, Refusal>, Option<String>),
    /// The state of the holder's Pod.
    Owner(OwnerState),
}

/// Other events of a lock that we want.
#[derive(Debug)]
pub enum Notice {
    /// The holder no longer exists, and its object is being deleted.
    Freeing(FreeReason),
    /// This user may not watch the owner Pod, for this reason.
    NotWatchingPods(String),
    /// The Pod has no container of this name, so none is recorded.
    NoContainer(String),
}

impl<E> PodLock<E> {
    /// An unseen lock; `expires` is whether it will have an expiry.
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

    /// Reports each written expiry to `written`.
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

    /// After waiting for a predecessor in our own container, we know the container's current
    /// restart count, so we take it.
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
        // Nothing is claimed before our identity is known.
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

    /// We cannot have written an unreadable object.
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

    /// The expiry in the object counts for everybody else, whoever wrote it, and so for us.
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
            // The grant needed the server's time. Without it, the lease counts as over.
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

    /// A holder relies on the current expiry until it hears of this write, and others may hear of
    /// it long before. So the new expiry is not earlier, even if we know more about the clock by
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
        // No expiry is later than any.
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

    /// Occupies the name with an expired object, which the next contender deletes; otherwise it
    /// goes with the Pod.
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

/// The ID of the lock's holder in this object, if it is one of ours.
#[must_use]
pub fn holder(object: &ConfigMap) -> Option<String> {
    Record::read(object).ok()?.holder
}

/// The Pod that owns the object.
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
