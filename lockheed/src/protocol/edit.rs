//! What is written: a lock with a lease of ours, without it, or only moved on.

use std::collections::BTreeSet;

use coord_lease::{ROOM, engine::Nonce};

use super::{
    broken::Broken,
    observed::{RESERVED_BY, RESERVED_UNTIL},
};
use crate::{
    Lease, Record,
    record::MUTEX,
    store::{Object, RECORD},
};

/// The annotation that changes when nothing else does, so that an older write in flight must fail.
const SETTLED: &str = "lockheed/settled";

/// A lock that we hold from now on: our lease alone, those that were over are dropped.
pub(super) fn acquired(
    object: &Object,
    record: &Record,
    lease: Lease,
    tags: &[String],
    reset: bool,
) -> Object {
    let mut record = record.clone();
    if record.lock_type.is_empty() {
        record.lock_type = MUTEX.to_owned();
    }
    if record.name.is_empty() {
        record.name = object.name.to_string();
    }
    if reset {
        record.tags.clear();
    }
    let mut known: BTreeSet<String> = record.tags.iter().cloned().collect();
    let new = tags.iter().filter(|tag| known.insert((*tag).clone()));
    record.tags.extend(new.cloned());
    record.leases.clear();
    let mut object = object.clone();
    Broken::forget(&mut object, &lease.holder);
    record.leases.insert(lease.holder.clone(), lease);
    with(&object, &record)
}

/// The same with our lease renewed; all else is left as it is.
pub(super) fn renewed(object: &Object, record: &Record, mut lease: Lease) -> Object {
    let mut record = record.clone();
    if let Some(older) = record.leases.get(&lease.holder) {
        lease.keep_unknown(older);
    }
    record.leases.insert(lease.holder.clone(), lease);
    with(object, &record)
}

/// The same without the lease of this ID. If its holder had to wait, others may still be waiting,
/// and newcomers make room for them. Each holder that did not wait halves that room.
pub(super) fn released(object: &Object, record: &Record, id: &str) -> Object {
    let mut record = record.clone();
    let lease = record.leases.remove(id);
    record.room = if lease.is_some_and(|lease| lease.passed.is_some()) {
        Some(ROOM)
    } else {
        let less = record.room.map(|room| room / 2);
        less.filter(|room| *room > 0)
    };
    with(object, &record)
}

/// The same with another version to be.
pub(super) fn moved(object: &Object, nonce: Nonce) -> Object {
    let mut object = object.clone();
    object
        .annotations
        .insert(SETTLED.to_owned(), nonce.to_string());
    object
}

/// A new lock that nobody holds.
pub(super) fn empty(object: &Object) -> Object {
    with(object, &Record::mutex(object.name.as_str()))
}

/// What announces somebody's write, or marks one of ours as settled, is out of date once the lock is written.
fn with(object: &Object, record: &Record) -> Object {
    let mut object = object.clone();
    for key in [RESERVED_BY, RESERVED_UNTIL, SETTLED] {
        object.annotations.remove(key);
    }
    object.data.insert(RECORD.to_owned(), record.to_json());
    object
}
