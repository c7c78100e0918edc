//! Which store a command works on.

use std::{path::PathBuf, str::FromStr};

use coord_core::cli::Failure;
use lockheed::{
    DirStore, Store,
    store::{ProofOfLife, StoreError},
};

/// The value of `--store`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StoreArg {
    Kube,
    Dir(PathBuf),
}

/// A store, with what the command line needs beside.
pub(crate) trait Backend: Store {
    /// What shows that the holder lives, where the store can tell.
    fn prove_life(&self) -> Result<Option<ProofOfLife>, StoreError> {
        Ok(None)
    }
}

impl Backend for DirStore {
    fn prove_life(&self) -> Result<Option<ProofOfLife>, StoreError> {
        Self::prove_life(self).map(Some)
    }
}

impl FromStr for StoreArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "kube" => Ok(Self::Kube),
            Some(("dir", path)) if !path.is_empty() => Ok(Self::Dir(path.into())),
            _ => Err("write kube or dir:PATH, such as dir:/run/lock/example".to_owned()),
        }
    }
}

/// Something to be done on whatever store was asked for.
pub(crate) trait Work {
    type Done;

    fn on<S: Backend>(self, store: S) -> impl Future<Output = Result<Self::Done, Failure>>;
}

impl StoreArg {
    /// Opens the store and does the work. A directory is made if it is not there and `makes` says so.
    pub(crate) async fn with<W: Work>(&self, makes: bool, work: W) -> Result<W::Done, Failure> {
        match self {
            Self::Dir(path) if makes => work.on(DirStore::create(path)?).await,
            Self::Dir(path) => work.on(DirStore::open(path)?).await,
            Self::Kube => Err(Failure::usage(
                "this build has no Kubernetes client; use --store dir:PATH",
            )),
        }
    }
}
