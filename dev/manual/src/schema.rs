//! Checks JSON against a JSON Schema. It knows only the words of JSON Schema that the tools'
//! schemas use. It is stricter than a reader must be: each field must be in the schema.

use std::{fs, path::Path};

use serde_json::Value;

/// Checks the output of a command against its part of `schema.json` in the tool's crate.
///
/// # Panics
/// When the output does not fit; the message says what is wrong, and where. Also when the schema
/// cannot be read.
#[track_caller]
pub fn assert_fits(directory: &str, command: &str, printed: &str) {
    let schema = read(directory);
    let value = serde_json::from_str(printed);
    let value: Value = value.unwrap_or_else(|error| panic!("{error}: {printed:?}"));
    let part = schema["$defs"].get(command);
    let part = part.unwrap_or_else(|| panic!("the schema has no {command:?}"));
    if let Err(wrong) = fits(&schema, part, &value, "") {
        panic!("{wrong}: {printed}");
    }
}

/// The same for any command that a test has run. It ignores output that is not JSON, and commands
/// that failed.
///
/// # Panics
/// When JSON does not fit, or no argument is a command in the schema.
#[track_caller]
pub fn assert_printed(directory: &str, arguments: &[&str], printed: &str) {
    let is_json = arguments.windows(2).any(|pair| pair == ["-o", "json"]);
    if is_json && !printed.is_empty() {
        let schema = read(directory);
        // Options may come before the command.
        let mut known = arguments
            .iter()
            .filter(|it| !schema["$defs"][**it].is_null());
        let command = known.next();
        let command = command.unwrap_or_else(|| panic!("the schema has none of {arguments:?}"));
        assert_fits(directory, command, printed);
    }
}

fn read(directory: &str) -> Value {
    let path = Path::new(directory).join("schema.json");
    let text = fs::read_to_string(&path).expect("there is no schema");
    serde_json::from_str(&text).expect("the schema is not JSON")
}

fn fits(whole: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let words = schema.as_object().ok_or("a schema is not an object")?;
    for (word, means) in words {
        let is_met = match word.as_str() {
            "description" | "format" => true,
            "properties" => value.as_object().is_none_or(|fields| {
                let mut names = fields.keys();
                names.all(|name| means.get(name).is_some())
            }),
            "required" => value.as_object().is_none_or(|fields| {
                let mut names = strings(means);
                names.all(|name| fields.contains_key(name))
            }),
            "type" => match means {
                Value::String(name) => is_a(value, name),
                names => strings(names).any(|name| is_a(value, name)),
            },
            "enum" => means.as_array().is_some_and(|all| all.contains(value)),
            "minimum" => value
                .as_f64()
                .is_none_or(|number| Some(number) >= means.as_f64()),
            "anyOf" => {
                let mut all = means.as_array().into_iter().flatten();
                all.any(|one| fits(whole, one, value, place).is_ok())
            }
            "$ref" => {
                let path = means.as_str().unwrap_or_default().trim_start_matches('#');
                let target = whole.pointer(path).ok_or(format!("there is no {path}"))?;
                fits(whole, target, value, place)?;
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    fits(whole, means, item, &format!("{place}[{index}]"))?;
                }
                true
            }
            word => return Err(format!("{word:?} is not a word that this check knows")),
        };
        if !is_met {
            return Err(format!("{place} {value} does not fit {word} {means}"));
        }
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        if let Some(schema) = schema["properties"].get(name) {
            fits(whole, schema, field, &format!("{place}.{name}"))?;
        }
    }
    Ok(())
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        let schema = json!({
            "$defs": {"id": {"type": "string"}},
            "type": "object",
            "required": ["all"],
            "properties": {
                "all": {"type": "array", "items": {"$ref": "#/$defs/id"}},
                "count": {"type": ["integer", "null"], "minimum": 1},
                "kind": {"anyOf": [{"enum": ["a"]}, {"type": "null"}]},
            },
        });
        let mut object = schema.clone();
        object.as_object_mut().unwrap().remove("$defs");
        let check = |value| fits(&schema, &object, &value, "");
        assert_eq!(
            check(json!({"all": ["x"], "count": 1, "kind": null})),
            Ok(())
        );
        let wrong = [
            (json!({}), "required"),
            (json!([]), "type"),
            (json!({"all": [1]}), ".all[0] 1"),
            (json!({"all": [], "count": 0}), "minimum"),
            (json!({"all": [], "count": 1.5}), ".count 1.5"),
            (json!({"all": [], "kind": "b"}), "anyOf"),
            (json!({"all": [], "more": 1}), "properties"),
        ];
        for (value, why) in wrong {
            let error = check(value).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert!(fits(&schema, &json!({"maximum": 1}), &json!(1), "").is_err());
    }
}
