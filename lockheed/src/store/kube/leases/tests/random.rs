//! The same with random contents.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{by_client_go, found, lock, now, reading, record, set, writing};
use crate::{
    Lease, Record, Timestamp,
    store::{Object, RECORD, kube::leases::wire::read},
};

fn any_lease() -> impl Strategy<Value = (String, Lease)> {
    let times = (0..5_000_000_000_u64, 0..1_000_000_000_u32);
    let times = times.prop_map(|(seconds, nanos)| Duration::new(seconds, nanos));
    let end = prop_oneof![
        4 => times.prop_map(Timestamp::from_unix),
        1 => Just(Timestamp::NEVER)
    ];
    let length =
        prop::option::of(prop_oneof![0..100_000_u64, any::<u64>()].prop_map(Duration::from_millis));
    ("\\PC{1,12}", end, length).prop_map(|(holder, expires, length)| {
        let lease = Lease::new(&holder, expires, length);
        (holder, lease)
    })
}

fn any_record() -> impl Strategy<Value = Record> {
    let leases = prop::collection::btree_map("\\PC{1,8}", any_lease(), 0..3);
    (
        leases,
        prop::collection::vec("\\PC{0,8}", 0..3),
        "\\PC{0,8}",
    )
        .prop_map(|(leases, tags, other)| {
            let unknown = json!({"name": "x", "lockType": "mutex", "other": other});
            let mut record = Record::from_json(&unknown.to_string()).unwrap();
            record.leases = leases.into_values().collect();
            record.tags = tags;
            record
        })
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(json!("2030-01-02T03:04:05.123456Z")),
        Just(json!(
            r#"{"name":"x","leases":{"a":{"expires":"2030-01-02T03:04:05Z"}}}"#
        )),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let names = "[a-z]{1,6}";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(names, inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Some of the fields, each with any value.
fn any_fields(names: &'static [&'static str]) -> impl Strategy<Value = Map<String, Value>> {
    let fields = prop::collection::btree_map(prop::sample::select(names), any_json(), 0..5);
    fields.prop_map(|fields| {
        fields
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        first in any_record(),
        then in any_record(),
        data in prop::collection::btree_map("[a-z]{1,6}", "\\PC{0,8}", 0..3),
        annotations in prop::collection::btree_map("[a-z]{1,6}", "\\PC{0,8}", 0..3),
    ) {
        let mut object = Object::new(&lock());
        object.data = data.clone();
        object.annotations = annotations.clone();
        for record in [first, then] {
            set(&mut object, &record);
            let written = writing(&object, now());
            let seconds = written["spec"]["leaseDurationSeconds"].as_i64().unwrap();
            prop_assert!((1..=i64::from(i32::MAX)).contains(&seconds));
            let held = written["spec"]["holderIdentity"] != "";
            prop_assert_eq!(held, !record.leases.is_empty());
            object = reading(&written);
            prop_assert_eq!(self::record(&object), record);
            prop_assert_eq!(&object.annotations, &annotations);
            let mut others = object.data.clone();
            others.remove(RECORD);
            prop_assert_eq!(&others, &data);
        }
    }

    #[test]
    fn whoever_writes_the_fields_after_us_is_believed(
        before in any_record(),
        holder in "\\PC{0,8}",
        seconds in 1..i32::MAX,
    ) {
        let mut object = Object::new(&lock());
        set(&mut object, &before);
        let theirs = by_client_go(&writing(&object, now()), &holder, seconds, "2031-01-02T03:04:05.000000Z");
        let read = record(&reading(&theirs));
        prop_assert_eq!(&read.tags, &before.tags);
        prop_assert_eq!(read.leases.keys().cloned().collect::<String>(), holder);
        for lease in read.leases.values() {
            prop_assert!(lease.by_holders_clock);
            prop_assert_eq!(lease.duration().unwrap().as_secs(), u64::try_from(seconds).unwrap());
        }
    }

    #[test]
    fn nothing_is_too_strange(
        spec in any_fields(&["holderIdentity", "leaseDurationSeconds", "acquireTime", "renewTime", "leaseTransitions", "strategy"]),
        notes in prop::collection::btree_map(
            prop::sample::select(&["lockheed/record", "lockheed/record-of", "lockheed/data", "note"][..]), "\\PC{0,20}|\\{\\}|\\[\\]", 0..4),
        more in any_fields(&["ofTheFuture", "status"]),
    ) {
        let mut object = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec,
            "metadata": {"name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "7"}});
        if !notes.is_empty() {
            object["metadata"]["annotations"] = json!(notes);
        }
        object.as_object_mut().unwrap().extend(more);
        match read(&lock(), found(&object)) {
            Ok(read) => prop_assert_eq!(writing(&read, now()), object),
            Err(error) => prop_assert!(error.to_string().contains("Lease \"x\""), "{}", error),
        }
    }
}
