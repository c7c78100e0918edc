//! What differs between the explored locks.

use std::{fmt::Debug, time::Duration};

use cmlock::{
    Owner,
    protocol::{Fact, Holder, OwnerState, PodLock, Subject},
};
use coord_core::Errno;
use coord_lease::{
    Version,
    engine::{Effect, Protocol, RequestError},
};
use k8s_openapi::api::core::v1::ConfigMap;
use lockheed::{
    LockName, Mode, Record, Timestamp, Token,
    protocol::{Contender, Mutex, Nothing, Skew},
    store::{Object, StoreError, StoreErrorKind},
};

use crate::{
    Kind,
    time::{EPOCH, SKEW},
};

/// One life of a contender: after a crash, it comes back with another ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) contender: u8,
    pub(crate) life: u8,
}

/// The largest number of lives of a contender.
pub(crate) const LIVES: u8 = 8;

impl Id {
    /// Its bit in a set of IDs.
    pub(crate) fn bit(self) -> u64 {
        1 << (self.contender * LIVES + self.life - 1)
    }

    fn parse(text: &str) -> Option<Self> {
        let (letter, life) = text.split_at_checked(1)?;
        let contender = letter.bytes().next()?.checked_sub(b'a')?;
        let life = life.parse().ok()?;
        Some(Self { contender, life })
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", char::from(b'a' + self.contender), self.life)
    }
}

/// A kind of lock, and what its store keeps.
pub(crate) trait Lock: 'static {
    /// The real protocol.
    type Protocol: Protocol + Debug;

    /// Whether the answer to a write has the time on the server's clock.
    const WRITES_TELL_TIME: bool;

    /// A contender, on the Pod of this generation if there are Pods.
    fn contender(kind: Kind, id: Id, pod: u8) -> Self::Protocol;

    /// The possible states of the store before anybody starts.
    fn beginnings() -> Vec<Option<ObjectOf<Self>>>;

    /// The error of a request that failed with this effect.
    fn failed(effect: Effect) -> <Self::Protocol as Protocol>::Error;

    /// Sets the object's version, and the UID, which is the version in which it was created.
    fn stamp(object: &mut ObjectOf<Self>, uid: u32, version: u32);

    /// The UID and the version; zero before they are set.
    fn stamped(object: &ObjectOf<Self>) -> (u32, u32);

    /// Whose leases are in it.
    fn holders(object: &ObjectOf<Self>) -> Vec<Id>;

    /// When the object stops counting, by the server's clock; none if its leases say so.
    fn over_at(_object: &ObjectOf<Self>) -> Option<u32> {
        None
    }

    /// The number that rises with every acquisition, if the lock has one.
    fn token(grant: &<Self::Protocol as Protocol>::Grant) -> Option<u64>;

    /// The same object with a Go program's announcement of a write; none if there are no such
    /// programs.
    fn reserved(_object: &ObjectOf<Self>, _now: u32) -> Option<ObjectOf<Self>> {
        None
    }

    /// Whether it has such an announcement.
    fn is_reserved(_object: &ObjectOf<Self>) -> bool {
        false
    }

    /// The contender whose Pod this subject is, and the Pod's generation; none for a subject that
    /// never changes.
    fn pod_of(_subject: &SubjectOf<Self>) -> Option<(u8, u8)> {
        None
    }

    /// The Pod that owns this object, in the same form.
    fn owner_of(_object: &ObjectOf<Self>) -> Option<(u8, u8)> {
        None
    }

    /// What is known of a subject, for a contender on the Pod of this generation.
    fn fact(id: Id, pod: u8, subject: &SubjectOf<Self>, is_there: bool) -> FactOf<Self>;
}

pub(crate) type ObjectOf<L> = <<L as Lock>::Protocol as Protocol>::Object;
pub(crate) type SubjectOf<L> = <<L as Lock>::Protocol as Protocol>::Subject;
pub(crate) type FactOf<L> = <<L as Lock>::Protocol as Protocol>::Fact;

/// Versions are numbers. An object's UID is the version in which it was created.
pub(crate) fn version_number(text: &str) -> u32 {
    text.parse().unwrap_or(0)
}

/// lockheed's lock in a ConfigMap.
pub(crate) struct OfLockheed;

/// cmlock's lock.
pub(crate) struct OfPods;

const BY: &str = "reserved/by";
const UNTIL: &str = "reserved/expires";

#[expect(clippy::unwrap_used, reason = "the only name there is; it is valid")]
fn name() -> LockName {
    "lock".parse().unwrap()
}

impl Lock for OfLockheed {
    type Protocol = Mutex;

    /// Its place reads the clock together with the object.
    const WRITES_TELL_TIME: bool = false;

    fn contender(kind: Kind, id: Id, _: u8) -> Mutex {
        let is_writer = kind != Kind::Shared || id.contender == 0;
        Mutex::new(Contender {
            name: name(),
            id: id.to_string(),
            tags: Vec::new(),
            reset_tags: false,
            force: None,
            mode: if is_writer {
                Mode::Exclusive
            } else {
                Mode::Shared
            },
            fair: kind == Kind::Fair,
            priority: 0,
            skew: Skew {
                without_length: SKEW,
                at_first_sight: Some(SKEW),
            },
            alive: None,
        })
    }

    /// No object, and one that nobody holds.
    fn beginnings() -> Vec<Option<Object>> {
        let mut free = Object::new(&name());
        free.set_record(&Record::mutex("lock"));
        vec![None, Some(free)]
    }

    fn failed(effect: Effect) -> StoreError {
        let kind = match effect {
            Effect::Conflict => StoreErrorKind::Conflict,
            Effect::None => StoreErrorKind::Unavailable,
            Effect::Unknown => StoreErrorKind::Unknown,
            Effect::Final => StoreErrorKind::Denied,
        };
        StoreError::new(kind, Errno::EAGAIN, "it failed")
    }

    fn stamp(object: &mut Object, uid: u32, version: u32) {
        object.uid = uid.to_string();
        object.version = Version::new(version.to_string());
    }

    fn stamped(object: &Object) -> (u32, u32) {
        let version = version_number(object.version.as_str());
        (version_number(&object.uid), version)
    }

    fn holders(object: &Object) -> Vec<Id> {
        let record = object.record().unwrap_or_default();
        record
            .leases
            .keys()
            .filter_map(|id| Id::parse(id))
            .collect()
    }

    fn token(token: &Token) -> Option<u64> {
        Some(token.get())
    }

    fn reserved(object: &Object, now: u32) -> Option<Object> {
        let until = Timestamp::from_unix(EPOCH + Duration::from_secs(u64::from(now) + 30));
        let mut object = object.clone();
        object.annotations.insert(BY.to_owned(), "go".to_owned());
        object
            .annotations
            .insert(UNTIL.to_owned(), until.to_string());
        Some(object)
    }

    fn is_reserved(object: &Object) -> bool {
        object.annotations.contains_key(BY)
    }

    fn fact(_: Id, _: u8, nothing: &Nothing, _: bool) -> Nothing {
        *nothing
    }
}

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failed(Effect);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it failed, with effect {:?}", self.0)
    }
}

impl std::error::Error for Failed {}

impl RequestError for Failed {
    fn effect(&self) -> Effect {
        self.0
    }

    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

fn pod(contender: u8, generation: u8) -> Owner {
    let name = format!("pod-{contender}");
    let uid = format!("{name}-{generation}");
    Owner { name, uid }
}

fn parse_pod(owner: &Owner) -> Option<(u8, u8)> {
    let (contender, generation) = owner.uid.strip_prefix("pod-")?.split_once('-')?;
    Some((contender.parse().ok()?, generation.parse().ok()?))
}

impl Lock for OfPods {
    type Protocol = PodLock<Failed>;

    /// Every answer has a `Date`.
    const WRITES_TELL_TIME: bool = true;

    fn contender(_: Kind, _: Id, _: u8) -> PodLock<Failed> {
        PodLock::new("lock", true)
    }

    fn beginnings() -> Vec<Option<ConfigMap>> {
        vec![None]
    }

    fn failed(effect: Effect) -> Failed {
        Failed(effect)
    }

    fn stamp(object: &mut ConfigMap, uid: u32, version: u32) {
        object.metadata.uid = Some(uid.to_string());
        object.metadata.resource_version = Some(version.to_string());
    }

    fn stamped(object: &ConfigMap) -> (u32, u32) {
        let number = |text: &Option<String>| text.as_deref().map_or(0, version_number);
        let meta = &object.metadata;
        (number(&meta.uid), number(&meta.resource_version))
    }

    fn holders(object: &ConfigMap) -> Vec<Id> {
        let holder = cmlock::protocol::holder(object);
        let holder = holder.as_deref().and_then(Id::parse);
        holder.into_iter().collect()
    }

    /// The expiry counts for everybody, including the holder.
    fn over_at(object: &ConfigMap) -> Option<u32> {
        let expires = object.data.as_ref()?.get("expiresAt")?.parse().ok()?;
        let since = Duration::from_secs(expires).saturating_sub(EPOCH);
        u32::try_from(since.as_secs()).ok()
    }

    fn token(_: &Holder) -> Option<u64> {
        None
    }

    fn pod_of(subject: &Subject) -> Option<(u8, u8)> {
        match subject {
            Subject::Us => None,
            Subject::Owner(owner) => parse_pod(owner),
        }
    }

    fn owner_of(object: &ConfigMap) -> Option<(u8, u8)> {
        parse_pod(&cmlock::protocol::owner(object)?)
    }

    fn fact(id: Id, generation: u8, subject: &Subject, is_there: bool) -> Fact {
        match subject {
            Subject::Us => {
                let owner = pod(id.contender, generation);
                Fact::Us(Ok(Holder::new(&id.to_string(), owner)), None)
            }
            Subject::Owner(_) if is_there => Fact::Owner(OwnerState::Alive(Vec::new())),
            Subject::Owner(_) => Fact::Owner(OwnerState::Gone),
        }
    }
}
