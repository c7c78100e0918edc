//! Signals by name and number, as people type them for util-linux `kill(1)` and a shell's `trap`.

use std::fmt;

use nix::{libc, sys::signal::Signal};

use crate::{Errno, HasErrno};

/// The last signal of Linux on all architectures but MIPS, `signal(7)`.
pub const LAST: i32 = 64;

/// Alternative names, `signal(7)`.
const ALIASES: [(&str, i32); 3] = [
    ("IOT", libc::SIGABRT),
    ("CLD", libc::SIGCHLD),
    ("POLL", libc::SIGIO),
];

/// A text that is not a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    text: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, most) = (&self.text, libc::SIGRTMAX() - libc::SIGRTMIN());
        write!(
            f,
            "{text:?} is not a signal; write a name like TERM, SIGINT or RTMIN+3 (up to RTMIN+{most}), or a number from 1 to {LAST}"
        )
    }
}

impl std::error::Error for Error {}

impl HasErrno for Error {
    /// Always `EINVAL`.
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}

/// Parses a signal: a name in any case, with or without `SIG`; `RTMIN`, `RTMIN+3`, `RTMAX-2`; or a
/// number from 1 to 64.
///
/// `RTMIN` is the first real-time signal that the C library leaves to programs: 34 with glibc, 35
/// with musl.
///
/// # Errors
/// `EINVAL` for anything else.
///
/// ```
/// use coord_core::signal_name::parse;
/// assert_eq!(parse("TERM"), Ok(15));
/// assert_eq!(parse("sigint"), Ok(2));
/// assert_eq!(parse("RTMAX-1"), Ok(63));
/// assert_eq!(parse("40"), Ok(40));
/// assert!(parse("0").is_err());
/// ```
pub fn parse(text: &str) -> Result<i32, Error> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = if is_number(text) {
        text.parse().ok()
    } else {
        standard(name).or_else(|| real_time(name))
    };
    number
        .filter(|number| (1..=LAST).contains(number))
        .ok_or_else(|| Error {
            text: text.to_owned(),
        })
}

/// The name that [`parse`] reads as this number, such as `TERM` or `RTMIN+3`; the number itself if
/// the C library has no name for it.
#[must_use]
pub fn name(number: i32) -> String {
    if let Ok(signal) = Signal::try_from(number) {
        let name = signal.as_str();
        return name.strip_prefix("SIG").unwrap_or(name).to_owned();
    }
    match number - libc::SIGRTMIN() {
        0 => "RTMIN".to_owned(),
        above if above > 0 && number <= libc::SIGRTMAX() => format!("RTMIN+{above}"),
        _ => number.to_string(),
    }
}

fn standard(name: &str) -> Option<i32> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let signal = || Signal::iterator().find(|signal| signal.as_str().get(3..) == Some(name));
    alias
        .map(|(_, number)| *number)
        .or_else(|| signal().map(|signal| signal as i32))
}

fn real_time(name: &str) -> Option<i32> {
    let (least, most) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let offset = |rest: &str, sign: char| match rest.strip_prefix(sign) {
        Some(digits) if is_number(digits) => digits.parse::<i32>().ok(),
        _ => rest.is_empty().then_some(0),
    };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        least.checked_add(offset(rest, '+')?)?
    } else {
        most.checked_sub(offset(name.strip_prefix("RTMAX")?, '-')?)?
    };
    (least..=most).contains(&number).then_some(number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read() {
        let (least, most) = (libc::SIGRTMIN(), libc::SIGRTMAX());
        let cases = [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigterm", 15),
            ("Hup", 1),
            ("9", 9),
            ("64", 64),
            ("33", 33),
            ("IOT", 6),
            ("CLD", libc::SIGCHLD),
            ("POLL", libc::SIGIO),
            ("RTMIN", least),
            ("rtmin+3", least + 3),
            ("SIGRTMIN+0", least),
            ("RTMAX", most),
            ("SIGRTMAX-2", most - 2),
        ];
        for (text, number) in cases {
            assert_eq!(parse(text), Ok(number), "{text:?}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let bad = [
            "",
            "0",
            "65",
            "-9",
            "+9",
            " 9",
            "SIG",
            "SIG9",
            "TERM ",
            "EXIT",
            "RTMIN+31",
            "RTMIN-1",
            "RTMIN+",
            "RTMIN++1",
            "RTMAX+1",
            "RTMAX-31",
            "RTMIN+99999999999",
            "99999999999",
            "ΤERM",
        ];
        for text in bad {
            assert!(parse(text).is_err(), "{text:?}");
        }
        let error = parse("TREM").unwrap_err().to_string();
        assert!(error.starts_with(r#""TREM" is not a signal; write a name like TERM"#));
    }

    #[test]
    fn every_number_has_a_name_that_is_read_as_it() {
        for number in 1..=LAST {
            assert_eq!(parse(&name(number)), Ok(number), "{}", name(number));
        }
    }
}
