//! Versions of objects.

use std::{cmp::Ordering, fmt, num::NonZeroU64};

/// One state of an object, in the store's own text, such as the `resourceVersion` of Kubernetes.
///
/// Versions are compared for equality. If they are numbers, the lower one is the earlier state.
/// Kubernetes promises this since 1.35, and stores on etcd have always done so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Version(String);

impl Version {
    /// A version in the store's own text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The store's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The version as a number, if it is a positive one.
    #[must_use]
    pub fn number(&self) -> Option<NonZeroU64> {
        let digits = self.0.bytes().all(|byte| byte.is_ascii_digit());
        self.0.parse().ok().filter(|_| digits)
    }

    /// Whether this state is known to be earlier than the other.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        self < other
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// If versions are not numbers, their order is unknown.
impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self == other {
            return Some(Ordering::Equal);
        }
        match (self.number(), other.number()) {
            (Some(this), Some(that)) if this != that => Some(this.cmp(&that)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers_where_they_are_numbers() {
        assert!(Version::new("9").is_before(&Version::new("10")));
        assert!(!Version::new("10").is_before(&Version::new("9")));
        assert!(!Version::new("x").is_before(&Version::new("10")));
        assert!(!Version::new("007").is_before(&Version::new("7")));
        assert_eq!(Version::new("007").partial_cmp(&Version::new("7")), None);
        assert!(!Version::new("10").is_before(&Version::new("10")));
    }
}
