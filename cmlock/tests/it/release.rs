//! Who may release a lock, and objects that are not locks.

use std::time::Duration;

use cmlock::Lock;
use coord_core::Errno;
use serde_json::{Value, json};

use crate::support::{Place, of_go, soon};

// Holds cmlock-6.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_stranger_cannot_release_it_and_twice_is_fine() {
    let place = Place::with_pods(&["a", "b"]);
    let (a, b) = (place.client("a").await, place.client("b").await);
    let held = Lock::new(&a, "x").acquire().await.unwrap();
    let error = cmlock::release(&b, "x", None).await.unwrap_err();
    assert_eq!(error.errno(), Errno::EBUSY);
    assert!(error.to_string().contains("held by Pod \"a\""), "{error}");
    assert!(!held.is_lost() && place.exists("x"));
    let id = held.id().to_owned();
    held.detach();
    for _ in 0..2 {
        cmlock::release(&a, "x", Some(&id)).await.unwrap();
    }
    assert!(!place.exists("x"));
}

// Holds cmlock-6.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_lock_that_another_holder_of_the_same_pod_has_is_not_released_by_id() {
    let place = Place::with_pods(&["a"]);
    let client = place.client("a").await;
    let first = Lock::new(&client, "x").acquire().await.unwrap();
    let id = first.id().to_owned();
    first.release().await.unwrap();
    let second = Lock::new(&client, "x").acquire().await.unwrap();
    let error = cmlock::release(&client, "x", Some(&id)).await.unwrap_err();
    assert_eq!(error.errno(), Errno::EBUSY);
    assert!(error.to_string().contains(second.id()), "{error}");
    assert!(!second.is_lost());
    // Without an ID, the Pod decides: a lock that a Go program in this Pod holds has no ID.
    cmlock::release(&client, "x", None).await.unwrap();
    soon(second.lost()).await;
}

// Holds cmlock-6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn after_a_loss_the_next_holder_is_left_alone() {
    let place = Place::with_pods(&["a", "b"]);
    let first = Lock::new(&place.client("a").await, "x")
        .hold(Duration::from_secs(1))
        .acquire()
        .await
        .unwrap();
    soon(first.lost()).await;
    let next = soon(Lock::new(&place.client("b").await, "x").acquire())
        .await
        .unwrap();
    // The first holder's object was deleted, which it may have noticed. Then another object
    // appeared.
    if let Err(error) = first.release().await {
        assert_eq!(error.errno(), Errno::EBUSY);
        assert!(error.to_string().contains("held by Pod \"b\""), "{error}");
    }
    assert!(!next.is_lost() && place.exists("x"));
    next.release().await.unwrap();
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_changed_object_is_released_all_the_same() {
    let place = Place::with_pods(&["a"]);
    let held = Lock::new(&place.client("a").await, "x")
        .acquire()
        .await
        .unwrap();
    place
        .namespace
        .kubectl(&["label", "configmap", "x", "by=hand"], None);
    held.release().await.unwrap();
    assert!(!place.exists("x"));
}

#[tokio::test]
#[ignore = "no cluster"]
async fn what_is_dropped_is_released() {
    let place = Place::with_pods(&["a"]);
    drop(
        Lock::new(&place.client("a").await, "x")
            .acquire()
            .await
            .unwrap(),
    );
    let gone = async {
        while place.exists("x") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(gone).await;
}

/// A name, a change that spoils a good object, and the error for it.
type Case<'a> = (&'a str, &'a dyn Fn(&mut Value), &'a str);

// Holds cmlock-8.
#[tokio::test]
#[ignore = "no cluster"]
async fn malformed_objects_are_reported_and_left_alone() {
    let place = Place::with_pods(&["a"]);
    let uid = place.uid("pods", "a");
    let other = json!({"apiVersion": "v1", "kind": "Pod", "name": "b", "uid": "0", "controller": false, "blockOwnerDeletion": false});
    let cases: [Case<'_>; 3] = [
        (
            "no-owner",
            &|object| object["metadata"]["ownerReferences"] = json!([]),
            "no ownerReference",
        ),
        (
            "two-owners",
            &|object| {
                object["metadata"]["ownerReferences"]
                    .as_array_mut()
                    .unwrap()
                    .push(other.clone());
            },
            "2 ownerReferences",
        ),
        (
            "text",
            &|object| object["data"]["expiresAt"] = json!("soon"),
            "\"soon\"",
        ),
    ];
    let client = place.client("a").await;
    for (name, spoil, said) in cases {
        let mut object = of_go(name, "a", &uid, Some(1));
        spoil(&mut object);
        place.namespace.apply(&object);
        let uid = place.uid("configmaps", name);
        for error in [
            Lock::new(&client, name)
                .wait(Duration::from_secs(5))
                .hold(Duration::from_secs(5))
                .acquire()
                .await
                .map(drop)
                .unwrap_err(),
            cmlock::release(&client, name, None).await.unwrap_err(),
            cmlock::status(&client, name).await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.errno(), Errno::EINVAL, "{error}");
            assert!(
                error.to_string().contains(said) && error.to_string().contains(name),
                "{error}"
            );
        }
        assert_eq!(place.uid("configmaps", name), uid);
    }
    let (status, listed, errors) = place.run("a", &["list"]);
    assert_eq!(
        (status, listed.lines().count()),
        (22, 1),
        "{listed}{errors}"
    );
    assert_eq!(errors.lines().count(), 3, "{errors}");
    assert!(
        errors
            .lines()
            .all(|line| line.starts_with("[ERROR cmlock] lock ")),
        "{errors}"
    );
}
