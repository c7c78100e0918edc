//! The objects to write: with a lease of ours, without it, or only with a new version.

use std::collections::BTreeSet;

use coord_lease::{ROOM, engine::Nonce};

use super::{
    broken::Broken,
    observed::{RESERVED_BY, RESERVED_UNTIL},
};
use crate::{Lease, Record, record::MUTEX, store::Object};

/// The annotation that changes when nothing else does. It makes an older write in flight fail.
const SETTLED: &str = "lockheed/settled";

/// The lock with a lease of this holder.
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

/// The lock with our lease renewed and everything else unchanged.
pub(super) fn renewed(object: &Object, record: &Record, mut lease: Lease) -> Object {
    let mut record = record.clone();
    record.note_tokens(&object.version);
    if let Some(older) = record.leases.get(&lease.holder) {
        lease.keep_unknown(older);
    }
    record.leases.insert(lease.holder.clone(), lease);
    with(object, &record)
}

/// The lock without this lease. If its holder had to wait, others may still be waiting, so
/// newcomers make room for them. Each holder that did not wait halves that room.
pub(super) fn released(object: &Object, mut record: Record, lease: Option<&Lease>) -> Object {
    if let Some(lease) = lease {
        let less = record.room.map(|room| room / 2);
        let less = less.filter(|room| *room > 0);
        record.room = lease.passed.map(|_| ROOM).or(less);
    }
    with(object, &record)
}

/// The same lock, to be written as a new version.
pub(super) fn moved(object: &Object, nonce: Nonce) -> Object {
    let mut object = kept(object);
    object
        .annotations
        .insert(SETTLED.to_owned(), nonce.to_string());
    object
}

/// The same lock, with the token recorded that only its version tells so far.
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

/// Writing a lock removes the annotations that announced a write or made an older one fail.
fn with(object: &Object, record: &Record) -> Object {
    let mut object = object.clone();
    for key in [RESERVED_BY, RESERVED_UNTIL, SETTLED] {
        object.annotations.remove(key);
    }
    object.set_record(record);
    object
}
