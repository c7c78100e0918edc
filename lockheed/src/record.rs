//! What is written into a lock: the record, shared with Go programs.

use std::{collections::BTreeMap, fmt, time::Duration};

use coord_core::{Errno, HasErrno};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{Mode, Timestamp, Token, store::Version};

/// The lock type that this crate knows. Fresh objects of Go programs have an empty one, which means the same.
pub(crate) const MUTEX: &str = "mutex";

/// A lock as its JSON has it. What this crate does not know is kept.
///
/// ```
/// use lockheed::Record;
/// let record = Record::from_json(r#"{"name":"deploy","lockType":"","leases":null,"colour":"red"}"#)?;
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
    /// Who holds the lock, by the holder's ID. Leases that are over may be among them.
    #[serde(default, deserialize_with = "null_as_default")]
    pub leases: BTreeMap<String, Lease>,
    /// How those hold it whose leases these are. It is not part of the JSON, in which a group of
    /// holders is one: [`Object::record`](crate::store::Object::record) knows them.
    #[serde(skip)]
    pub mode: Mode,
    /// Free words about the lock.
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

/// The right of one holder, for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The holder's ID.
    #[serde(default, rename = "instanceID")]
    pub holder: String,
    /// When it is over, on the store's clock; [`Timestamp::NEVER`] for a lease without an end.
    pub expires: Timestamp,
    /// How long it lasts from when it was written, in milliseconds. Leases of Go programs, and those without an end, have none.
    #[serde(
        default,
        rename = "durationMillis",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) millis: Option<u64>,
    /// `expires` is of the holder's own clock, which may show anything. So are the leases of
    /// client-go.
    #[serde(
        default,
        rename = "holderClock",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub(crate) by_holders_clock: bool,
    /// The fencing token, as soon as a write after the acquiring one could put it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// What proves that the holder lives, where the store can tell.
    #[serde(
        default,
        rename = "proofOfLife",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) alive: Option<u64>,
    /// Tells this write from every other one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
    /// How often somebody else was first while this one waited; none for one that has not waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) passed: Option<u32>,
    /// Its holder was named by whoever held the lock before, and has not come yet; how many were
    /// named with it before it.
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

    /// Reads the JSON.
    ///
    /// # Errors
    /// `EINVAL`: what is wrong with it, and where.
    pub fn from_json(text: &str) -> Result<Self, InvalidRecord> {
        serde_json::from_str(text).map_err(InvalidRecord)
    }

    /// Puts down the tokens that are not put down yet, before the object with this version becomes
    /// another: the version tells that of its last writer, since each writer does so.
    pub(crate) fn note_tokens(&mut self, version: &Version) {
        let ours = |lease: &&mut Lease| lease.nonce.is_some() && !lease.is_granted();
        for lease in self.leases.values_mut().filter(ours) {
            lease.token = lease.token.or_else(|| Token::of(version).ok());
        }
    }

    /// The JSON, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        // It fails only for maps whose keys are not texts, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Lease {
    /// A lease that is over at this time on the store's clock, and was written this long before; Go programs write no length.
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

    /// The same of a holder that writes what its own clock shows.
    #[cfg(feature = "kube")]
    pub(crate) fn by_holders_clock(self) -> Self {
        Self {
            by_holders_clock: true,
            ..self
        }
    }

    /// Takes over what this crate does not know in an older state of the lease.
    pub(crate) fn keep_unknown(&mut self, older: &Self) {
        self.other = older.other.clone();
    }

    /// How long it lasts from when it was written; none when it does not say, or has no end.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.millis.map(Duration::from_millis)
    }

    /// Whether it is as it was written, though somebody else may have put down its token.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_same_write = self.nonce.is_some() && self.nonce == other.nonce;
        self == other || is_same_write && self.expires == other.expires && !self.is_granted()
    }

    /// Whether its holder was named by whoever held the lock before, and has not come yet.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.granted.is_some()
    }

    /// Whether it is over at this time of the store's clock.
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

    /// As Go programs leave it, with what they do not know in it.
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
