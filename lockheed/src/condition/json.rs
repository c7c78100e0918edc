//! The JSON form of conditions in Go programs: `Operation`, `Conditions`, `Field`, `Value`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Condition;

/// Go writes the names in capitals, and reads them either way.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Raw {
    #[serde(default, rename = "Operation", alias = "operation")]
    operation: String,
    #[serde(default, rename = "Conditions", alias = "conditions")]
    conditions: Option<Vec<Condition>>,
    #[serde(default, rename = "Field", alias = "field")]
    field: String,
    #[serde(default, rename = "Value", alias = "value")]
    value: Value,
}

impl TryFrom<Raw> for Condition {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        match (
            raw.operation.as_str(),
            raw.conditions,
            raw.field.as_str(),
            raw.value,
        ) {
            ("and", Some(all), ..) => Ok(Self::And(all)),
            ("or", Some(any), ..) => Ok(Self::Or(any)),
            ("contains", None, "tags", Value::String(tag)) => Ok(Self::TagsContain(tag)),
            ("equals", None, "acquired", Value::Bool(wanted)) => Ok(Self::AcquiredEquals(wanted)),
            (operation, _, field, value) => Err(format!(
                "operation {operation:?} on field {field:?} with value {value} is not a condition: use \"contains\" on \"tags\" with a text, \
                 \"equals\" on \"acquired\" with true or false, or \"and\" or \"or\" with \"Conditions\""
            )),
        }
    }
}

impl From<Condition> for Raw {
    fn from(condition: Condition) -> Self {
        let (operation, conditions, field, value) = match condition {
            Condition::And(all) => ("and", Some(all), "", Value::Null),
            Condition::Or(any) => ("or", Some(any), "", Value::Null),
            Condition::TagsContain(tag) => ("contains", None, "tags", tag.into()),
            Condition::AcquiredEquals(wanted) => ("equals", None, "acquired", wanted.into()),
        };
        Self {
            operation: operation.to_owned(),
            conditions,
            field: field.to_owned(),
            value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_go_programs_are_read_and_written() {
        let go = r#"{"Operation":"and","Conditions":[{"Operation":"contains","Conditions":null,"Field":"tags","Value":"tag2"},{"Operation":"equals","Conditions":null,"Field":"acquired","Value":false}],"Field":"","Value":null}"#;
        let condition: Condition = go.parse().unwrap();
        assert_eq!(
            condition.to_string(),
            r#"tags contains "tag2" and acquired equals false"#
        );
        assert_eq!(serde_json::to_string(&condition).unwrap(), go);
        let small = r#"{"operation":"contains","field":"tags","value":"x"}"#;
        assert_eq!(small.parse(), Ok(Condition::TagsContain("x".to_owned())));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for bad in [
            "{}",
            "{",
            r#"{"Operation":"contains","Field":"acquired","Value":"x"}"#,
            r#"{"Operation":"equals","Field":"acquired","Value":"true"}"#,
            r#"{"Operation":"and"}"#,
            r#"{"Operation":"xor","Conditions":[]}"#,
        ] {
            assert!(bad.parse::<Condition>().is_err(), "{bad}");
        }
    }
}
