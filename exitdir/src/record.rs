//! The record: how the leader ended, as `exitFile` states it.

use std::time::SystemTime;

use serde_json::{Value, json};

/// How a leader ended. All fields are empty for a leader that left an empty file, as older programs
/// do.
///
/// ```
/// use exitdir::{ExitDir, Record};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let dir = ExitDir::new(directory.path());
/// dir.signal(&Record::killed(9).named("main"))?;
/// let record = dir.signalled()?.expect("it was signalled");
/// assert_eq!((record.name.as_deref(), record.signal), (Some("main"), Some(9)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The name recorded for the leader.
    pub name: Option<String>,
    /// The leader's exit status.
    pub status: Option<u8>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// When it ended, in RFC 3339.
    pub time: Option<String>,
}

impl Record {
    /// A leader that exited with this status.
    #[must_use]
    pub fn exited(status: u8) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }

    /// A leader that was ended by this signal.
    #[must_use]
    pub fn killed(signal: i32) -> Self {
        Self {
            signal: Some(signal),
            ..Self::default()
        }
    }

    /// Adds the leader's name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Formats the record as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (name, status) = (json!(self.name), json!(self.status));
        let (signal, time) = (json!(self.signal), json!(self.time));
        format!(r#"{{"name":{name},"status":{status},"signal":{signal},"time":{time}}}"#)
    }

    pub(crate) fn now(&self) -> Self {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        Self {
            time: Some(now),
            ..self.clone()
        }
    }

    /// Parses a file. Anything that is not a record says only that the leader is done.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let text = |key| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key| value.get(key).and_then(Value::as_i64);
        Self {
            name: text("name"),
            status: number("status").and_then(|status| u8::try_from(status).ok()),
            signal: number("signal")
                .and_then(|signal| i32::try_from(signal).ok())
                .filter(|n| (1..=64).contains(n)),
            time: text("time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let record = Record::exited(7).named("a \"b\"\n").now();
        assert_eq!(Record::parse(record.to_json().as_bytes()), record);
        assert!(!record.to_json().contains('\n'));
        assert_eq!(
            (record.name.as_deref(), record.status),
            (Some("a \"b\"\n"), Some(7))
        );
    }

    #[test]
    fn foreign_bytes_mean_done_with_status_unknown() {
        for bytes in [
            "",
            "bye",
            "[1]",
            "\u{0}",
            r#"{"status":4711,"signal":99,"name":1}"#,
        ] {
            assert_eq!(
                Record::parse(bytes.as_bytes()),
                Record::default(),
                "{bytes}"
            );
        }
    }
}
