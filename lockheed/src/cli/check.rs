//! `check`.

use std::path::Path;

use coord_core::{Status, cli::Failure, lease::block_on};
use lockheed::DirStore;
use nix::unistd::{AccessFlags, access};

use super::{StoreArg, backend::Place};

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

/// Prints the rules that a Role must still have, as YAML.
#[cfg(feature = "kube")]
async fn rules(store: &StoreArg) -> Result<Status, Failure> {
    use coord_core::cli::print;
    use lockheed::KubeStore;

    let store = store.kube().await?;
    let access = store.cluster().access(&KubeStore::RULES).await?;
    let missing: Vec<String> = access
        .iter()
        .filter(|access| !access.allowed)
        .map(|access| format!("- {}\n", access.rule))
        .collect();
    if missing.is_empty() {
        return Ok(Status::DONE);
    }
    log::warn!(
        "in namespace {:?}, a Role of this user must still have the rules printed",
        store.cluster().namespace()
    );
    print(&format!("rules:\n{}", missing.concat()))?;
    Ok(Status::NO)
}

#[cfg(not(feature = "kube"))]
async fn rules(store: &StoreArg) -> Result<Status, Failure> {
    store.kube().await.map(|_| Status::DONE)
}
