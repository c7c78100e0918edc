//! Points in time in the format that locks store: RFC 3339.

use std::{fmt, str::FromStr, time::Duration};

use coord_core::{Errno, HasErrno};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const DAY: i64 = 24 * 60 * 60;

/// A point in time, with nanoseconds, from the year 0000 to 9999.
///
/// ```
/// use lockheed::Timestamp;
/// let time: Timestamp = "2030-01-02T03:04:05.5+02:00".parse()?;
/// assert_eq!(time.to_string(), "2030-01-02T01:04:05.5Z");
/// # Ok::<(), lockheed::InvalidTimestamp>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z; negative before.
    seconds: i64,
    nanos: u32,
}

/// A text that is not an RFC 3339 time. Its errno is `EINVAL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTimestamp(String);

impl Timestamp {
    /// Stands for "never" in a lock: 9999-12-31T23:59:59Z.
    pub const NEVER: Self = Self {
        seconds: 253_402_300_799,
        nanos: 0,
    };

    /// 0000-01-01T00:00:00Z.
    const FIRST: i64 = -62_167_219_200;

    /// The time this long after 1970-01-01T00:00:00Z; [`NEVER`](Self::NEVER) if that is after the
    /// year 9999.
    #[must_use]
    pub fn from_unix(since: Duration) -> Self {
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        Self::new(seconds, since.subsec_nanos())
    }

    /// The time since 1970-01-01T00:00:00Z; zero for earlier times.
    #[must_use]
    pub fn since_unix(self) -> Duration {
        u64::try_from(self.seconds)
            .map_or(Duration::ZERO, |seconds| Duration::new(seconds, self.nanos))
    }

    /// Whether this is [`NEVER`](Self::NEVER), in whatever zone it was written.
    #[must_use]
    pub fn is_never(self) -> bool {
        self >= Self::NEVER
    }

    /// The time this much later, but no later than [`NEVER`](Self::NEVER).
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let nanos = self.nanos + duration.subsec_nanos();
        let carried = i64::from(nanos / 1_000_000_000);
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let seconds = self.seconds.saturating_add(seconds).saturating_add(carried);
        Self::new(seconds, nanos % 1_000_000_000)
    }

    /// The time this much earlier, but no earlier than the year 0000.
    #[cfg(feature = "kube")]
    pub(crate) fn minus(self, duration: Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let borrows = self.nanos < duration.subsec_nanos();
        let nanos = self.nanos + if borrows { 1_000_000_000 } else { 0 };
        let seconds = self.seconds.saturating_sub(seconds) - i64::from(borrows);
        Self {
            seconds: seconds.max(Self::FIRST),
            nanos: nanos - duration.subsec_nanos(),
        }
    }

    /// How much later this is than `earlier`; zero if it is not later.
    #[must_use]
    pub fn after(self, earlier: Self) -> Duration {
        let nanos = |time: Self| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        let apart = u128::try_from(nanos(self) - nanos(earlier)).unwrap_or(0);
        let seconds = u64::try_from(apart / 1_000_000_000).unwrap_or(u64::MAX);
        let rest = u32::try_from(apart % 1_000_000_000).unwrap_or(0);
        Duration::new(seconds, rest)
    }

    /// The time without the fraction of the second.
    #[must_use]
    pub fn to_the_second(self) -> Self {
        Self { nanos: 0, ..self }
    }

    fn new(seconds: i64, nanos: u32) -> Self {
        if seconds >= Self::NEVER.seconds {
            Self::NEVER
        } else {
            Self { seconds, nanos }
        }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        parse(text).ok_or_else(|| InvalidTimestamp(text.to_owned()))
    }
}

/// Written in UTC, with as many fractional digits as needed.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.seconds.div_euclid(DAY));
        let second = self.seconds.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if self.nanos > 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for InvalidTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start: String = self.0.chars().take(80).collect();
        write!(
            f,
            "{start:?} is not a time; write it like 2030-01-02T15:04:05Z"
        )
    }
}

impl std::error::Error for InvalidTimestamp {}

impl HasErrno for InvalidTimestamp {
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}

/// Reads `date-time` of RFC 3339 section 5.6. A leap second counts as the second after it.
fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let number = |at: usize, digits: usize| -> Option<i64> {
        let part = bytes.get(at..at + digits)?;
        let digit = |byte: &u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
        part.iter()
            .try_fold(0, |sum, byte| Some(sum * 10 + digit(byte)?))
    };
    let sign = |at: usize, allowed: &[u8]| bytes.get(at).is_some_and(|byte| allowed.contains(byte));
    let signs =
        sign(4, b"-") && sign(7, b"-") && sign(10, b"Tt ") && sign(13, b":") && sign(16, b":");
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let real = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if !(signs && real && hour < 24 && minute < 60 && second <= 60) {
        return None;
    }
    let (nanos, zone) = fraction(text.get(19..)?)?;
    let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset(zone)?;
    (Timestamp::FIRST..=Timestamp::NEVER.seconds + DAY)
        .contains(&seconds)
        .then(|| Timestamp::new(seconds, nanos))
}

/// The nanoseconds, and the rest of the text.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let Some(rest) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (digits, zone) = rest.split_at(end);
    let nine: String = digits.chars().chain("000000000".chars()).take(9).collect();
    (end > 0).then_some((nine.parse().ok()?, zone))
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" || zone == "z" {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let two = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse::<i64>().ok())
            .flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, in the proleptic Gregorian calendar. The calculation starts years in
/// March, so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The reverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day = shifted.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn any_offset_is_read_and_utc_is_written() {
        let cases = [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59-07:00", "9999-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59.12Z", "9999-12-31T23:59:59Z"),
            (
                "2024-02-29T23:30:00.123456789-01:30",
                "2024-03-01T01:00:00.123456789Z",
            ),
            ("2000-02-29T00:00:00.10+05:45", "2000-02-28T18:15:00.1Z"),
            ("2016-12-31t23:59:60z", "2017-01-01T00:00:00Z"),
        ];
        for (text, utc) in cases {
            assert_eq!(time(text).to_string(), utc, "{text}");
        }
        assert!(time("9999-12-31T23:59:59-07:00").is_never());
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        let bad = [
            "",
            "x",
            "2030",
            "2030-01-02",
            "2030-01-02T03:04:05",
            "2030-13-02T03:04:05Z",
            "2030-02-30T03:04:05Z",
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2030-01-02T24:04:05Z",
            "2030-01-02T03:04:05.Z",
            "2030-01-02T03:04:05+0200",
            "2030-01-02T03:04:05+24:00",
            "2030-01-02T03:04:05Zx",
            "2030-01-02T03:04:05.5",
            "+030-01-02T03:04:05Z",
            "2030-01-02T03:04:05+0é:0",
        ];
        for text in bad {
            let error = text.parse::<Timestamp>().unwrap_err();
            assert_eq!(error.errno(), Errno::EINVAL);
            assert!(error.to_string().contains("is not a time"), "{text}");
        }
    }

    #[test]
    fn times_are_moved_and_compared() {
        let early = time("2030-01-02T03:04:05.9Z");
        assert_eq!(
            early.plus(Duration::from_millis(200)).to_string(),
            "2030-01-02T03:04:06.1Z"
        );
        assert_eq!(early.plus(Duration::MAX), Timestamp::NEVER);
        assert_eq!(
            early.plus(Duration::from_millis(200)).after(early),
            Duration::from_millis(200)
        );
        assert_eq!(
            early.after(early.plus(Duration::from_secs(1))),
            Duration::ZERO
        );
        assert_eq!(Timestamp::from_unix(early.since_unix()), early);
        #[cfg(feature = "kube")]
        for (less, earlier) in [
            (Duration::from_millis(900), "2030-01-02T03:04:05Z"),
            (Duration::from_millis(950), "2030-01-02T03:04:04.95Z"),
            (Duration::MAX, "0000-01-01T00:00:00.900000001Z"),
        ] {
            assert_eq!(early.minus(less), time(earlier), "{less:?}");
        }
    }

    proptest! {
        #[test]
        fn every_time_is_read_as_it_was_written(seconds in Timestamp::FIRST..=Timestamp::NEVER.seconds, nanos in 0_u32..1_000_000_000) {
            let time = Timestamp::new(seconds, nanos);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}|[0-9TZ:.+-]{15,35}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
