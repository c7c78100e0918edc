//! Which answers mean healthy.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use coord_core::text::decimal;
use regex_lite::Regex;

/// A list of HTTP statuses and ranges, such as `200,204,300-399`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

/// A text that is not a list of statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidStatuses(String);

/// What the body of an answer must contain.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Contains(String),
    Matches(Regex),
}

impl Statuses {
    pub(super) fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl From<RangeInclusive<u16>> for Statuses {
    fn from(range: RangeInclusive<u16>) -> Self {
        Self(vec![range])
    }
}

impl FromStr for Statuses {
    type Err = InvalidStatuses;

    fn from_str(text: &str) -> Result<Self, InvalidStatuses> {
        let ranges: Option<Vec<_>> = text.split(',').map(|part| range(part.trim())).collect();
        ranges
            .map(Self)
            .ok_or_else(|| InvalidStatuses(text.to_owned()))
    }
}

impl fmt::Display for InvalidStatuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a list of statuses: write 200, 200-299 or 200,204,300-399",
            self.0
        )
    }
}

impl std::error::Error for InvalidStatuses {}

impl Body {
    pub(super) fn accepts(&self, body: &[u8]) -> bool {
        match self {
            Self::Contains(text) => {
                text.is_empty() || body.windows(text.len()).any(|part| part == text.as_bytes())
            }
            Self::Matches(regex) => regex.is_match(&String::from_utf8_lossy(body)),
        }
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(text) => write!(f, "the body does not contain {text:?}"),
            Self::Matches(regex) => write!(f, "the body does not match {:?}", regex.as_str()),
        }
    }
}

/// HTTP statuses range from 100 to 599, RFC 9110 section 15.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| {
        let three = Some(text).filter(|text| text.len() == 3);
        three.and_then(decimal)
    };
    let range = status(first)?..=status(last)?;
    (*range.start() >= 100 && *range.end() <= 599 && !range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_statuses() {
        let statuses: Statuses = "200, 204,300-302".parse().unwrap();
        let accepted: Vec<u16> = (100..600).filter(|n| statuses.contains(*n)).collect();
        assert_eq!(accepted, [200, 204, 300, 301, 302]);
        for bad in [
            "", "200,", "20", "+200", "0200", "299-200", "99", "200-600", "2xx", "a-b",
        ] {
            assert!(bad.parse::<Statuses>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bodies() {
        assert!(Body::Contains("ok".into()).accepts(b"all ok\xff"));
        assert!(!Body::Contains("ok".into()).accepts(b"o"));
        let regex = Regex::new(r#""status":\s*"(up|ok)""#).unwrap();
        assert!(Body::Matches(regex.clone()).accepts(br#"{"status": "up"}"#));
        assert!(!Body::Matches(regex).accepts(b"{}"));
    }
}
