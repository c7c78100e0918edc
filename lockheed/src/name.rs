//! Names of locks.

use std::{fmt, str::FromStr};

use coord_core::{Errno, HasErrno};

/// The longest name that fits a ConfigMap's with the prefix `lockheed-` before it.
const LONGEST: usize = 253 - "lockheed-".len();

/// The name of a lock: one that a ConfigMap can have (a DNS subdomain name, RFC 1123), up to 244 bytes.
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
        let labels = || text.split('.');
        if text.len() <= LONGEST && labels().all(is_label) {
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
            "{start:?} cannot name a lock: use up to {LONGEST} of a-z, 0-9, '-' and '.', with a letter or digit at each end and beside each '.'"
        )
    }
}

impl std::error::Error for InvalidName {}

impl HasErrno for InvalidName {
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}

fn is_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [label.bytes().next(), label.bytes().last()];
    ends.iter().all(|end| end.is_some_and(plain))
        && label.bytes().all(|byte| plain(byte) || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_config_maps() {
        for good in ["a", "0", "a-b", "a.b", "a--b", &"x".repeat(244)] {
            assert!(good.parse::<LockName>().is_ok(), "{good:?}");
        }
        let long = "x".repeat(245);
        for bad in [
            "", ".", "a.", ".a", "a..b", "-a", "a-", "A", "a_b", "a/b", "../x", "ä", "a b", "a\n",
            &long,
        ] {
            assert!(bad.parse::<LockName>().is_err(), "{bad:?}");
        }
    }
}
