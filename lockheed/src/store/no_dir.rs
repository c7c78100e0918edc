//! Stands in for [`dir`](super::dir) outside Linux, where no store in a directory can be opened.

use std::{path::PathBuf, time::Duration};

use coord_core::Errno;

use super::{Change, Object, Scope, Store, StoreError, StoreErrorKind, Version, Watch};
use crate::{LockName, Timestamp};

/// No value of this type exists.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum DirStore {}

/// No value of this type exists.
#[doc(hidden)]
#[derive(Debug)]
pub enum DirWatch {}

/// No value of this type exists.
#[doc(hidden)]
#[derive(Debug)]
pub enum ProofOfLife {}

#[allow(missing_docs, clippy::missing_errors_doc, reason = "it cannot be used")]
impl DirStore {
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let text = format!("cannot open {path:?}: locks in a directory need Linux");
        let kind = StoreErrorKind::Invalid;
        Err(StoreError::new(kind, Errno::EOPNOTSUPP, text))
    }

    pub fn create(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open(path)
    }

    pub fn create_with_mode(path: impl Into<PathBuf>, _: u32) -> Result<Self, StoreError> {
        Self::open(path)
    }

    pub fn prove_life(&self) -> Result<ProofOfLife, StoreError> {
        match *self {}
    }
}

#[allow(missing_docs, reason = "it cannot be used")]
impl ProofOfLife {
    #[must_use]
    pub fn number(&self) -> u64 {
        match *self {}
    }
}

impl Store for DirStore {
    type Watch = DirWatch;

    async fn get(&self, _: &LockName) -> Result<Object, StoreError> {
        match *self {}
    }

    async fn create(&self, _: &Object) -> Result<Object, StoreError> {
        match *self {}
    }

    async fn update(&self, _: &Object) -> Result<Object, StoreError> {
        match *self {}
    }

    async fn delete(&self, _: &Object) -> Result<(), StoreError> {
        match *self {}
    }

    async fn list(&self) -> Result<Vec<Object>, StoreError> {
        match *self {}
    }

    async fn watch(&self, _: &Scope, _: Option<&Version>) -> Result<DirWatch, StoreError> {
        match *self {}
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        match *self {}
    }

    fn clock_skew(&self) -> Duration {
        match *self {}
    }
}

impl Watch for DirWatch {
    async fn next(&mut self) -> Result<Option<Change>, StoreError> {
        match *self {}
    }
}
