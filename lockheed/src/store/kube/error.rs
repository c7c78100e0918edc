//! Converts the API server's answers to errors for the locking logic.

use std::{error::Error as StdError, fmt};

use coord_core::Errno;
use coord_kube::Error;

use super::{StoreError, StoreErrorKind};

/// For a request that changes nothing.
pub(super) fn of_read(error: Error) -> StoreError {
    let kind = match error.errno() {
        Errno::ENOENT if error.status().is_some() => StoreErrorKind::NotFound,
        _ if error.is_transient() => StoreErrorKind::Unavailable,
        Errno::EACCES if error.status().is_some() => StoreErrorKind::Denied,
        _ => StoreErrorKind::Invalid,
    };
    store_error(kind, error)
}

/// For a request that changes an existing object.
pub(super) fn of_write(error: Error) -> StoreError {
    let kind = match (error.had_no_effect(), error.errno(), error.status()) {
        (false, ..) => StoreErrorKind::Unknown,
        (true, Errno::EEXIST, _) => StoreErrorKind::Exists,
        (true, _, Some(409)) => StoreErrorKind::Conflict,
        (true, Errno::ENOENT, Some(_)) => StoreErrorKind::NotFound,
        _ if error.is_transient() => StoreErrorKind::Unavailable,
        (true, Errno::EACCES, Some(_)) => StoreErrorKind::Denied,
        _ => StoreErrorKind::Invalid,
    };
    store_error(kind, error)
}

/// For a creation. "Not found" then means that there is no namespace, and reading again does not
/// help.
pub(super) fn of_create(error: Error) -> StoreError {
    if error.status() == Some(404) {
        store_error(StoreErrorKind::Invalid, error)
    } else {
        of_write(error)
    }
}

fn store_error(kind: StoreErrorKind, error: Error) -> StoreError {
    let new = StoreError::new(kind, error.errno(), error.to_string());
    let new = match error.retry_after() {
        Some(wait) => new.retry_after(wait),
        None => new,
    };
    if StdError::source(&error).is_some() {
        new.caused_by(Cause(error))
    } else {
        new
    }
}

/// The source of an error whose own text is already reported.
#[derive(Debug)]
struct Cause(Error);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        StdError::source(&self.0).map_or(Ok(()), |source| fmt::Display::fmt(source, f))
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        StdError::source(&self.0).and_then(StdError::source)
    }
}
