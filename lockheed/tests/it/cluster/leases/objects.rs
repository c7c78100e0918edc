//! Leases as others leave them, the permissions for them, and their command-line options.

use std::time::{Duration, Instant};

use coord_core::Errno;
use lockheed::{Lock, LockName, Record, Store};
use serde_json::{Value, json};
use testkit::eventually;

use super::super::{
    Place,
    commands::{grant, run_on},
    lock, lockheed_on, name,
};

const SILENT: (Option<i32>, String, String) = (Some(0), String::new(), String::new());

fn put(place: &Place, name: &str, spec: &Value) {
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec,
        "metadata": {"name": name, "labels": {"team": "theirs"}, "annotations": {"note": "kept"}}});
    place.namespace.apply(&lease);
}

/// A Lease as client-go writes it; its clock may show any time.
fn held_by_client_go(seconds: u32, renewed: &str) -> Value {
    json!({"holderIdentity": "them", "leaseDurationSeconds": seconds, "acquireTime": renewed, "renewTime": renewed,
        "leaseTransitions": 3})
}

#[tokio::test]
#[ignore = "no cluster"]
async fn what_others_have_released_is_taken_at_once_and_given_back_as_they_do() {
    let place = Place::of_leases();
    let store = place.lease_store().await;
    let mut released = held_by_client_go(1, "2020-01-02T03:04:05.000000Z");
    released["holderIdentity"] = "".into();
    for (of, spec) in [("released", released), ("empty", json!({}))] {
        put(&place, of, &spec);
        let wanted = lock(store.clone(), of, "us").tags(["prod"]);
        let held = wanted.try_acquire().await;
        let held = held.unwrap_or_else(|error| panic!("{of}: {error}"));
        let object = place.object(of);
        let transitions = spec["leaseTransitions"].as_i64().unwrap_or_default() + 1;
        assert_eq!(object["spec"]["holderIdentity"], "us", "{of}");
        assert_eq!(object["spec"]["leaseDurationSeconds"], 30, "{of}");
        assert_eq!(object["spec"]["leaseTransitions"], transitions, "{of}");
        assert_eq!(object["metadata"]["labels"], json!({"team": "theirs"}));
        assert_eq!(object["metadata"]["annotations"]["note"], "kept");
        let renewed = |object: &Value| object["spec"]["renewTime"].clone();
        held.renew().await.unwrap();
        assert_ne!(renewed(&place.object(of)), renewed(&object));
        held.release().await.unwrap();
        let spec = &place.object(of)["spec"];
        assert_eq!(spec["holderIdentity"], "", "{of}");
        assert_eq!(spec["leaseDurationSeconds"], 1, "{of}");
        assert_eq!(place.record(of).tags, ["prod"]);
    }
}

/// This holds however old the renewal is by its holder's clock.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_lease_of_others_is_over_when_it_was_seen_unchanged_for_its_length() {
    let place = Place::of_leases();
    let store = place.lease_store().await;
    let length = Duration::from_secs(3);
    for (of, renewed) in [
        ("behind", "2020-01-02T03:04:05.000000Z"),
        ("ahead", "2999-01-02T03:04:05.000000Z"),
    ] {
        put(&place, of, &held_by_client_go(3, renewed));
        let error = lock(store.clone(), of, "us").try_acquire().await;
        assert_eq!(error.map(drop).unwrap_err().errno(), Errno::EBUSY, "{of}");
        let begun = Instant::now();
        let held = lock(store.clone(), of, "us").acquire().await.unwrap();
        assert!(begun.elapsed() >= length, "{of}");
        held.release().await.unwrap();
    }
}

/// A program that knows no annotations writes its fields, and our annotations do not speak for
/// them.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_holder_that_client_go_has_replaced_is_told_and_its_notes_go() {
    let place = Place::of_leases();
    let store = place.lease_store().await;
    let held = lock(store.clone(), "x", "us")
        .tags(["prod"])
        .acquire()
        .await;
    let held = held.unwrap();
    put(
        &place,
        "x",
        &held_by_client_go(3600, "2020-01-02T03:04:05.000000Z"),
    );
    held.lost().await;
    let seen = store.get(&name("x")).await.unwrap();
    let record = Record::from_json(&seen.data["lock"]).unwrap();
    assert_eq!(record.leases.keys().collect::<Vec<_>>(), ["them"]);
    assert_eq!(record.tags, ["prod"]);
    let error = lock(store, "x", "us").renew().await.map(drop).unwrap_err();
    assert_eq!(error.errno(), Errno::ESTALE);
    assert!(error.to_string().contains("held by \"them\""), "{error}");
}

#[test]
#[ignore = "no cluster"]
fn leases_of_others_are_listed_and_left_alone() {
    let place = Place::of_leases();
    let spec = held_by_client_go(40, "2020-01-02T03:04:05.000000Z");
    put(&place, "node-1", &spec);
    put(&place, "free", &json!({}));
    let before = place.object("node-1");
    assert_eq!(run_on(&place, &["acquire", "x", "--id", "me"]).0, Some(0));
    let (status, listed, error) = run_on(&place, &["list", "-o", "json"]);
    assert_eq!(status, Some(0), "{error}");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let all = listed.as_array().unwrap();
    let names: Vec<_> = all.iter().map(|lock| lock["name"].as_str()).collect();
    assert_eq!(names, ["free", "node-1", "x"].map(Some));
    assert_eq!(listed[1]["expired"][0]["id"], "them");
    assert_eq!(listed[1]["expired"][0]["durationSeconds"], 40.0);
    // This works in any namespace, even for the API server's own Leases.
    let mut admin = lockheed_on("lease", &place.namespace.admin());
    eventually("they are listed", || {
        let all = admin.args(["list", "-A", "-o", "name"]).output().unwrap();
        let names = String::from_utf8(all.stdout).unwrap();
        let ours = format!("{}/node-1\n", place.namespace.name());
        names.contains(&ours) && names.contains("kube-system/apiserver-")
    });
    assert_eq!(place.object("node-1"), before);
    // Its holder may be alive, and only its clock be behind.
    let (status, _, error) = run_on(&place, &["delete", "node-1"]);
    assert_eq!(status, Some(16), "{error}");
    let (status, told, _) = run_on(&place, &["break", "node-1", "--yes"]);
    assert_eq!(status, Some(0));
    assert!(told.starts_with("ended the lease of \"them\""), "{told}");
    assert_eq!(place.object("node-1")["spec"]["holderIdentity"], "");
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_lease_without_an_end_has_the_most_seconds_and_never_ends() {
    let place = Place::of_leases();
    let store = place.lease_store().await;
    let held = Lock::new(store.clone(), name("x")).id("us").acquire().await;
    held.unwrap().detach();
    let spec = &place.object("x")["spec"];
    assert_eq!(spec["leaseDurationSeconds"], i32::MAX);
    assert!(spec["renewTime"].is_string(), "{spec}");
    let error = lock(store, "x", "other").try_acquire().await.map(drop);
    let error = error.unwrap_err();
    assert!(
        error.to_string().contains("held by \"us\" indefinitely"),
        "{error}"
    );
}

#[tokio::test]
#[ignore = "no cluster"]
async fn what_is_noted_wrongly_is_an_error_that_names_the_lock_and_nothing_is_changed() {
    let place = Place::of_leases();
    let store = place.lease_store().await;
    for (of, noted) in [
        ("not-json", "{"),
        ("wrong-type", r#"{"leases":[]}"#),
        ("semaphore", r#"{"lockType":"semaphore"}"#),
    ] {
        put(&place, of, &json!({}));
        let note = format!("lockheed/record={noted}");
        place
            .namespace
            .kubectl(&["annotate", "lease", of, &note], None);
        let before = place.object(of);
        let error = lock(store.clone(), of, "us").try_acquire().await.map(drop);
        let error = error.unwrap_err();
        assert_eq!(error.errno(), Errno::EINVAL, "{of}: {error}");
        assert!(error.to_string().contains(of), "{error}");
        assert_eq!(place.object(of), before);
    }
    put(&place, "well", &json!({}));
    let (status, listed, error) = run_on(&place, &["list", "-o", "name"]);
    assert_eq!(
        (status, &*listed),
        (Some(22), "semaphore\nwell\n"),
        "{error}"
    );
    assert!(
        error.contains("not-json") && error.contains("wrong-type"),
        "{error}"
    );
}

#[test]
#[ignore = "no cluster"]
fn check_prints_a_role_for_leases() {
    let place = Place::of_leases();
    assert_eq!(run_on(&place, &["check"]), SILENT);
    let reads: (&str, &[&str]) = ("leases.coordination.k8s.io", &["get", "list", "watch"]);
    let reader = Place {
        user: place.namespace.user("reader", &[reads]),
        ..Place::of_leases()
    };
    let (status, role, error) = run_on(&reader, &["check"]);
    assert_eq!(status, Some(1), "{error}");
    let rule = "- apiGroups: [\"coordination.k8s.io\"]\n  resources: [\"leases\"]\n  verbs: [\"get\", \"list\", \"watch\", \"create\", \"update\"]\n";
    assert!(role.ends_with(rule), "{role}");
    let lacks =
        "lacks the right to create leases.coordination.k8s.io, update leases.coordination.k8s.io";
    assert!(error.contains(lacks), "{error}");
    grant(&place, &role, "reader");
    assert_eq!(run_on(&reader, &["check"]), SILENT);
    // For one existing Lease, no right to create it is needed.
    put(&place, "x", &json!({}));
    let none = place.namespace.user("none", &[]);
    let none = Place {
        user: none,
        ..Place::of_leases()
    };
    let (status, role, _) = run_on(&none, &["check", "x"]);
    assert_eq!(status, Some(1));
    assert!(role.contains("resourceNames: [\"x\"]"), "{role}");
    let (_, _, error) = run_on(&none, &["acquire", "x", "--no-wait"]);
    let missing = r#"{apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["get"]}"#;
    assert!(error.contains(missing), "{error}");
}

#[test]
#[ignore = "no cluster"]
fn a_prefix_is_refused_since_the_name_is_the_locks() {
    let place = Place::of_leases();
    let (status, _, error) = run_on(&place, &["list", "--prefix", "other"]);
    assert_eq!(status, Some(64), "{error}");
    assert!(error.contains("--prefix is for --store kube"), "{error}");
}

#[test]
#[ignore = "no cluster"]
fn every_name_of_a_lease_names_a_lock() {
    let place = Place::of_leases();
    for name in ["x".repeat(253), "1.a-b.c".to_owned()] {
        assert_eq!(run_on(&place, &["run", &name, "--", "true"]), SILENT);
        let (_, listed, _) = run_on(&place, &["list", "-o", "name"]);
        assert!(listed.lines().any(|listed| listed == name), "{listed}");
    }
}

/// A lock by key and with a label, broken by the command that `inspect` prints.
#[test]
#[ignore = "no cluster"]
fn a_lease_has_a_key_and_labels_and_is_broken_as_it_is_shown() {
    let place = Place::of_leases();
    let key = "feature/ABC_1";
    let lock = LockName::from_key(key).unwrap();
    let on = |arguments: &[&str]| run_on(&place, arguments);
    let label = ["--label", "team=db", "--id", "us"];
    assert_eq!(
        on(&[&["acquire", "--key", key][..], &label].concat()).0,
        Some(0)
    );
    let object = place.object(lock.as_str());
    assert_eq!(object["metadata"]["labels"], json!({"team": "db"}));
    assert_eq!(object["metadata"]["annotations"]["lockheed/key"], key);
    put(
        &place,
        "theirs",
        &held_by_client_go(15, "2020-01-02T03:04:05.000000Z"),
    );
    for (name, options) in [
        (lock.as_str(), " --id=us --fencing-token="),
        ("theirs", " --id=them --store=lease"),
    ] {
        let (_, inspected, _) = on(&["inspect", name]);
        let shown = inspected
            .lines()
            .find_map(|line| line.strip_prefix("break    "));
        let shown = shown.unwrap_or_else(|| panic!("{inspected}"));
        let begin = format!("lockheed break {name}{options}");
        assert!(
            shown.starts_with(&begin) && shown.contains(" --store=lease "),
            "{shown}"
        );
        let words: Vec<&str> = shown.split(' ').skip(1).collect();
        let (status, told, error) = on(&words);
        assert_eq!(status, Some(0), "{error}");
        assert!(told.starts_with("ended the lease of"), "{told}");
        assert_eq!(place.object(name)["spec"]["holderIdentity"], "");
    }
}
