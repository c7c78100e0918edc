//! Locks in Leases, shared with all users of client-go's leader election.

mod spec;
#[cfg(test)]
mod tests;
mod wire;

use k8s_openapi::api::coordination::v1::Lease;
use kube::core::{ApiResource, DynamicObject};

use super::{ClusterStore, Object, ObjectKind, StoreError, WriteContext, invalid, metadata};
use crate::LockName;

/// A store of Leases (`coordination.k8s.io/v1`) in one namespace of a Kubernetes cluster.
///
/// Lock `x` is the Lease `x`. Its fields are those of client-go's leader election, so lockheed and
/// programs that use client-go, or do as it does, exclude each other. Everything else about a lock
/// is in annotations. Every Lease of the namespace counts as a lock, whoever made it, but only
/// Leases that you name are changed.
///
/// A lease of client-go is judged by its renewals, never by its holder's clock: it is over once it
/// was seen unchanged for its `leaseDurationSeconds`.
pub type LeaseStore = ClusterStore<Leases>;

/// Selects the Leases of a [`LeaseStore`]: all of its namespace.
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

    fn write(&self, at: WriteContext<'_>, lock: &Object) -> Result<DynamicObject, StoreError> {
        wire::write(&at, lock)
    }
}
