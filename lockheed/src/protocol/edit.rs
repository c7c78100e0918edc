//! What is written: a lock with a lease of ours, without it, or only moved on.

use std::collections::BTreeSet;

use coord_lease::{ROOM, engine::Nonce};

use super::{
    broken::Broken,
    observed::{RESERVED_BY, RESERVED_UNTIL},
};
use crate::{Lease, Record, record::MUTEX, store::Object};

/// The annotation that changes when nothing else does, so that an older write in flight must fail.
const SETTLED: &str = "lockheed/settled";

/// A lock that has a lease of this holder from now on.
pub(super) fn acquired(
    object: &Object,
    mut record: Record,
    holder: &str,
    tags: &[String],
    reset: bool,
) -> Object {
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
    let mut object = object.clone();
    Broken::forget(&mut object, holder);
    with(&object, &record)
}

/// The same with our lease renewed; all else is left as it is.
pub(super) fn renewed(object: &Object, record: &Record, mut lease: Lease) -> Object {
    let mut record = record.clone();
    record.note_tokens(&object.version);
    if let Some(older) = record.leases.get(&lease.holder) {
        lease.keep_unknown(older);
    }
    record.leases.insert(lease.holder.clone(), lease);
    with(object, &record)
}

/// The same without this lease. If its holder had to wait, others may still be waiting, and
/// newcomers make room for them. Each holder that did not wait halves that room.
pub(super) fn released(object: &Object, mut record: Record, lease: Option<&Lease>) -> Object {
    if let Some(lease) = lease {
        let less = record.room.map(|room| room / 2);
        let less = less.filter(|room| *room > 0);
        record.room = lease.passed.map(|_| ROOM).or(less);
    }
    with(object, &record)
}

/// The same with another version to be.
pub(super) fn moved(object: &Object, nonce: Nonce) -> Object {
    let mut object = kept(object);
    object
        .annotations
        .insert(SETTLED.to_owned(), nonce.to_string());
    object
}

/// The same lock, with the tokens that only its version has told so far.
pub(super) fn kept(object: &Object) -> Object {
    let mut object = object.clone();
    if let Ok(record) = object.record() {
        let mut noted = record.clone();
        noted.note_tokens(&object.version);
        if noted != record {
            object.set_record(&noted);
        }
    }
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
    object.set_record(record);
    object
}
