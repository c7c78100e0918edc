//! Locks in Leases, shared with everybody whose leader election is client-go's.

mod spec;
#[cfg(test)]
mod tests;
mod wire;

use k8s_openapi::api::coordination::v1::Lease;
use kube::core::{ApiResource, DynamicObject};

use super::{ClusterStore, New, Object, ObjectKind, StoreError, invalid, metadata};
use crate::LockName;

/// A store of Leases (`coordination.k8s.io/v1`) in one namespace of a Kubernetes cluster.
///
/// Lock `x` is the Lease `x`, and its fields are those that client-go's leader election reads and
/// writes, so that whoever uses that, or does as it does, is excluded too, and excludes. What a
/// lock has beyond these fields is in annotations. Every Lease of the namespace is a lock, whoever
/// made it; none is changed that is not named.
///
/// client-go's holders are taken at their renewals, never at their clocks: such a lease is over
/// when it was seen unchanged for its `leaseDurationSeconds`.
pub type LeaseStore = ClusterStore<Leases>;

/// Which Leases a [`LeaseStore`] has: all of its namespace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leases;

impl ObjectKind for Leases {
    const NAME: &'static str = wire::KIND;
    const RESOURCE: &'static str = "leases.coordination.k8s.io";
    const LABEL: Option<&'static str> = None;

    fn resource() -> ApiResource {
        ApiResource::erase::<Lease>(&())
    }

    fn name_of(&self, lock: &LockName) -> String {
        lock.to_string()
    }

    fn lock_of(&self, name: &str) -> Option<LockName> {
        name.parse().ok()
    }

    fn read(&self, lock: &LockName, found: DynamicObject) -> Result<Object, StoreError> {
        wire::read(lock, found)
    }

    fn last(&self, lock: &LockName, found: DynamicObject) -> Object {
        wire::last(lock, found)
    }

    fn write(&self, new: New<'_>, lock: &Object) -> Result<DynamicObject, StoreError> {
        wire::write(&new, lock)
    }
}
