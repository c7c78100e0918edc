//! What differs between the kinds of objects that locks are kept in.

use std::collections::BTreeMap;

use kube::core::{ApiResource, DynamicObject};

use super::{Object, StoreError};
use crate::{LockName, Timestamp};

/// How locks are objects of one kind. It is sealed: other crates cannot implement it.
pub trait ObjectKind: sealed::Sealed + Clone + Default + Send + Sync + 'static {
    /// What one is called.
    const NAME: &'static str;
    /// The plural name, with its API group, as [`coord_kube::Rule::new`] takes it.
    const RESOURCE: &'static str;
    /// What tells a lock from other objects of the kind.
    const LABEL: Option<&'static str>;

    /// What the client needs to know of the kind.
    fn resource() -> ApiResource;

    /// The object's name, which is not checked yet.
    fn name_of(&self, lock: &LockName) -> String;

    /// The lock that an object's name is for.
    fn lock_of(&self, name: &str) -> Option<LockName>;

    /// What an object says of a lock.
    ///
    /// # Errors
    /// `EINVAL` when it is not a lock, or cannot be read as one.
    fn read(&self, lock: &LockName, found: DynamicObject) -> Result<Object, StoreError>;

    /// The same of one that is gone, whatever it was.
    fn last(&self, lock: &LockName, found: DynamicObject) -> Object;

    /// The object of a lock.
    ///
    /// # Errors
    /// `EINVAL` when that is not a lock.
    fn write(&self, new: New<'_>, lock: &Object) -> Result<DynamicObject, StoreError>;

    /// Whether nothing but the lock goes with the object of this name when it is deleted.
    ///
    /// # Errors
    /// `EINVAL`: what else would go.
    fn check_deletable(&self, _name: &str, _lock: &Object) -> Result<(), StoreError> {
        Ok(())
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for super::super::ConfigMaps {}
    impl Sealed for super::super::Leases {}
}

/// Where an object is written, and when.
pub struct New<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) now: Timestamp,
}
