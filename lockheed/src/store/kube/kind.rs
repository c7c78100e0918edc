//! What differs between the kinds of objects that store locks.

use std::collections::BTreeMap;

use kube::core::{ApiResource, DynamicObject};

use super::{Object, StoreError};
use crate::{LockName, Timestamp};

/// How objects of one kind store locks. The trait is sealed: other crates cannot implement it.
pub trait ObjectKind: sealed::Sealed + Clone + Default + Send + Sync + 'static {
    /// The name of the kind.
    const NAME: &'static str;
    /// The plural name, with its API group, as [`coord_kube::Rule::new`] takes it.
    const RESOURCE: &'static str;
    /// The label that distinguishes locks from other objects of the kind.
    const LABEL: Option<&'static str>;

    /// The client's description of the kind.
    fn resource() -> ApiResource;

    /// The object's name, not checked yet.
    fn name_of(&self, lock: &LockName) -> String;

    /// The lock that an object of this name stores.
    fn lock_of(&self, name: &str) -> Option<LockName>;

    /// Reads a lock from an object.
    ///
    /// # Errors
    /// `EINVAL` when it is not a lock, or cannot be read as one.
    fn read(&self, lock: &LockName, found: DynamicObject) -> Result<Object, StoreError>;

    /// Reads a deleted object, whatever it was.
    fn last(&self, lock: &LockName, found: DynamicObject) -> Object;

    /// Builds the object of a lock.
    ///
    /// # Errors
    /// `EINVAL` when the result would not be a lock.
    fn write(&self, at: WriteContext<'_>, lock: &Object) -> Result<DynamicObject, StoreError>;

    /// Checks that deleting the object of this name deletes nothing but the lock.
    ///
    /// # Errors
    /// `EINVAL`, with what else would be deleted.
    fn check_deletable(&self, _name: &str, _lock: &Object) -> Result<(), StoreError> {
        Ok(())
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for super::super::ConfigMaps {}
    impl Sealed for super::super::Leases {}
}

/// Where and when an object is written.
#[derive(Clone, Copy, Debug)]
pub struct WriteContext<'a> {
    /// The object's name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Labels that it gets, besides those that it has.
    pub labels: &'a BTreeMap<String, String>,
    /// The time by the API server's clock, as far as the writer knows it.
    pub now: Timestamp,
}
