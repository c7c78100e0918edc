//! What the server keeps, and the rules by which it changes.

use std::collections::BTreeMap;

use coord_core::Errno;
use coord_lease::{Change, Version};
use lockheed::{
    LockName,
    store::{Object, StoreError, StoreErrorKind},
};

/// The objects, each with the version of its last write.
#[derive(Debug, Default)]
pub(super) struct Objects {
    last: u64,
    kept: BTreeMap<LockName, Object>,
}

impl Objects {
    pub(super) fn get(&self, name: &LockName) -> Option<Object> {
        self.kept.get(name).cloned()
    }

    pub(super) fn create(&mut self, object: &Object) -> Result<Object, StoreError> {
        if self.kept.contains_key(&object.name) {
            return Err(refused(StoreErrorKind::Exists, &object.name));
        }
        let uid = uid(self.last + 1);
        Ok(self.put(Object {
            uid,
            ..object.clone()
        }))
    }

    pub(super) fn update(&mut self, object: &Object) -> Result<Object, StoreError> {
        self.compare(object)?;
        Ok(self.put(object.clone()))
    }

    /// Replaces it whatever its version is, which a store must never do.
    pub(super) fn overwrite(&mut self, object: &Object) -> Object {
        self.put(object.clone())
    }

    pub(super) fn delete(&mut self, object: &Object) -> Result<Version, StoreError> {
        self.compare(object)?;
        self.last += 1;
        self.kept.remove(&object.name);
        Ok(version(self.last))
    }

    /// What has changed since this version.
    pub(super) fn since(&self, name: &LockName, since: Option<&Version>) -> Option<Change<Object>> {
        let is_newer = |version: &Version| since.is_none_or(|since| since.is_before(version));
        match self.get(name) {
            Some(object) => is_newer(&object.version).then_some(Change::Written(object)),
            None => {
                let gone = version(self.last);
                (since.is_some() && is_newer(&gone)).then_some(Change::Deleted(gone))
            }
        }
    }

    fn compare(&self, object: &Object) -> Result<(), StoreError> {
        match self.get(&object.name) {
            None => Err(refused(StoreErrorKind::NotFound, &object.name)),
            Some(there) if there.version == object.version && there.uid == object.uid => Ok(()),
            Some(_) => Err(refused(StoreErrorKind::Conflict, &object.name)),
        }
    }

    fn put(&mut self, mut object: Object) -> Object {
        self.last += 1;
        object.version = version(self.last);
        self.kept.insert(object.name.clone(), object.clone());
        object
    }
}

/// Whether this is the state in which it was created.
pub(super) fn is_new(object: &Object) -> bool {
    object
        .version
        .number()
        .is_some_and(|version| object.uid == uid(version.get()))
}

fn uid(version: u64) -> String {
    format!("uid-{version}")
}

fn version(number: u64) -> Version {
    Version::new(number.to_string())
}

fn refused(kind: StoreErrorKind, name: &LockName) -> StoreError {
    StoreError::new(
        kind,
        Errno::EAGAIN,
        format!("lock {name} is in another state"),
    )
}
