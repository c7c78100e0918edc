//! Conditions that select locks to list or take over.

mod json;
mod text;

use std::{fmt, str::FromStr};

use coord_core::{Errno, HasErrno};
use serde::{Deserialize, Serialize};

use crate::Record;

/// A condition on a lock.
///
/// Its text form is, for example, `tags contains "prod" and acquired equals false`. It also has
/// `or`, which binds less tightly than `and`, and parentheses. The JSON of Go programs is read too:
/// `{"Operation":"contains","Field":"tags","Value":"prod"}`.
///
/// ```
/// use lockheed::{Condition, Record};
/// let text = r#"tags contains "prod" or (tags contains test and acquired equals false)"#;
/// let condition: Condition = text.parse()?;
/// let mut record = Record::mutex("deploy");
/// record.tags.push("test".to_owned());
/// assert!(condition.holds(&record, false) && !condition.holds(&record, true));
/// # Ok::<(), lockheed::InvalidCondition>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "json::Raw", into = "json::Raw")]
pub enum Condition {
    /// All of these hold; true if the list is empty.
    And(Vec<Condition>),
    /// At least one of these holds; false if the list is empty.
    Or(Vec<Condition>),
    /// The lock has this tag.
    TagsContain(String),
    /// Whether anybody holds the lock is this.
    AcquiredEquals(bool),
}

/// A text that is not a condition. Its errno is `EINVAL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidCondition {
    text: String,
    /// The position of the mistake, in characters from 1; none where the JSON parser's message has
    /// it.
    at: Option<usize>,
    reason: String,
}

impl Condition {
    /// Whether the condition holds for this lock; `acquired` says whether somebody holds it.
    #[must_use]
    pub fn holds(&self, record: &Record, acquired: bool) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.holds(record, acquired)),
            Self::Or(any) => any.iter().any(|one| one.holds(record, acquired)),
            Self::TagsContain(tag) => record.tags.contains(tag),
            Self::AcquiredEquals(wanted) => *wanted == acquired,
        }
    }
}

impl FromStr for Condition {
    type Err = InvalidCondition;

    fn from_str(text: &str) -> Result<Self, InvalidCondition> {
        if !text.trim_start().starts_with('{') {
            return text::parse(text);
        }
        serde_json::from_str(text).map_err(|error| InvalidCondition {
            text: text.to_owned(),
            at: None,
            reason: error.to_string(),
        })
    }
}

/// The text form. An empty group has none of its own, and is shown as a text with the same meaning.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The text form has no words for empty groups, which only JSON can express.
            Self::And(all) if all.is_empty() => {
                f.write_str("acquired equals true or acquired equals false")
            }
            Self::Or(any) if any.is_empty() => {
                f.write_str("acquired equals true and acquired equals false")
            }
            Self::And(all) => join(f, all, " and "),
            Self::Or(any) => join(f, any, " or "),
            Self::TagsContain(tag) => write!(f, "tags contains {}", text::quoted(tag)),
            Self::AcquiredEquals(wanted) => write!(f, "acquired equals {wanted}"),
        }
    }
}

impl fmt::Display for InvalidCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "condition {:?} is wrong", self.text)?;
        if let Some(at) = self.at {
            write!(f, " at character {at}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for InvalidCondition {}

impl HasErrno for InvalidCondition {
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}

fn join(f: &mut fmt::Formatter<'_>, parts: &[Condition], between: &str) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(between)?;
        }
        match part {
            Condition::And(_) | Condition::Or(_) => write!(f, "({part})")?,
            _ => write!(f, "{part}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_no_parts_is_shown_as_what_it_means() {
        for (json, meaning) in [
            (r#"{"operation":"and","conditions":[]}"#, true),
            (r#"{"operation":"or","conditions":[]}"#, false),
        ] {
            let condition: Condition = json.parse().unwrap();
            let shown: Condition = condition.to_string().parse().unwrap();
            for acquired in [true, false] {
                let holds = |one: &Condition| one.holds(&Record::mutex("x"), acquired);
                assert_eq!((holds(&condition), holds(&shown)), (meaning, meaning));
            }
        }
    }

    fn any_condition() -> impl Strategy<Value = Condition> {
        let leaf = prop_oneof![
            "\\PC{0,12}".prop_map(Condition::TagsContain),
            any::<bool>().prop_map(Condition::AcquiredEquals),
        ];
        leaf.prop_recursive(4, 20, 4, |inner| {
            let some = prop::collection::vec(inner, 2..4);
            prop_oneof![
                some.clone().prop_map(Condition::And),
                some.prop_map(Condition::Or)
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(condition in any_condition()) {
            prop_assert_eq!(condition.to_string().parse(), Ok(condition.clone()));
            let json = serde_json::to_string(&condition).unwrap();
            prop_assert_eq!(json.parse(), Ok(condition));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,30}|[()\"' a-z]{0,40}") {
            let _ = text.parse::<Condition>();
        }
    }
}
