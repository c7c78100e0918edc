//! The metadata of a lock's object, and the parts that are kept unchanged.

use std::collections::BTreeMap;

use kube::core::DynamicObject;

use super::{Object, StoreError, Version, WriteContext, invalid};
use crate::LockName;

/// Takes the parts of an object's metadata that are about a lock.
pub(super) fn take(lock: &LockName, found: &mut DynamicObject) -> Object {
    let metadata = &mut found.metadata;
    metadata.managed_fields = None;
    Object {
        name: lock.clone(),
        uid: metadata.uid.take().unwrap_or_default(),
        version: Version::new(metadata.resource_version.take().unwrap_or_default()),
        annotations: metadata.annotations.take().unwrap_or_default(),
        data: BTreeMap::new(),
        rest: String::new(),
    }
}

/// Serializes the rest, which is kept.
pub(super) fn keep(left: &DynamicObject) -> String {
    // The keys are strings and all numbers are valid JSON, so this cannot fail.
    serde_json::to_string(left).unwrap_or_default()
}

/// The kept rest of a lock's object; none for a new object.
pub(super) fn kept(kind: &str, lock: &Object) -> Result<Option<DynamicObject>, StoreError> {
    if lock.rest.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&lock.rest).map(Some).map_err(|error| {
        let text = format!(
            "what was kept of the {kind} of lock {} cannot be read",
            lock.name
        );
        invalid(text).caused_by(error)
    })
}

/// Puts the taken parts back.
pub(super) fn put(into: &mut DynamicObject, at: &WriteContext<'_>, lock: &Object) {
    let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let metadata = &mut into.metadata;
    metadata.name = set(at.name);
    metadata.namespace = set(at.namespace);
    metadata.uid = set(&lock.uid);
    metadata.resource_version = set(lock.version.as_str());
    metadata.annotations = (!lock.annotations.is_empty()).then(|| lock.annotations.clone());
    if !at.labels.is_empty() {
        let labels = metadata.labels.get_or_insert_default();
        labels.extend(at.labels.clone());
    }
}
