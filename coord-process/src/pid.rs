//! A process ID that is safe to pass to `kill(2)`: it can only mean one process.

use std::{fmt, str::FromStr};

use coord_core::{Errno, HasErrno};

/// A process ID from 1 to `i32::MAX`. Excludes zero and negative numbers, which mean groups or all
/// processes to `kill(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(i32);

/// A text or number that is not a process ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPid(String);

impl Pid {
    /// PID 1: init, or a container's first process.
    pub const INIT: Self = Self(1);

    /// The calling process.
    #[must_use]
    pub fn own() -> Self {
        Self(nix::unistd::getpid().as_raw())
    }

    /// The number, from 1 to `i32::MAX`.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// Parses the decimal digits of a pidfile, with optional ASCII white space around them. Nothing
    /// else is allowed, not even a sign.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let digits = bytes.trim_ascii();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number: u32 = str::from_utf8(digits).ok()?.parse().ok()?;
        Self::try_from(number).ok()
    }
}

impl TryFrom<u32> for Pid {
    type Error = InvalidPid;

    fn try_from(number: u32) -> Result<Self, InvalidPid> {
        match i32::try_from(number) {
            Ok(raw) if raw > 0 => Ok(Self(raw)),
            _ => Err(InvalidPid(number.to_string())),
        }
    }
}

impl FromStr for Pid {
    type Err = InvalidPid;

    fn from_str(text: &str) -> Result<Self, InvalidPid> {
        Self::from_bytes(text.as_bytes()).ok_or_else(|| InvalidPid(text.to_owned()))
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for InvalidPid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a pid: write a number from 1 to {}",
            self.0,
            i32::MAX
        )
    }
}

impl std::error::Error for InvalidPid {}

impl HasErrno for InvalidPid {
    /// Always `EINVAL`.
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_plain_numbers_of_one_process_are_pids() {
        for good in ["1", "17", " 42\n", "2147483647", "007"] {
            assert!(good.parse::<Pid>().is_ok(), "{good:?}");
        }
        for bad in [
            "",
            " ",
            "0",
            "-1",
            "+1",
            "12abc",
            "1 2",
            "2147483648",
            "4294967297",
            "99999999999999999999",
            "1\0",
            "١",
        ] {
            assert!(bad.parse::<Pid>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        // Holds sipid-4.
        #[test]
        fn any_bytes_give_a_positive_number_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Some(pid) = Pid::from_bytes(&bytes) {
                prop_assert!(pid.raw() > 0);
            }
        }

        #[test]
        fn what_is_written_is_read_back(number in 1..=i32::MAX) {
            prop_assert_eq!(Pid::from_bytes(number.to_string().as_bytes()), Some(Pid(number)));
        }
    }
}
