//! `check`.

use std::path::Path;

use coord_core::{Status, cli::Failure};
use coord_lease::block_on;
use lockheed::DirStore;
use nix::unistd::{AccessFlags, access};

use super::{
    StoreArg,
    backend::{Login, Place},
};

pub(crate) fn run(store: &StoreArg) -> Result<Status, Failure> {
    match store.place() {
        Place::Dir(path) => directory(path),
        Place::Kube => block_on(rules(store)),
    }
}

/// A directory that is there, is a store, and may be written to.
fn directory(path: &Path) -> Result<Status, Failure> {
    DirStore::open(path)?;
    let all = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    access(path, all).map_err(std::io::Error::from)?;
    Ok(Status::DONE)
}

#[cfg(feature = "kube")]
async fn rules(store: &StoreArg) -> Result<Status, Failure> {
    let store = store.kube(Login::First).await?;
    store.cluster().check(&lockheed::KubeStore::RULES).await
}

#[cfg(not(feature = "kube"))]
async fn rules(store: &StoreArg) -> Result<Status, Failure> {
    store.kube(Login::First).await.map(|_| Status::DONE)
}
