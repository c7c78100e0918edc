//! Output formats for locks, as in kubectl. Control characters in names, tags and holders are
//! escaped, since they come from others.

use std::fmt::Write;

use coord_core::text::escaped;
use serde_json::Value;

/// How a command prints a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ListFormat {
    /// One line per lock, with a header
    Table,
    /// The same with more columns
    Wide,
    /// An array
    Json,
    /// A list
    Yaml,
    /// The names alone
    Name,
}

/// How a command prints one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ShowFormat {
    /// For people
    #[value(alias = "wide")]
    Text,
    /// An object
    Json,
    /// An object
    Yaml,
}

/// A table that is printed line by line, with a fixed width per column. Wider texts are not cut.
pub struct Table(Vec<(&'static str, usize)>);

impl Table {
    /// A table with these columns, each with its header and width.
    #[must_use]
    pub fn new(columns: impl IntoIterator<Item = (&'static str, usize)>) -> Self {
        Self(columns.into_iter().collect())
    }

    /// The header line.
    #[must_use]
    pub fn header(&self) -> String {
        self.row(self.0.iter().map(|(name, _)| name))
    }

    /// One line, with one text per column.
    #[must_use]
    pub fn row(&self, cells: impl IntoIterator<Item = impl AsRef<str>>) -> String {
        let mut line = String::new();
        for (cell, (_, width)) in cells.into_iter().zip(&self.0) {
            let cell = escaped(cell.as_ref()).to_string();
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:<width$} ");
        }
        format!("{}\n", line.trim_end())
    }
}

/// JSON on one line. Characters that control a terminal are escaped (RFC 8259 section 7).
#[must_use]
pub fn json(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        let shown = escaped(c.encode_utf8(&mut [0; 4])).to_string();
        if shown.len() == c.len_utf8() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

/// The same as YAML, in complete lines.
#[must_use]
pub fn yaml(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

/// A value that starts on its own line.
fn block(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                *text += &format!("{:indent$}{}:", "", scalar(&Value::from(key.as_str())));
                // kubectl does not indent a list in a map.
                let deeper = if value.is_array() { indent } else { indent + 2 };
                rest(text, value, deeper);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for value in list {
                let mut item = String::new();
                block(&mut item, value, indent + 2);
                *text += &format!("{:indent$}- {}", "", &item[indent + 2..]);
            }
        }
        _ => *text += &format!("{:indent$}{}\n", "", scalar(value)),
    }
}

/// A value after its key.
fn rest(text: &mut String, value: &Value, indent: usize) {
    let nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    if nested {
        text.push('\n');
        block(text, value, indent);
    } else {
        *text += &format!(" {}\n", scalar(value));
    }
}

/// A value on one line. JSON is valid YAML, but people prefer texts without quotes.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        _ => json(value),
    }
}

/// Whether a text needs no quotes, for readers of YAML 1.1 and 1.2.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(plain)
        && !WORDS.contains(&&*text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_is_what_kubectl_users_know() {
        let value = json!([
            {"name": "a", "held": true, "tags": ["x", "1", "yes"], "holders": [{"id": "i", "more": {}}], "none": null, "empty": []},
            {"name": "b: \u{1b}[31m", "labels": {"k/l": "2030-01-01"}},
        ]);
        let expected = "\
- empty: []
  held: true
  holders:
  - id: i
    more: {}
  name: a
  none: null
  tags:
  - x
  - \"1\"
  - \"yes\"
- labels:
    k/l: \"2030-01-01\"
  name: \"b: \\u001b[31m\"
";
        assert_eq!(yaml(&value), expected);
        assert_eq!(yaml(&json!([])), "[]\n");
        assert_eq!(yaml(&json!({})), "{}\n");
        assert_eq!(yaml(&json!({"a": {"b": {"c": 1}}})), "a:\n  b:\n    c: 1\n");
        assert_eq!(yaml(&json!([["a", ["b"]], []])), "- - a\n  - - b\n- []\n");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_printed() {
        let bad = "a\u{1b}[31m\u{9b}1m\u{202e}\u{2028}\u{7f}\n锁";
        let table = Table::new([("NAME", 3), ("HOLDER", 0)]);
        let printed = [
            json(&json!(bad)),
            yaml(&json!({bad: bad})),
            table.row([bad, bad]),
        ];
        for text in printed {
            let kept = |c: char| c == '\n' || c == '锁' || (' '..='~').contains(&c);
            assert!(text.chars().all(kept), "{text:?}");
            assert_eq!(text.trim_end().lines().count(), 1, "{text:?}");
        }
        let read: Value = serde_json::from_str(&json(&json!(bad))).unwrap();
        assert_eq!(read, bad);
    }

    #[test]
    fn a_table_has_a_header_and_no_blanks_at_its_ends() {
        let table = Table::new([("NAME", 6), ("TAGS", 9)]);
        assert_eq!(table.header(), "NAME   TAGS\n");
        assert_eq!(table.row(["lock", ""]), "lock\n");
        assert_eq!(table.row(["much-too-wide", "a"]), "much-too-wide a\n");
    }
}
