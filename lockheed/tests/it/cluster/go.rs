//! Objects as Go programs leave them, and what must not happen to other people's objects.

use std::time::{Duration, Instant};

use apiserver::{Fault, Proxy};
use coord_core::Errno;
use lockheed::{Store, Timestamp};
use serde_json::json;

use super::{Place, lock};

const OVER: &str = "2020-01-02T03:04:05+02:00";
const FAR: &str = "2999-01-02T03:04:05.123456789+05:30";

fn go_lock(leases: &str) -> String {
    format!(r#"{{"name":"x","lockType":"mutex","leases":{leases}}}"#)
}

fn go_lease(expires: &str) -> String {
    go_lock(&format!(
        r#"{{"go":{{"instanceID":"go","expires":"{expires}"}}}}"#
    ))
}

#[tokio::test]
#[ignore = "no cluster"]
async fn what_is_free_is_taken_and_what_is_held_is_left() {
    let place = Place::new();
    let store = place.store().await;
    let fresh = r#"{"name":"x","lockType":"","leases":null}"#;
    let cases = [
        ("empty", fresh.to_owned(), None),
        ("no-leases", go_lock("{}"), None),
        ("over", go_lease(OVER), None),
        ("far", go_lease(FAR), Some("go")),
        ("infinite", go_lease("9999-12-31T23:59:59Z"), Some("go")),
        (
            "infinite-elsewhere",
            go_lease("9999-12-31T23:59:59-07:00"),
            Some("go"),
        ),
    ];
    for (of, json, holder) in cases {
        place.put(of, &json, &json!({}));
        let result = lock(store.clone(), of, "us").try_acquire().await;
        match holder {
            None => {
                let held = result.unwrap_or_else(|error| panic!("{of}: {error}"));
                let leases = place.record(of).leases;
                assert_eq!(leases.keys().collect::<Vec<_>>(), ["us"], "{of}");
                held.release().await.unwrap();
                assert!(place.record(of).leases.is_empty(), "{of}");
            }
            Some(holder) => {
                let error = result.map(drop).expect_err(of);
                assert_eq!(error.errno(), Errno::EBUSY, "{of}: {error}");
                assert!(
                    error.to_string().contains(&format!("{holder:?}")),
                    "{of}: {error}"
                );
                assert_eq!(place.object(of)["data"]["lock"], json, "{of}");
            }
        }
    }
}

#[tokio::test]
#[ignore = "no cluster"]
async fn what_is_not_ours_is_kept() {
    let place = Place::new();
    let json = r#"{"name":"x","lockType":"","leases":null,"colour":"red","tags":["theirs"]}"#;
    let mut object = super::config_map("x", json, &json!({"note": "kept"}));
    object["data"]["theirs"] = "kept".into();
    object["binaryData"] = json!({"bytes": "AAE="});
    object["metadata"]["labels"]["team"] = "ours".into();
    place.namespace.apply(&object);
    let wanted = lock(place.store().await, "x", "us").tags(["new"]);
    let held = wanted.acquire().await.unwrap();
    held.renew().await.unwrap();
    let check = || {
        let now = place.object("x");
        assert_eq!(now["metadata"]["annotations"]["note"], "kept");
        assert_eq!(
            now["metadata"]["labels"],
            json!({"lockheed/lock": "", "team": "ours"})
        );
        assert_eq!(now["data"]["theirs"], "kept");
        assert_eq!(now["binaryData"], json!({"bytes": "AAE="}));
        let record: serde_json::Value =
            serde_json::from_str(now["data"]["lock"].as_str().unwrap()).unwrap();
        assert_eq!(record["colour"], "red");
        assert_eq!(record["tags"], json!(["theirs", "new"]));
    };
    check();
    held.release().await.unwrap();
    check();
}

/// Reservations: a live one, one that is over, one without a time, and a nonsensical one.
#[tokio::test]
#[ignore = "no cluster"]
async fn reservations_of_others_are_deferred_to_for_a_while_and_then_dropped() {
    let place = Place::new();
    let store = place.store().await;
    let soon =
        Timestamp::from_unix(store.now().await.unwrap().since_unix() + Duration::from_secs(30));
    let cases = [
        (
            "live",
            json!({"reserved/by": "go", "reserved/expires": soon.to_string()}),
            true,
        ),
        (
            "over",
            json!({"reserved/by": "go", "reserved/expires": OVER}),
            false,
        ),
        (
            "nonsense",
            json!({"reserved/by": "go", "reserved/expires": "soon"}),
            true,
        ),
        ("left", json!({"reserved/by": "go"}), true),
    ];
    for (of, annotations, deferred) in cases {
        place.put(of, &go_lock("{}"), &annotations);
        let begun = Instant::now();
        let held = lock(store.clone(), of, "us").try_acquire().await;
        let held = held.unwrap_or_else(|error| panic!("{of}: {error}"));
        // The other order would depend on the speed of this machine.
        assert!(
            !deferred || begun.elapsed() >= Duration::from_millis(1_900),
            "{of}"
        );
        let now = &place.object(of)["metadata"]["annotations"];
        assert!(
            now["reserved/by"].is_null() && now["reserved/expires"].is_null(),
            "{of}: {now}"
        );
        held.release().await.unwrap();
    }
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_waiter_that_died_after_reserving_costs_the_holder_nothing() {
    let place = Place::new();
    let store = place.store().await;
    let held = lock(store.clone(), "x", "us").acquire().await.unwrap();
    let soon =
        Timestamp::from_unix(store.now().await.unwrap().since_unix() + Duration::from_secs(30));
    let reserve = || {
        let (by, until) = ("reserved/by=go", format!("reserved/expires={soon}"));
        place
            .namespace
            .kubectl(&["annotate", "configmap", "lockheed-x", by, &until], None);
    };
    reserve();
    held.renew().await.unwrap();
    assert!(place.object("x")["metadata"]["annotations"]["reserved/by"].is_null());
    reserve();
    held.release().await.unwrap();
    assert!(place.record("x").leases.is_empty());
    assert!(place.object("x")["metadata"]["annotations"]["reserved/by"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "no cluster"]
async fn a_go_writer_between_our_read_and_our_write_makes_our_write_fail() {
    let place = Place::new();
    place.put("x", &go_lock("{}"), &json!({}));
    let proxy = Proxy::start(&place.user);
    let store = place.behind(&proxy).await;
    let puts = |proxy: &Proxy| {
        proxy
            .seen()
            .iter()
            .filter(|seen| seen.method == "PUT")
            .count()
    };
    // Our write is held back until the other program has written.
    proxy.next(
        1,
        |method, _| method == "PUT",
        Fault::Delay(Duration::from_secs(3)),
    );
    let ours = tokio::spawn(async move { lock(store, "x", "us").try_acquire().await });
    while puts(&proxy) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    place.put("x", &go_lease(FAR), &json!({}));
    let error = ours.await.unwrap().map(drop).unwrap_err();
    assert_eq!(error.errno(), Errno::EBUSY, "{error}");
    assert_eq!(place.object("x")["data"]["lock"], go_lease(FAR));
    assert_eq!(puts(&proxy), 1);
}

#[tokio::test]
#[ignore = "no cluster"]
async fn what_is_no_lock_is_an_error_and_left_as_it_is() {
    let place = Place::new();
    let store = place.store().await;
    for (of, json) in [
        ("not-json", "{"),
        ("wrong-type", r#"{"leases":[]}"#),
        ("semaphore", r#"{"lockType":"semaphore"}"#),
    ] {
        place.put(of, json, &json!({}));
    }
    let mut unlabelled = super::config_map("unlabelled", &go_lock("{}"), &json!({}));
    unlabelled["metadata"]["labels"] = json!({});
    place.namespace.apply(&unlabelled);
    for of in ["not-json", "wrong-type", "semaphore", "unlabelled"] {
        let before = place.object(of);
        let error = lock(store.clone(), of, "us")
            .try_acquire()
            .await
            .map(drop)
            .unwrap_err();
        assert_eq!(error.errno(), Errno::EINVAL, "{of}: {error}");
        assert!(error.to_string().contains(of), "{error}");
        assert_eq!(place.object(of), before);
    }
    let listed = store.list().await.unwrap();
    let listed: Vec<&str> = listed.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(listed, ["not-json", "semaphore", "wrong-type"]);
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_large_object_is_kept_and_a_full_one_is_an_error() {
    let place = Place::new();
    let store = place.store().await;
    let filled = |of: &str, bytes: usize| {
        let mut object = super::config_map(of, &go_lock("{}"), &json!({}));
        object["data"]["theirs"] = "x".repeat(bytes).into();
        // It is too long for kubectl's annotation, and for an argument.
        place.namespace.apply(&object);
    };
    // All values together may have 1 MiB.
    let most = (1 << 20) - go_lock("{}").len();
    filled("large", most - 1_000);
    let held = lock(store.clone(), "large", "us").acquire().await.unwrap();
    assert_eq!(
        place.object("large")["data"]["theirs"]
            .as_str()
            .unwrap()
            .len(),
        most - 1_000
    );
    held.release().await.unwrap();

    filled("full", most);
    let error = lock(store, "full", "us")
        .try_acquire()
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.errno(), Errno::EINVAL, "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        source.contains("cannot update configmaps \"lockheed-full\"")
            && source.contains("Too long"),
        "{source}"
    );
    assert_eq!(
        place.object("full")["data"]["theirs"]
            .as_str()
            .unwrap()
            .len(),
        most
    );
}
