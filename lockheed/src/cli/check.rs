//! `check`.

use std::path::Path;

use clap::Args;
use coord_core::{HasErrno, Status, cli::Failure};
use coord_lease::block_on;
use lockheed::DirStore;
#[cfg(feature = "kube")]
use lockheed::store::{ClusterStore, ObjectKind};
use nix::unistd::{AccessFlags, access};

use super::{
    StoreArg,
    backend::{Login, Place},
};

#[derive(Args)]
pub(crate) struct Check {
    /// The lock [default: all locks, and listing them]
    name: Option<String>,
}

impl Check {
    pub(crate) fn run(self, store: &StoreArg) -> Result<Status, Failure> {
        match store.place() {
            Place::Dir(path) => directory(path),
            Place::Kube | Place::Lease => block_on(self.in_cluster(store)),
        }
    }

    #[cfg(feature = "kube")]
    async fn in_cluster(self, store: &StoreArg) -> Result<Status, Failure> {
        match store.place() {
            Place::Lease => self.rules(&store.leases(Login::First).await?).await,
            _ => self.rules(&store.kube(Login::First).await?).await,
        }
    }

    #[cfg(feature = "kube")]
    async fn rules<K: ObjectKind>(self, store: &ClusterStore<K>) -> Result<Status, Failure> {
        let Some(name) = self.name else {
            let needed = ClusterStore::<K>::RULES;
            return store.cluster().check("lockheed", &needed, &[]).await;
        };
        let name = super::name(&name)?;
        let needed = store.rules_for(&name).await?;
        let role = format!("lockheed-{name}");
        store.cluster().check(&role, &needed, &[]).await
    }

    #[cfg(not(feature = "kube"))]
    async fn in_cluster(self, store: &StoreArg) -> Result<Status, Failure> {
        store.in_cluster(Login::First).await.map(|_| Status::DONE)
    }
}

/// A directory that is there, is a store, and may be written to.
fn directory(path: &Path) -> Result<Status, Failure> {
    DirStore::open(path)?;
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
