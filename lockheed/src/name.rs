//! Names of locks.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use coord_core::{Errno, HasErrno, is_dns_subdomain};

use crate::key::{self, InvalidKey};

/// The longest DNS name.
const LONGEST: usize = 253;

/// The name of a lock: any name that a Kubernetes object can have (a DNS subdomain name, RFC 1123),
/// up to 253 bytes. Stores add a prefix (ConfigMaps) or a suffix (directories), and refuse a name
/// that is then too long.
///
/// ```
/// use lockheed::LockName;
/// assert!("deploy.eu-1".parse::<LockName>().is_ok());
/// assert!("Deploy".parse::<LockName>().is_err());
/// ```
///
/// A name can be made [from a key](Self::from_key). Names with the same text are equal, whichever
/// keys they were made from.
#[derive(Clone, Debug)]
pub struct LockName {
    name: String,
    key: Option<String>,
}

/// A text that cannot name a lock. Its errno is `EINVAL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidName(String);

impl LockName {
    /// The name of the lock for this key, which may be any text of up to 4096 bytes. The name has
    /// the readable part of the key, at most 30 characters, and 32 hexadecimal digits of its
    /// SHA-256; the README has the exact rule. It is at most 63 bytes long, and is the same in all
    /// versions.
    ///
    /// Acquiring the lock stores the key in its object. If an object is stored for another key,
    /// every call with this name refuses it.
    ///
    /// ```
    /// use lockheed::LockName;
    /// let name = LockName::from_key("feature/ABC_1")?;
    /// assert_eq!(name.as_str(), "feature-abc-1-bd215f57c7ceffa222644e3592648efa");
    /// assert_eq!(name.key(), Some("feature/ABC_1"));
    /// # Ok::<(), lockheed::InvalidKey>(())
    /// ```
    ///
    /// # Errors
    /// `EINVAL` when the key is empty or too long.
    pub fn from_key(key: &str) -> Result<Self, InvalidKey> {
        let name = key::name_of(key)?;
        let key = Some(key.to_owned());
        Ok(Self { name, key })
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The key that the name was made from, if it was.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl PartialEq for LockName {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for LockName {}

impl PartialOrd for LockName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LockName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}

impl Hash for LockName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl FromStr for LockName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.len() <= LONGEST && is_dns_subdomain(text) {
            let name = text.to_owned();
            Ok(Self { name, key: None })
        } else {
            Err(InvalidName(text.to_owned()))
        }
    }
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
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
