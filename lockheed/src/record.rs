//! The record: what is stored in a lock, in a form shared with Go programs.

use std::{collections::BTreeMap, fmt, time::Duration};

use coord_core::{Errno, HasErrno};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{Mode, Timestamp, Token, store::Version};

/// The only lock type that this crate knows. Go programs create objects with an empty type, which
/// means the same.
pub(crate) const MUTEX: &str = "mutex";

/// A lock as its JSON describes it. Unknown fields are kept.
///
/// ```
/// use lockheed::Record;
/// let text = r#"{"name":"deploy","lockType":"","leases":null,"colour":"red"}"#;
/// let record = Record::from_json(text)?;
/// assert!(record.leases.is_empty());
/// assert_eq!(record.to_json(), r#"{"name":"deploy","lockType":"","leases":{},"colour":"red"}"#);
/// # Ok::<(), lockheed::InvalidRecord>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The lock's name.
    #[serde(default)]
    pub name: String,
    /// `mutex`, or empty, which means the same.
    #[serde(default, rename = "lockType")]
    pub lock_type: String,
    /// The holders' leases, by ID. Some may have expired.
    #[serde(default, deserialize_with = "null_as_default")]
    pub leases: BTreeMap<String, Lease>,
    /// How the holders share the lock. This is not part of the JSON, where a group of holders
    /// counts as one: [`Object::record`](crate::store::Object::record) fills it in.
    #[serde(skip)]
    pub mode: Mode,
    /// Free-form words about the lock.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub tags: Vec<String>,
    /// How many slots a newcomer leaves to waiters while the lock is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) room: Option<u32>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// One holder's right to the lock, for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The holder's ID.
    #[serde(default, rename = "instanceID")]
    pub holder: String,
    /// When the lease expires, on the store's clock; [`Timestamp::NEVER`] for a lease without an
    /// end.
    pub expires: Timestamp,
    /// The lease's length from when it was written, in milliseconds. Leases of Go programs, and
    /// those without an end, have none.
    #[serde(
        default,
        rename = "durationMillis",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) millis: Option<u64>,
    /// `expires` comes from the holder's own clock, which may be wrong. This is so for leases of
    /// client-go.
    #[serde(
        default,
        rename = "holderClock",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub(crate) by_holders_clock: bool,
    /// The fencing token. The first write after the one that acquired the lease can record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// A number that proves the holder is alive, for stores that can check.
    #[serde(
        default,
        rename = "proofOfLife",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) alive: Option<u64>,
    /// Distinguishes this write from all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
    /// How often others were first while this holder waited; none if it did not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) passed: Option<u32>,
    /// The previous holder named this one, which has not taken the lock yet; how many were named
    /// before it at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) granted: Option<u32>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// A text that is not the JSON of a lock. Its errno is `EINVAL`.
#[derive(Debug)]
pub struct InvalidRecord(serde_json::Error);

impl fmt::Display for InvalidRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for InvalidRecord {}

impl HasErrno for InvalidRecord {
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}

impl Record {
    /// An empty mutex.
    #[must_use]
    pub fn mutex(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            lock_type: MUTEX.to_owned(),
            ..Self::default()
        }
    }

    /// Reads a record from its JSON.
    ///
    /// # Errors
    /// `EINVAL`, with what is wrong and where.
    pub fn from_json(text: &str) -> Result<Self, InvalidRecord> {
        serde_json::from_str(text).map_err(InvalidRecord)
    }

    /// Records the missing tokens before the object gets another version. This version is the token
    /// of the last writer, because each writer does this.
    pub(crate) fn note_tokens(&mut self, version: &Version) {
        let ours = |lease: &&mut Lease| lease.nonce.is_some() && !lease.is_granted();
        for lease in self.leases.values_mut().filter(ours) {
            lease.token = lease.token.or_else(|| Token::of(version).ok());
        }
    }

    /// The JSON, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Fails only for maps whose keys are not strings, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Lease {
    /// A lease that expires at this time on the store's clock and was written `length` before. Go
    /// programs write no length.
    #[must_use]
    pub fn new(holder: &str, expires: Timestamp, length: Option<Duration>) -> Self {
        Self {
            holder: holder.to_owned(),
            expires,
            millis: length.map(|length| u64::try_from(length.as_millis()).unwrap_or(u64::MAX)),
            by_holders_clock: false,
            token: None,
            alive: None,
            nonce: None,
            passed: None,
            granted: None,
            other: Map::new(),
        }
    }

    /// The same, for a holder that writes its own clock's time.
    #[cfg(feature = "kube")]
    pub(crate) fn by_holders_clock(self) -> Self {
        Self {
            by_holders_clock: true,
            ..self
        }
    }

    /// Keeps the unknown fields of an older state of the lease.
    pub(crate) fn keep_unknown(&mut self, older: &Self) {
        self.other = older.other.clone();
    }

    /// The lease's length from when it was written; none when it has none or does not say.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.millis.map(Duration::from_millis)
    }

    /// Whether both come from the same write, even if somebody else has recorded the token since.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_same_write = self.nonce.is_some() && self.nonce == other.nonce;
        self == other || is_same_write && self.expires == other.expires && !self.is_granted()
    }

    /// Whether the previous holder named this one, which has not taken the lock yet.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.granted.is_some()
    }

    /// Whether the lease has expired at this time of the store's clock.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        !self.expires.is_never() && self.expires <= now
    }
}

/// Go writes an empty map or slice as `null`.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As Go programs write it, with fields that they do not know.
    const FOREIGN: &str = r#"{"name":"deploy","lockType":"mutex","leases":{"a1":{"instanceID":"a1","expires":"2030-01-02T03:04:05.123456789+02:00","note":[1,null]}},"tags":["x"],"more":{"b":1}}"#;

    #[test]
    fn what_is_not_known_is_kept() {
        let record = Record::from_json(FOREIGN).unwrap();
        let lease = &record.leases["a1"];
        assert_eq!(lease.expires.to_string(), "2030-01-02T01:04:05.123456789Z");
        assert_eq!(lease.duration(), None);
        let kept: Value = serde_json::from_str(&record.to_json()).unwrap();
        let mut expected: Value = serde_json::from_str(FOREIGN).unwrap();
        expected["leases"]["a1"]["expires"] = "2030-01-02T01:04:05.123456789Z".into();
        assert_eq!(kept, expected);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            let names = "[a-z]{1,6}";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map(names, inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_not_known_is_kept(
            record in prop::collection::btree_map("x[a-z]{0,8}", any_json(), 0..4),
            lease in prop::collection::btree_map("x[a-z]{0,8}", any_json(), 0..4),
        ) {
            let mut before: Value = serde_json::from_str(FOREIGN).unwrap();
            before["leases"]["a1"]["expires"] = "2030-01-02T01:04:05.123456789Z".into();
            before.as_object_mut().unwrap().extend(record);
            before["leases"]["a1"].as_object_mut().unwrap().extend(lease);
            let after = Record::from_json(&before.to_string()).unwrap().to_json();
            prop_assert_eq!(serde_json::from_str::<Value>(&after).unwrap(), before);
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,60}|[{}\\[\\]\":,a-z0-9]{0,60}") {
            let _ = Record::from_json(&text);
        }
    }

    #[test]
    fn numbers_of_others_do_not_drift() {
        let text = r#"{"leases":{},"other":18446744073736407074709551615}"#;
        let once = Record::from_json(text).unwrap();
        let twice = Record::from_json(&once.to_json()).unwrap();
        assert_eq!(twice, once);
    }

    #[test]
    fn fresh_objects_of_go_programs_are_empty_mutexes() {
        let record =
            Record::from_json(r#"{"name":"x","lockType":"","leases":null,"tags":null}"#).unwrap();
        assert_eq!((record.leases.len(), record.tags.len()), (0, 0));
        assert_eq!(
            record.to_json(),
            r#"{"name":"x","lockType":"","leases":{}}"#
        );
    }

    #[test]
    fn ours_is_what_go_programs_read() {
        let mut record = Record::mutex("x");
        let lease = Lease::new("me", Timestamp::NEVER, None);
        record.leases.insert("me".to_owned(), lease);
        let expected = r#"{"name":"x","lockType":"mutex","leases":{"me":{"instanceID":"me","expires":"9999-12-31T23:59:59Z"}}}"#;
        assert_eq!(record.to_json(), expected);
        assert_eq!(Record::from_json(expected).unwrap(), record);
    }

    #[test]
    fn bad_json_is_told_with_its_place() {
        for bad in [
            "",
            "{",
            "[]",
            "null",
            r#"{"leases":{"a":{}}}"#,
            r#"{"leases":{"a":{"expires":"soon"}}}"#,
            r#"{"tags":"x"}"#,
        ] {
            assert!(Record::from_json(bad).is_err(), "{bad}");
        }
        let error = Record::from_json(r#"{"leases":{"a":{"expires":"soon"}}}"#).unwrap_err();
        assert!(
            error.to_string().contains("\"soon\" is not a time"),
            "{error}"
        );
    }

    #[test]
    fn a_lease_is_over_when_its_time_has_come() {
        let now: Timestamp = "2030-01-02T03:04:05Z".parse().unwrap();
        let lease = Lease::new("me", now, Some(Duration::from_secs(1)));
        assert!(lease.is_expired(now));
        assert!(!lease.is_expired("2030-01-02T03:04:04.999Z".parse().unwrap()));
        assert!(!Lease::new("me", Timestamp::NEVER, None).is_expired(Timestamp::NEVER));
    }
}
