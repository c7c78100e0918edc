//! What is read from a Lease and written into it, case by case.

mod random;
mod renewals;

use std::{collections::BTreeMap, time::Duration};

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::{
    super::{Object, StoreErrorKind, WriteContext},
    wire::{last, read, write},
};
use crate::{Lease, LockName, Record, Timestamp, store::RECORD};

const LENGTH: Duration = Duration::from_millis(30_500);

fn lock() -> LockName {
    "x".parse().unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    time("2030-01-02T03:04:05.123456789Z")
}

fn found(object: &Value) -> DynamicObject {
    serde_json::from_value(object.clone()).unwrap()
}

fn reading(object: &Value) -> Object {
    read(&lock(), found(object)).unwrap()
}

fn writing(object: &Object, now: Timestamp) -> Value {
    let (name, namespace) = ("x", "ns");
    let at = WriteContext {
        name,
        namespace,
        labels: &BTreeMap::new(),
        now,
    };
    serde_json::to_value(write(&at, object).unwrap()).unwrap()
}

fn record(object: &Object) -> Record {
    Record::from_json(&object.data[RECORD]).unwrap()
}

fn set(object: &mut Object, record: &Record) {
    object.data.insert(RECORD.to_owned(), record.to_json());
}

fn ours(now: Timestamp) -> Lease {
    Lease::new("me", now.plus(LENGTH), Some(LENGTH))
}

/// A lock that we hold, as the API server has it.
fn held() -> Value {
    let mut new = Object::new(&lock());
    let mut record = Record::mutex("x");
    record.tags.push("prod".to_owned());
    record.leases.insert("me".to_owned(), ours(now()));
    set(&mut new, &record);
    writing(&new, now())
}

/// The object after client-go has written the fields that it knows, and nothing else.
fn by_client_go(object: &Value, holder: &str, seconds: i32, renewed: &str) -> Value {
    let mut object = object.clone();
    let transitions = object["spec"]["leaseTransitions"]
        .as_i64()
        .unwrap_or_default();
    object["spec"] = json!({"holderIdentity": holder, "leaseDurationSeconds": seconds, "leaseTransitions": transitions + 1,
        "acquireTime": renewed, "renewTime": renewed});
    object
}

#[test]
fn a_lock_of_ours_is_a_lease_of_leader_election() {
    let expected = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "x", "namespace": "ns", "annotations": {
            "lockheed/record": r#"{"name":"x","lockType":"mutex","leases":{"me":{"instanceID":"me","expires":"2030-01-02T03:04:35.623456789Z","durationMillis":30500}},"tags":["prod"]}"#,
            "lockheed/record-of": r#"{"holderIdentity":"me","leaseDurationSeconds":31,"acquireTime":"2030-01-02T03:04:05.123456Z","renewTime":"2030-01-02T03:04:05.123456Z","leaseTransitions":0}"#}},
        "spec": {"holderIdentity": "me", "leaseDurationSeconds": 31, "leaseTransitions": 0,
            "acquireTime": "2030-01-02T03:04:05.123456Z", "renewTime": "2030-01-02T03:04:05.123456Z"},
    });
    assert_eq!(held(), expected);
    let read = record(&reading(&held()));
    assert_eq!(
        (&read.leases["me"], &read.tags[..]),
        (&ours(now()), &["prod".to_owned()][..])
    );
}

/// Programs that know one holder then wait for all of them.
#[test]
fn of_several_leases_the_last_to_end_is_shown() {
    for later in ["a", "b"] {
        let mut new = Object::new(&lock());
        let mut record = Record::mutex("x");
        for id in ["a", "b"] {
            let length = LENGTH * if id == later { 2 } else { 1 };
            let lease = Lease::new(id, now().plus(length), Some(length));
            record.leases.insert(id.to_owned(), lease);
        }
        set(&mut new, &record);
        let spec = &writing(&new, now())["spec"];
        assert_eq!(spec["holderIdentity"], later);
        assert_eq!(spec["leaseDurationSeconds"], 61);
    }
}

#[test]
fn a_release_is_that_of_client_go() {
    let mut object = reading(&held());
    let mut free = record(&object);
    free.leases.clear();
    set(&mut object, &free);
    let later = time("2030-01-02T03:05:00Z");
    let released = writing(&object, later);
    let at = "2030-01-02T03:05:00.000000Z";
    let spec = json!({"holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 0, "acquireTime": at, "renewTime": at});
    assert_eq!(released["spec"], spec);
    let read = reading(&released);
    assert_eq!((record(&read), record(&read).tags.len()), (free, 1));
}

#[test]
fn another_holder_is_one_more_transition() {
    let theirs = by_client_go(&held(), "them", 15, "2030-01-02T03:06:00.000000Z");
    let mut object = reading(&theirs);
    let mut record = record(&object);
    let at = time("2030-01-02T03:07:00Z");
    record.leases = [("me".to_owned(), ours(at))].into();
    set(&mut object, &record);
    let written = writing(&object, at);
    assert_eq!(written["spec"]["leaseTransitions"], 2);
    assert_eq!(
        written["spec"]["acquireTime"],
        "2030-01-02T03:07:00.000000Z"
    );
}

/// Our notes on our own lease do not apply to theirs, even under our ID.
#[test]
fn what_client_go_writes_over_ours_is_what_counts() {
    let renewed = "2030-01-02T03:06:00.000000Z";
    for holder in ["them", "me"] {
        let record = record(&reading(&by_client_go(&held(), holder, 15, renewed)));
        let lease = &record.leases[holder];
        assert_eq!(record.leases.len(), 1);
        assert_eq!(lease.expires, time("2030-01-02T03:06:15Z"));
        assert_eq!(lease.duration(), Some(Duration::from_secs(15)));
        assert!(lease.by_holders_clock && lease.nonce.is_none() && lease.token.is_none());
        assert_eq!(record.tags, ["prod"]);
    }
    let released = by_client_go(&held(), "", 1, renewed);
    assert!(record(&reading(&released)).leases.is_empty());
}

#[test]
fn a_lease_of_others_is_read_as_client_go_reads_it() {
    let cases = [
        (json!(null), None),
        (json!({}), None),
        (json!({"holderIdentity": ""}), None),
        (
            json!({"holderIdentity": "a"}),
            Some((0, "1970-01-01T00:00:00Z")),
        ),
        (
            json!({"holderIdentity": "a", "leaseDurationSeconds": 40}),
            Some((40, "9999-12-31T23:59:58Z")),
        ),
        (
            json!({"holderIdentity": "a", "leaseDurationSeconds": 40, "renewTime": "2030-01-02T03:04:05.000001+02:00"}),
            Some((40, "2030-01-02T01:04:45.000001Z")),
        ),
        (
            json!({"holderIdentity": "a", "leaseDurationSeconds": i32::MAX, "renewTime": "9999-01-02T03:04:05.000001Z"}),
            Some((i32::MAX, "9999-12-31T23:59:58Z")),
        ),
    ];
    for (spec, lease) in cases {
        let object = json!({"metadata": {"name": "x"}, "spec": spec});
        let record = record(&reading(&object));
        let read = record.leases.get("a");
        let read = read.map(|lease| (lease.duration().unwrap().as_secs(), lease.expires));
        let lease = lease.map(|(length, end)| (u64::try_from(length).unwrap(), time(end)));
        assert_eq!(read, lease, "{spec}");
        assert_eq!(
            (&*record.name, &*record.lock_type),
            ("x", "mutex"),
            "{spec}"
        );
    }
}

#[test]
fn whole_seconds_are_no_less_than_the_lease_and_never_is_the_most() {
    let length = |millis| Some(Duration::from_millis(millis));
    let ends = |millis| now().plus(Duration::from_millis(millis));
    for (lease, seconds) in [
        (Lease::new("me", ends(1), length(1)), 1),
        (Lease::new("me", ends(1000), length(1000)), 1),
        (Lease::new("me", ends(1001), length(1001)), 2),
        (Lease::new("me", ends(90_000), None), 90),
        (Lease::new("me", now(), None), 1),
        (Lease::new("me", Timestamp::NEVER, None), i32::MAX),
        (
            Lease::new(
                "me",
                ends(1 << 45),
                Some(Duration::from_secs(u64::MAX / 1000)),
            ),
            i32::MAX,
        ),
    ] {
        let mut new = Object::new(&lock());
        let mut record = Record::mutex("x");
        record.leases.insert("me".to_owned(), lease.clone());
        set(&mut new, &record);
        let written = writing(&new, now());
        assert_eq!(
            written["spec"]["leaseDurationSeconds"], seconds,
            "{lease:?}"
        );
        assert_eq!(self::record(&reading(&written)).leases["me"], lease);
    }
}

#[test]
fn a_write_that_is_not_about_the_holder_leaves_the_fields() {
    let theirs = by_client_go(&held(), "them", 15, "2030-01-02T03:06:00.000000Z");
    let mut object = reading(&theirs);
    assert_eq!(writing(&object, now()), theirs, "nothing is changed");
    object
        .annotations
        .insert("lockheed/settled".to_owned(), "7".to_owned());
    let mut tagged = record(&object);
    tagged.tags.push("more".to_owned());
    set(&mut object, &tagged);
    let written = writing(&object, now());
    assert_eq!(written["spec"], theirs["spec"]);
    assert_eq!(record(&reading(&written)), tagged);
    // They renew, and drop nothing.
    let renewed = by_client_go(&written, "them", 15, "2030-01-02T03:06:02.000000Z");
    let read = record(&reading(&renewed));
    assert_eq!(read.tags, ["prod", "more"]);
    assert_eq!(read.leases["them"].expires, time("2030-01-02T03:06:17Z"));
}

#[test]
fn what_is_not_about_the_lock_goes_back_as_it_came() {
    let object = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "ofTheFuture": {"a": [1]},
        "spec": {"holderIdentity": "them", "strategy": "OldestEmulationVersion", "preferredHolder": "you", "ofTheFuture": 1},
        "metadata": {"name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "7", "generateName": "x",
            "labels": {"team": "ours"}, "annotations": {"note": "kept", "reserved/by": "go", "lockheed/data": "not ours"},
            "finalizers": ["f"], "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p"}]},
    });
    let mut read = reading(&object);
    assert_eq!((&*read.uid, read.version.as_str()), ("u", "7"));
    let notes: Vec<_> = read.annotations.keys().collect();
    assert_eq!(
        notes,
        ["note"],
        "what reserves a ConfigMap does not reserve a Lease"
    );
    assert_eq!(writing(&read, now()), object);
    let mut record = record(&read);
    record.leases = [("me".to_owned(), ours(now()))].into();
    set(&mut read, &record);
    let mut written = writing(&read, now());
    for of_future in ["strategy", "preferredHolder", "ofTheFuture"] {
        assert_eq!(written["spec"][of_future], object["spec"][of_future]);
    }
    written["spec"] = object["spec"].clone();
    for note in ["lockheed/record", "lockheed/record-of"] {
        let annotations = written["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.remove(note).unwrap();
    }
    assert_eq!(written, object);
}

#[test]
fn what_cannot_be_read_names_the_lease_and_what_is_noted_wrongly_is_handed_on() {
    for bad in [
        json!("text"),
        json!({"holderIdentity": 1}),
        json!({"renewTime": "soon"}),
        json!({"leaseDurationSeconds": 1e12}),
    ] {
        let object = json!({"metadata": {"name": "x"}, "spec": bad});
        let error = read(&lock(), found(&object)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Invalid);
        let text = error.to_string();
        assert!(text.starts_with("Lease \"x\" cannot be read: "), "{text}");
        assert_eq!(last(&lock(), found(&object)).name, lock());
    }
    let mut object = held();
    for bad in ["", "{", "[]", r#"{"leases":[]}"#] {
        object["metadata"]["annotations"]["lockheed/record"] = bad.into();
        let read = reading(&object);
        assert_eq!(read.data[RECORD], bad);
        assert_eq!(writing(&read, now()), object, "it can be moved on");
        let mut free = read;
        set(&mut free, &Record::mutex("x"));
        assert_eq!(writing(&free, now())["spec"]["holderIdentity"], "");
    }
    // If the noted fields are missing or invalid, the lease is not one of ours.
    for with in [json!("nonsense"), json!("{}"), json!(null)] {
        let mut object = held();
        object["metadata"]["annotations"]["lockheed/record-of"] = with;
        let annotations = object["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.retain(|_, text| !text.is_null());
        let lease = record(&reading(&object)).leases.remove("me").unwrap();
        assert!(lease.by_holders_clock, "{lease:?}");
    }
}

#[test]
fn what_is_no_lock_is_not_written() {
    let nobody = r#"{"leases":{"":{"expires":"2030-01-02T03:04:05Z"}}}"#;
    for text in [None, Some("{"), Some(nobody)] {
        let mut new = Object::new(&lock());
        new.data
            .extend(text.map(|text| (RECORD.to_owned(), text.to_owned())));
        let (name, namespace, now) = ("x", "ns", now());
        let at = WriteContext {
            name,
            namespace,
            labels: &BTreeMap::new(),
            now,
        };
        let error = write(&at, &new).unwrap_err();
        assert!(error.to_string().contains("Lease \"x\""), "{error}");
    }
}
