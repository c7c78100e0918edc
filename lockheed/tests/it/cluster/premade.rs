//! ConfigMaps that were made beforehand: locks that nobody holds.

use std::process::Stdio;

use lockheed::KubeStore;
use serde_json::{Value, json};
use testkit::{eventually, process::Kept};

use super::{Place, commands::run, lockheed};

/// Creates one as `kubectl create configmap` does, with this metadata and data.
fn make(place: &Place, metadata: &Value, data: &Value) {
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    if !data.is_null() {
        object["data"] = data.clone();
    }
    object["metadata"]["name"] = "lockheed-x".into();
    place.namespace.apply(&object);
}

#[test]
#[ignore = "no cluster"]
fn it_is_free_and_whoever_acquires_it_keeps_what_it_has() {
    let place = Place::new();
    let on = |arguments: &[&str]| run(&place.user, arguments);
    let metadata = json!({"labels": {"team": "db"}, "annotations": {"example.com/note": "kept"}});
    make(&place, &metadata, &json!({"theirs": "1"}));
    let made = place.object("x");
    let (status, said, error) = on(&["inspect", "x"]);
    assert_eq!(status, Some(0), "{error}");
    assert!(said.ends_with("\nfree\n"), "{said}");
    assert_eq!(on(&["list", "-o", "name"]).1, "");
    assert_eq!(on(&["renew", "x", "--id", "a"]).0, Some(116));
    assert_eq!(on(&["release", "x", "--id", "a"]).0, Some(0));
    assert_eq!(on(&["break", "x", "--yes"]).0, Some(0));
    assert_eq!(on(&["check", "x"]).0, Some(0));
    // None of this has changed it.
    assert_eq!(place.object("x"), made);

    assert_eq!(on(&["acquire", "x", "--id", "a", "--no-wait"]).0, Some(0));
    assert_eq!(on(&["acquire", "x", "--id", "b", "--no-wait"]).0, Some(16));
    assert_eq!(on(&["list", "-o", "name"]).1, "x\n");
    let held = place.object("x");
    assert_eq!(held["metadata"]["uid"], made["metadata"]["uid"]);
    assert_eq!(
        held["metadata"]["labels"],
        json!({"lockheed/lock": "", "team": "db"})
    );
    assert_eq!(held["metadata"]["annotations"]["example.com/note"], "kept");
    assert_eq!(held["data"]["theirs"], "1");
    assert_eq!(place.record("x").leases.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(on(&["release", "x", "--id", "a"]).0, Some(0));
    assert_eq!(place.object("x")["data"]["theirs"], "1");
}

#[test]
#[ignore = "no cluster"]
fn with_the_label_it_is_listed_too() {
    let place = Place::new();
    make(
        &place,
        &json!({"labels": {"lockheed/lock": ""}}),
        &Value::Null,
    );
    let (status, listed, error) = run(&place.user, &["list", "-o", "json"]);
    assert_eq!(status, Some(0), "{error}");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&listed[0]["name"], &listed[0]["held"]),
        (&json!("x"), &json!(false))
    );
    let (status, token, _) = run(&place.user, &["acquire", "x", "--id", "a"]);
    assert_eq!(status, Some(0));
    assert!(token.trim().parse::<u64>().unwrap() > 0);
}

#[test]
#[ignore = "no cluster"]
fn delete_takes_nothing_but_a_lock() {
    let place = Place::new();
    let admin = place.namespace.admin();
    let delete = || run(&admin, &["delete", "x", "-n", place.namespace.name()]);
    // It was never used as a lock.
    make(&place, &json!({}), &Value::Null);
    let (status, _, error) = delete();
    assert_eq!(status, Some(22), "{error}");
    assert!(error.contains("is not a lockheed lock"), "{error}");
    for (field, value) in [("data", json!("1")), ("binaryData", json!("AAE="))] {
        let patch = |value: &Value| {
            let patch = json!({field: {"theirs": value}}).to_string();
            let patch = [
                "patch",
                "configmap",
                "lockheed-x",
                "--type=merge",
                "-p",
                &patch,
            ];
            place.namespace.kubectl(&patch, None);
        };
        patch(&value);
        assert_eq!(run(&place.user, &["run", "x", "--", "true"]).0, Some(0));
        let (status, _, error) = delete();
        assert_eq!(status, Some(22), "{error}");
        assert!(error.contains("other data"), "{error}");
        patch(&Value::Null);
    }
    assert_eq!(delete(), (Some(0), String::new(), String::new()));
    assert_eq!(run(&place.user, &["inspect", "x"]).0, Some(2));
}

/// Others may then take the lock, so its holder must notice at once.
#[test]
#[ignore = "no cluster"]
fn whose_entry_is_removed_by_hand_has_lost_the_lock() {
    let place = Place::new();
    let mut command = lockheed(&place.user);
    command.args(["run", "x", "--duration", "1h", "--", "sleep", "1000"]);
    let holder = Kept(
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    eventually("the lock is held", || {
        run(&place.user, &["inspect", "x", "-o", "json"])
            .1
            .contains("\"held\":true")
    });
    let patch = r#"{"data":{"lock":null}}"#;
    let patch = [
        "patch",
        "configmap",
        "lockheed-x",
        "--type=merge",
        "-p",
        patch,
    ];
    place.namespace.kubectl(&patch, None);
    let (status, _, error) = holder.finish();
    assert_eq!(status, 122, "{error}");
    assert!(error.contains("lock x: lost: "), "{error}");
}

/// A Role that names the ConfigMap is enough, without the right to create any.
#[tokio::test]
#[ignore = "no cluster"]
async fn it_needs_no_right_to_create() {
    let place = Place::new();
    make(&place, &json!({}), &Value::Null);
    let user = place
        .namespace
        .user("one", &[("configmaps", &["get", "watch", "update"])]);
    let store: KubeStore = super::store(&user, "lockheed-tests/0").await;
    let held = super::lock(store, "x", "us").acquire().await.unwrap();
    held.release().await.unwrap();
}
