//! Durations as people type them: the formats of Go's `time.ParseDuration`, `humantime`,
//! `timeout(1)` and `flock(1)`.

use std::{fmt, time::Duration};

use crate::{Errno, HasErrno};

/// The longest accepted duration, a hundred years of 365 days. Adding it to any clock does not
/// overflow.
pub const MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A text that is not a duration, or not one that is possible here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    text: String,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    NotADuration,
    Negative,
    Zero,
    TooLong,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const EXAMPLES: &str = "write it like 500ms, 5s, 1m30s or 1.5h";
        write!(f, "{:?} ", self.text)?;
        match self.reason {
            Reason::NotADuration => write!(f, "is not a duration: {EXAMPLES}"),
            Reason::Negative => write!(f, "is negative: {EXAMPLES}"),
            Reason::Zero => f.write_str("is too short: it must be longer than zero"),
            Reason::TooLong => f.write_str("is too long: use at most 100 years"),
        }
    }
}

impl std::error::Error for Error {}

impl HasErrno for Error {
    /// Always `EINVAL`.
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}

/// Parses a duration: `500ms`, `5s`, `1m30s`, `1.5h`, `1h 30m`, or bare seconds: `5`, `0.5`, `0`.
///
/// The units are those of Go (`ns`, `us`, `µs`, `ms`, `s`, `m`, `h`) and of `humantime` (`sec`,
/// `min`, `day`, ...).
///
/// # Errors
/// `EINVAL` for a negative value, for one longer than [`MAX`], and for anything else that is not a
/// duration.
///
/// ```
/// use {coord_core::duration::parse, std::time::Duration};
/// assert_eq!(parse("1m30s").unwrap(), Duration::from_secs(90));
/// assert_eq!(parse("30").unwrap(), Duration::from_secs(30));
/// assert_eq!(parse("soon").unwrap_err().to_string(),
///   r#""soon" is not a duration: write it like 500ms, 5s, 1m30s or 1.5h"#);
/// ```
pub fn parse(text: &str) -> Result<Duration, Error> {
    let fail = |reason| Error {
        text: text.to_owned(),
        reason,
    };
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err(fail(Reason::Negative));
    }
    let mut spelled = spelled_out(trimmed);
    if trimmed.ends_with(|c: char| c.is_ascii_digit() || c == '.') {
        spelled = in_seconds(&spelled).ok_or_else(|| fail(Reason::NotADuration))?;
    }
    match humantime::parse_duration(&spelled) {
        Ok(duration) if duration <= MAX => Ok(duration),
        Ok(_) | Err(humantime::DurationError::NumberOverflow) => Err(fail(Reason::TooLong)),
        Err(_) => Err(fail(Reason::NotADuration)),
    }
}

/// Like [`parse`], for places where zero has no meaning.
///
/// # Errors
/// As for [`parse`], and `EINVAL` for zero.
pub fn parse_positive(text: &str) -> Result<Duration, Error> {
    match parse(text)? {
        Duration::ZERO => Err(Error {
            text: text.to_owned(),
            reason: Reason::Zero,
        }),
        duration => Ok(duration),
    }
}

/// A bare number means seconds. After other numbers with units it is a mistake.
fn in_seconds(spelled: &str) -> Option<String> {
    let number = spelled.strip_suffix('.').unwrap_or(spelled);
    let alone = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    (alone && !number.is_empty()).then(|| format!("{number}s"))
}

/// Rewrites what Go accepts and `humantime` does not: `.5s`, `5.s`, and the Greek letter for the
/// micro sign.
fn spelled_out(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            'μ' => out.push('µ'),
            '.' => {
                let after_digit = out.ends_with(|c: char| c.is_ascii_digit());
                match chars.peek() {
                    Some(next) if next.is_ascii_digit() && !after_digit && !out.ends_with('.') => {
                        out.push_str("0.");
                    }
                    Some(next) if next.is_alphabetic() && after_digit => {}
                    _ => out.push('.'),
                }
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_what_go_and_humantime_take() {
        let cases = [
            ("500ms", 500_000),
            ("5s", 5_000_000),
            ("1m30s", 90_000_000),
            ("1.5h", 5_400_000_000),
            (".5s", 500_000),
            ("5.s", 5_000_000),
            ("2m", 120_000_000),
            ("1h 30m", 5_400_000_000),
            ("7us", 7),
            ("7µs", 7),
            ("7μs", 7),
            ("2days", 172_800_000_000),
            (" 5s ", 5_000_000),
            ("0", 0),
            ("5", 5_000_000),
            (" 30 ", 30_000_000),
            ("0.25", 250_000),
            (".5", 500_000),
            ("5.", 5_000_000),
            ("0s", 0),
        ];
        for (text, micros) in cases {
            assert_eq!(parse(text), Ok(Duration::from_micros(micros)), "{text:?}");
        }
    }

    #[test]
    fn errors_name_the_text_and_what_would_be_right() {
        let examples = "write it like 500ms, 5s, 1m30s or 1.5h";
        let cases = [
            ("", "not a duration"),
            ("  ", "not a duration"),
            (".", "not a duration"),
            ("abc", "not a duration"),
            ("1m30", "not a duration"),
            ("1 2", "not a duration"),
            ("1.2.3", "not a duration"),
            ("+5", "not a duration"),
            ("5parsecs", "not a duration"),
            ("5x", "not a duration"),
            ("s", "not a duration"),
            ("5s!", "not a duration"),
            ("1..5s", "not a duration"),
            ("-5s", "negative"),
            ("-1", "negative"),
            ("-", "negative"),
        ];
        for (text, what) in cases {
            let message = parse(text).unwrap_err().to_string();
            assert_eq!(message, format!("{text:?} is {what}: {examples}"));
        }
        let long = [
            "99999999999999999999",
            "99999999999999999999h",
            "3153600001",
            "101years",
        ];
        for text in long {
            let message = parse(text).unwrap_err().to_string();
            let expected = format!("{text:?} is too long: use at most 100 years");
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn zero_is_refused_where_it_has_no_meaning() {
        for text in ["0", "0ms"] {
            let message = parse_positive(text).unwrap_err().to_string();
            let expected = format!("{text:?} is too short: it must be longer than zero");
            assert_eq!(message, expected);
        }
        assert_eq!(parse_positive("1ns"), Ok(Duration::from_nanos(1)));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn what_humantime_prints_is_read_back(nanos in 1..=MAX.as_nanos()) {
            let nanos = u64::try_from(nanos).unwrap();
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&humantime::format_duration(duration).to_string()), Ok(duration));
        }
    }
}
