//! The fencing token.

use std::{error::Error, fmt, num::NonZeroU64, str::FromStr};

use coord_core::{Errno, HasErrno};
use serde::{Deserialize, Serialize};

use super::{StoreError, StoreErrorKind, Version};

/// A fencing token: a number that rises with every acquisition of a lock, even if the lock is
/// deleted in between.
///
/// To be safe from a holder that does not know it has lost its lock, a resource keeps the highest
/// token it has seen and refuses lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(NonZeroU64);

impl Token {
    /// The version of the write that acquired the lock. The store's versions must rise, as they do
    /// in Kubernetes and in a directory.
    ///
    /// # Errors
    /// `Invalid` (`EPROTO`) when the version is not a number: such a store cannot provide fencing
    /// tokens.
    pub fn of(version: &Version) -> Result<Self, StoreError> {
        version.number().map(Self).ok_or_else(|| {
            let text = format!(
                "the store's version {:?} is not a number, and cannot be a fencing token",
                version.as_str()
            );
            StoreError::new(StoreErrorKind::Invalid, Errno::EPROTO, text)
        })
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let number = Version::new(text).number();
        number
            .map(Self)
            .ok_or_else(|| InvalidToken(text.to_owned()))
    }
}

/// A text that is not a fencing token. Its errno is `EINVAL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidToken(String);

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start: String = self.0.chars().take(80).collect();
        write!(
            f,
            "{start:?} is not a fencing token: write a positive number, such as 1041"
        )
    }
}

impl Error for InvalidToken {}

impl HasErrno for InvalidToken {
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_positive_decimal_number() {
        assert_eq!(Token::of(&Version::new("42")).unwrap().get(), 42);
        for bad in ["", "0", "-1", "+1", "1.0", "abc", "18446744073709551616"] {
            assert_eq!(
                Token::of(&Version::new(bad)).unwrap_err().errno(),
                Errno::EPROTO,
                "{bad:?}"
            );
        }
    }
}
