//! Locks as Go programs leave them: they are read, respected and kept.

use lockheed::Timestamp;
use serde_json::{Value, json};
use testkit::eventually;

use crate::support::Place;

fn in_seconds(place: &Place, seconds: i64) -> String {
    // The store's clock, not ours: they differ if the wall clock has stepped.
    place.expect(
        &["acquire", "clock", "--id", "clock", "--duration", "1h"],
        0,
    );
    let json = place.json("clock");
    let hour: Timestamp = json["leases"]["clock"]["expires"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let unix = hour.since_unix().as_secs() - 3600;
    let then = unix.checked_add_signed(seconds).unwrap();
    Timestamp::from_unix(std::time::Duration::from_secs(then)).to_string()
}

fn lock(leases: &Value, around: &Value) -> String {
    json!({"name": "x", "lockType": "mutex", "leases": leases, "store": around}).to_string()
}

fn held_until(expires: &str) -> Value {
    json!({"go": {"instanceID": "go", "expires": expires}})
}

#[test]
fn fresh_objects_are_free() {
    let place = Place::new();
    place.expect(&["run", "other", "--", "true"], 0);
    place.write("x", r#"{"name":"x","lockType":"","leases":null}"#);
    place.expect(&["run", "x", "--no-wait", "--", "true"], 0);
    assert_eq!(place.json("x")["lockType"], "mutex");
}

#[test]
fn leases_are_honoured_in_any_zone() {
    let place = Place::new();
    let soon = in_seconds(&place, 3600);
    let east = soon.replace('Z', "+05:45");
    for (expires, status) in [
        (soon.as_str(), 16),
        (east.as_str(), 0),
        ("9999-12-31T23:59:59Z", 16),
        ("0001-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59-07:00", 16),
    ] {
        place.write("x", &lock(&held_until(expires), &json!({"version": 1})));
        assert_eq!(
            place.run(&["acquire", "x", "--id", "us", "--no-wait"]).0,
            status,
            "{expires}"
        );
    }
}

#[test]
fn an_expired_lease_is_dropped_when_the_lock_is_written() {
    let place = Place::new();
    place.expect(&["run", "other", "--", "true"], 0);
    place.write(
        "x",
        &lock(
            &held_until("2020-01-01T00:00:00+02:00"),
            &json!({"version": 1}),
        ),
    );
    place.expect(&["acquire", "x", "--id", "us"], 0);
    assert_eq!(place.leases("x"), ["us"]);
}

#[test]
fn a_lease_without_a_length_ends_by_its_word() {
    let place = Place::new();
    let soon = in_seconds(&place, 2);
    place.write("x", &lock(&held_until(&soon), &json!({"version": 1})));
    assert_eq!(
        place.run(&["acquire", "x", "--id", "us", "--no-wait"]).0,
        16
    );
    place.expect(&["acquire", "x", "--id", "us", "--wait", "1m"], 0);
}

fn reserved(until: &str) -> Value {
    json!({"version": 1, "annotations": {"reserved/by": "go", "reserved/expires": until}})
}

#[test]
fn a_live_reservation_is_deferred_to_and_an_old_one_is_not() {
    let place = Place::new();
    let live = in_seconds(&place, 30);
    place.write("x", &lock(&json!({}), &reserved(&live)));
    let began = std::time::Instant::now();
    place.expect(&["acquire", "x", "--id", "us", "--no-wait"], 0);
    let took = began.elapsed();
    assert!(took >= std::time::Duration::from_secs(2), "{took:?}");
    assert_eq!(place.json("x")["store"]["annotations"], Value::Null);
    place.write("y", &lock(&json!({}), &reserved("2020-01-01T00:00:00Z")));
    assert_eq!(
        place.run(&["acquire", "y", "--id", "us", "--wait", "1s"]).0,
        0
    );
}

#[test]
fn a_waiter_that_died_after_reserving_costs_a_holder_nothing() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "us", "--duration", "1h"], 0);
    let reserve = |place: &Place| {
        let mut json = place.json("x");
        json["store"]["annotations"] = reserved(&in_seconds(place, 30))["annotations"].clone();
        json["store"]["version"] = (json["store"]["version"].as_u64().unwrap() + 1).into();
        place.write("x", &json.to_string());
    };
    reserve(&place);
    let began = std::time::Instant::now();
    place.expect(&["renew", "x", "--id", "us"], 0);
    assert_eq!(place.json("x")["store"]["annotations"], Value::Null);
    reserve(&place);
    place.expect(&["release", "x", "--id", "us"], 0);
    assert_eq!(place.json("x")["store"]["annotations"], Value::Null);
    assert!(
        began.elapsed() < std::time::Duration::from_secs(2),
        "a reservation was waited for"
    );
}

#[test]
fn what_is_not_known_is_kept() {
    let place = Place::new();
    place.expect(&["run", "other", "--", "true"], 0);
    let foreign = json!({"name": "x", "lockType": "", "leases": null, "colour": {"deep": [1, null, "ä"]}, "tags": ["t"],
        "store": {"version": 1, "uid": "u", "data": {"more": "text\n"}, "annotations": {"example.com/a": "b"}, "labels": {"l": "v"}}});
    place.write("x", &foreign.to_string());
    place.expect(&["acquire", "x", "--id", "us"], 0);
    place.expect(&["renew", "x", "--id", "us"], 0);
    place.expect(&["release", "x", "--id", "us"], 0);
    let json = place.json("x");
    assert_eq!(
        (&json["colour"], &json["tags"]),
        (&foreign["colour"], &foreign["tags"])
    );
    for key in ["uid", "data", "annotations", "labels"] {
        assert_eq!(json["store"][key], foreign["store"][key], "{key}");
    }
}

#[test]
fn what_cannot_be_read_is_an_error_that_says_where_and_is_left_alone() {
    let place = Place::new();
    place.expect(&["acquire", "good", "--id", "us"], 0);
    let long = "x".repeat(1 << 20);
    for bad in [
        "",
        "{",
        "[]",
        r#"{"leases":{"a":{"expires":"soon"}}}"#,
        r#"{"lockType":"semaphore","leases":{}}"#,
        long.as_str(),
        r#"{"leases":{},"store":{"version":"x"}}"#,
    ] {
        place.write("x", bad);
        for command in [
            &["acquire", "x", "--id", "us"][..],
            &["release", "x", "--id", "us"],
            &["renew", "x", "--id", "us"],
        ] {
            let (code, _, stderr) = place.run(command);
            assert_eq!(code, 22, "{command:?} on {bad:.40}: {stderr}");
            assert!(stderr.contains("lock x cannot be read: "), "{stderr}");
            let remedy = "or remove it while nobody holds the lock";
            assert!(stderr.contains(remedy), "{stderr}");
            assert!(stderr.len() < 1000, "{stderr}");
        }
        assert_eq!(std::fs::read_to_string(place.file("x")).unwrap(), bad);
    }
    place.write("x", r#"{"leases":{"a":{"expires":"soon"}}}"#);
    let (_, _, stderr) = place.run(&["acquire", "x", "--id", "us"]);
    assert!(
        stderr.contains("\"soon\" is not a time") && stderr.contains("line 1 column"),
        "{stderr}"
    );
    let (code, stdout, stderr) = place.run(&["list", "-o", "name"]);
    assert_eq!((code, stdout.as_str()), (22, "good\n"));
    assert!(
        stderr.starts_with("[ERROR lockheed] lock x cannot be read"),
        "{stderr}"
    );
}

#[test]
fn a_large_lock_is_used_like_any_other() {
    let place = Place::new();
    place.expect(&["run", "other", "--", "true"], 0);
    let bulk = "x".repeat(1 << 20);
    place.write(
        "x",
        &lock(&json!({}), &json!({"version": 1, "data": {"bulk": bulk}})),
    );
    place.expect(&["run", "x", "--", "true"], 0);
    assert_eq!(
        place.json("x")["store"]["data"]["bulk"]
            .as_str()
            .unwrap()
            .len(),
        1 << 20
    );
}

#[test]
fn leases_of_another_boot_are_void() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a"], 0);
    assert_eq!(place.run(&["acquire", "x", "--id", "b", "--no-wait"]).0, 16);
    let mut json = place.json("x");
    json["store"]["boot"] = "another".into();
    place.write("x", &json.to_string());
    place.expect(&["acquire", "x", "--id", "b", "--no-wait"], 0);
    assert_eq!(place.leases("x"), ["b"]);
}

/// A lock is edited while it is held and waited for: the holder renews on top of the edit, and the
/// waiter sees it.
#[test]
fn edits_by_others_are_not_lost() {
    let place = Place::new();
    let holder = place.hold("20s");
    let version = |place: &Place| place.json("x")["store"]["version"].as_u64().unwrap();
    // Edits as another program would: under the guard, with a version of its own.
    let guard = place.guard();
    let edited = version(&place) + 1;
    let mut json = place.json("x");
    json["note"] = "kept".into();
    json["store"]["version"] = edited.into();
    std::fs::write(place.locks().join(".counter"), format!("{edited:020}\n")).unwrap();
    place.write("x", &json.to_string());
    drop(guard);
    eventually("it is renewed", || version(&place) > edited);
    assert_eq!(place.json("x")["note"], "kept");
    place.let_go();
    assert_eq!(holder.finish().0, 0);
    assert_eq!(place.json("x")["note"], "kept");
}
