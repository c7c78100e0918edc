//! A lock as a Lease.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use kube::core::{ApiResource, DynamicObject};
use serde::Serialize;

use super::{Object, StoreError, WriteContext, invalid, metadata, spec::Spec};
use crate::{LockName, Record, store::RECORD};

pub(super) const KIND: &str = "Lease";

/// The lock's JSON, the same as in a ConfigMap.
const NOTED: &str = "lockheed/record";

/// The fields at the time of writing. The annotated leases count while the fields are the same:
/// other programs write the fields but no annotation.
const NOTED_WITH: &str = "lockheed/record-of";

/// The lock's other texts, as a JSON object.
const DATA: &str = "lockheed/data";

/// Go programs use these annotations to announce a write of a ConfigMap. On a Lease they belong to
/// somebody else and announce nothing.
const NOT_RESERVED: [&str; 2] = ["reserved/by", "reserved/expires"];

/// The annotations that store the lock, and those that must not seem to be about it.
struct Notes(BTreeMap<String, String>);

/// Reads a lock from a Lease.
pub(super) fn read(lock: &LockName, mut found: DynamicObject) -> Result<Object, StoreError> {
    let spec = spec(lock, &found)?;
    let mut object = metadata::take(lock, &mut found);
    let notes = Notes::take(&mut object.annotations);
    object.data = notes.data();
    let record = notes.record(lock, &spec);
    object.data.insert(RECORD.to_owned(), record);
    found.metadata.annotations = Some(notes.0);
    object.rest = metadata::keep(&found);
    Ok(object)
}

/// Reads a deleted Lease, whatever it was.
pub(super) fn last(lock: &LockName, mut found: DynamicObject) -> Object {
    let read = read(lock, found.clone());
    read.unwrap_or_else(|_| metadata::take(lock, &mut found))
}

/// Builds the Lease of a lock. Fields and annotations that are already right are left unchanged,
/// whoever wrote them.
pub(super) fn write(at: &WriteContext<'_>, lock: &Object) -> Result<DynamicObject, StoreError> {
    let kept = metadata::kept(KIND, lock)?;
    let is_new = kept.is_none();
    let mut new = kept.unwrap_or_else(|| {
        let mut new = DynamicObject::new(at.name, &ApiResource::erase::<Lease>(&()));
        new.data = serde_json::json!({});
        new
    });
    let mut notes = Notes::take(new.metadata.annotations.get_or_insert_default());
    let spec = spec(&lock.name, &new)?;
    let before = (!is_new).then(|| notes.record(&lock.name, &spec));
    let text = lock.data.get(RECORD);
    let text = text.ok_or_else(|| unwritable(lock, &format!("it has no {RECORD:?} entry")))?;
    if before.as_ref() != Some(text) {
        let record = Record::from_json(text).map_err(|error| unwritable(lock, &error))?;
        if record.leases.contains_key("") {
            return Err(unwritable(lock, &"a holder's ID cannot be empty"));
        }
        let before = before.map(|before| {
            Record::from_json(&before).unwrap_or_else(|_| spec.over(Record::default()))
        });
        let spec = spec.becoming(&record, before.as_ref(), at.now);
        spec.put(&mut new.data["spec"]);
        notes.set(NOTED, text.clone());
        notes.set(NOTED_WITH, json(&spec));
    }
    let mut data = lock.data.clone();
    data.remove(RECORD);
    if data.is_empty() && !notes.data().is_empty() {
        notes.0.remove(DATA);
    } else if data != notes.data() {
        notes.set(DATA, json(&data));
    }
    metadata::put(&mut new, at, lock);
    let mut annotations = lock.annotations.clone();
    annotations.extend(notes.0);
    new.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    Ok(new)
}

/// Strings, numbers and times under string keys can always be written.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn spec(lock: &LockName, found: &DynamicObject) -> Result<Spec, StoreError> {
    Spec::of(&found.data["spec"]).map_err(|error| {
        invalid(format!(
            "{KIND} {:?} cannot be read: {error}",
            lock.as_str()
        ))
    })
}

fn unwritable(lock: &Object, why: &dyn std::fmt::Display) -> StoreError {
    let name = lock.name.as_str();
    invalid(format!(
        "what is to be written is not a lock: {KIND} {name:?}: {why}"
    ))
}

impl Notes {
    fn take(annotations: &mut BTreeMap<String, String>) -> Self {
        let of_lock = [NOTED, NOTED_WITH, DATA].into_iter();
        let keys = of_lock.chain(NOT_RESERVED);
        let notes = keys.filter_map(|key| annotations.remove_entry(key));
        Self(notes.collect())
    }

    fn set(&mut self, key: &str, text: String) {
        self.0.insert(key.to_owned(), text);
    }

    /// The lock's JSON from the annotation. If somebody else has written the fields since, its
    /// leases come from the fields. An unreadable annotation is passed on unchanged, and the reader
    /// of the lock reports it.
    fn record(&self, lock: &LockName, spec: &Spec) -> String {
        let Some(noted) = self.0.get(NOTED) else {
            return spec.over(Record::mutex(lock.as_str())).to_json();
        };
        match Record::from_json(noted) {
            Ok(record) if !self.go_with(spec) => spec.over(record).to_json(),
            _ => noted.clone(),
        }
    }

    fn go_with(&self, spec: &Spec) -> bool {
        let with = self.0.get(NOTED_WITH);
        let with = with.and_then(|with| serde_json::from_str::<Spec>(with).ok());
        with.as_ref() == Some(spec)
    }

    /// Empty if somebody else has written something there.
    fn data(&self) -> BTreeMap<String, String> {
        let data = self.0.get(DATA).map(|data| serde_json::from_str(data));
        data.and_then(Result::ok).unwrap_or_default()
    }
}
