//! Names of locks.

use std::{fmt, str::FromStr};

use coord_core::{Errno, HasErrno, is_dns_subdomain};

/// The longest DNS name.
const LONGEST: usize = 253;

/// The name of a lock: one that an object of Kubernetes can have (a DNS subdomain name, RFC 1123), up to 253 bytes. Those of ConfigMaps have
/// a prefix, and in a directory a suffix: where that does not fit, the store refuses the name.
///
/// ```
/// use lockheed::LockName;
/// assert!("deploy.eu-1".parse::<LockName>().is_ok());
/// assert!("Deploy".parse::<LockName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockName(String);

/// A text that cannot name a lock. Its errno is `EINVAL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidName(String);

impl LockName {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LockName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.len() <= LONGEST && is_dns_subdomain(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(text.to_owned()))
        }
    }
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start: String = self.0.chars().take(80).collect();
        write!(
            f,
            "invalid lock name {start:?}: use at most {LONGEST} characters from a-z, 0-9, \"-\" and \".\", with a letter or digit at each end and beside each \".\""
        )
    }
}

impl std::error::Error for InvalidName {}

impl HasErrno for InvalidName {
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_an_object() {
        assert!("x".repeat(253).parse::<LockName>().is_ok());
        assert!("x".repeat(254).parse::<LockName>().is_err());
        let error = "No/Name".parse::<LockName>().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("invalid lock name \"No/Name\""),
            "{error}"
        );
    }
}
