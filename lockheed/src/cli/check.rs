//! `check`.

use std::path::Path;

use clap::Args;
use coord_core::{
    HasErrno, Status,
    cli::{Failure, help::heading},
};
use coord_lease::block_on;
use lockheed::LockName;
#[cfg(feature = "kube")]
use lockheed::store::{ClusterStore, ObjectKind};
use nix::unistd::{AccessFlags, access};

use super::{
    LockArg, StoreArg,
    backend::{Login, Place, open_dir},
    events,
};

#[derive(Args)]
pub(crate) struct Check {
    /// Name of the lock to check for [default: all locks, and listing them]
    name: Option<String>,
    /// Any text instead of NAME; the lock's name is made from it
    #[arg(long, value_name = "TEXT", conflicts_with = "name", help_heading = heading::LOCK)]
    key: Option<String>,
    /// Also check for the permission that --events needs
    #[arg(long, help_heading = heading::REPORTING)]
    events: bool,
}

impl Check {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        events::check(self.events, store)?;
        let lock = match (self.name, self.key) {
            (None, None) => None,
            (name, key) => Some(LockArg { name, key }.name()?),
        };
        match store.place() {
            Place::Dir(path) => directory(path),
            Place::Kube | Place::Lease => block_on(in_cluster(store, lock, self.events)),
        }
    }
}

#[cfg(feature = "kube")]
async fn in_cluster(
    store: &StoreArg,
    lock: Option<LockName>,
    events: bool,
) -> Result<Status, Failure> {
    match store.place() {
        Place::Lease => rules(&store.leases(Login::First).await?, lock, events).await,
        _ => rules(&store.kube(Login::First).await?, lock, events).await,
    }
}

#[cfg(feature = "kube")]
async fn rules<K: ObjectKind>(
    store: &ClusterStore<K>,
    lock: Option<LockName>,
    events: bool,
) -> Result<Status, Failure> {
    let (role, mut needed) = match lock {
        Some(name) => {
            let needed = store.rules_for(&name).await?;
            (format!("lockheed-{name}"), needed)
        }
        None => ("lockheed".to_owned(), ClusterStore::<K>::RULES.to_vec()),
    };
    if events {
        needed.push(ClusterStore::<K>::EVENT_RULE);
    }
    store.cluster().check(&role, &needed, &[]).await
}

#[cfg(not(feature = "kube"))]
async fn in_cluster(store: &StoreArg, _: Option<LockName>, _: bool) -> Result<Status, Failure> {
    store.in_cluster(Login::First).await.map(|_| Status::DONE)
}

/// A directory that is there, is a store, and may be written to.
fn directory(path: &Path) -> Result<Status, Failure> {
    open_dir(path)?;
    let all = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    match access(path, all) {
        Ok(()) => Ok(Status::DONE),
        Err(errno) => Err(Failure::new(
            Status::from_errno(std::io::Error::from(errno).errno()),
            format!(
                "this user may not use the locks in {path:?}: {}",
                errno.desc()
            ),
        )),
    }
}
