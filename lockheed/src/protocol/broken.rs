//! Records who last broke a lock, for holders that find their lease gone.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Timestamp, store::Object};

/// The annotation. Go programs keep annotations, but drop unknown fields of the record.
const BROKEN: &str = "lockheed/broken";

/// Somebody ended the leases of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Broken {
    /// The holders of those leases.
    holders: Vec<String>,
    /// Who did it, if known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    by: String,
    /// When, on the store's clock.
    at: Timestamp,
}

impl Broken {
    pub(crate) fn new(holders: Vec<String>, by: &str, at: Timestamp) -> Self {
        let by = by.to_owned();
        Self { holders, by, at }
    }

    /// Reads the annotation; none if it is not ours.
    pub(crate) fn read(object: &Object) -> Option<Self> {
        serde_json::from_str(object.annotations.get(BROKEN)?).ok()
    }

    pub(crate) fn write(&self, object: &mut Object) {
        // Fails only for maps whose keys are not strings, and there are none.
        let text = serde_json::to_string(self).unwrap_or_default();
        object.annotations.insert(BROKEN.to_owned(), text);
    }

    /// Whether the lease of this ID was among them.
    pub(crate) fn ended(&self, id: &str) -> bool {
        self.holders.iter().any(|holder| holder == id)
    }

    /// Removes the annotation when one of these holders has the lock again.
    pub(super) fn forget(object: &mut Object, holder: &str) {
        if Self::read(object).is_some_and(|broken| broken.ended(holder)) {
            object.annotations.remove(BROKEN);
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.to_the_second();
        if self.by.is_empty() {
            write!(f, "its lease was ended by `break` at {at}")
        } else {
            write!(f, "{} ended its lease with `break` at {at}", self.by)
        }
    }
}
