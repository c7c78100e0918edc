//! What happens to a lock when something happens to the Pod that owns it.

use std::time::Duration;

use cmlock::{Held, Lock};
use coord_core::Errno;
use serde_json::json;

use crate::support::{AGENT, Events, Place, soon, unix_time, waiting};

/// Holds the lock as Pod `a` and waits for it as Pod `b`. `what` must free it for `b`, and `b` must
/// report `why`.
async fn frees(what: impl FnOnce(&Place), why: &str) {
    let place = Place::with_pods(&["a", "b"]);
    let held = Lock::new(&place.client("a").await, "x")
        .acquire()
        .await
        .unwrap();
    let (waiter, events) = waiting(Lock::new(&place.client("b").await, "x")).await;
    assert!(!waiter.is_finished());
    what(&place);
    let next = waiter.await.unwrap();
    assert!(events.has(why), "{why}");
    // The holder, if it still exists, is told.
    soon(held.lost()).await;
    next.release().await.unwrap();
    let polled = place
        .requests(AGENT, 1)
        .iter()
        .filter(|request| request.verb == "get" && request.resource == "pods")
        .count();
    assert!(polled <= 3, "{polled} reads of Pods");
}

// Holds cmlock-2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn a_deleted_owner_frees_it() {
    frees(|place| place.delete_pod("a"), "its Pod \"a\" is gone").await;
}

// Holds cmlock-2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn an_owner_that_failed_frees_it() {
    frees(
        |place| place.set_status("a", &json!({"phase": "Failed", "reason": "Evicted"})),
        "has ended (Failed)",
    )
    .await;
}

// Holds cmlock-2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn an_owner_that_succeeded_frees_it() {
    frees(
        |place| place.set_status("a", &json!({"phase": "Succeeded"})),
        "has ended (Succeeded)",
    )
    .await;
}

// Holds cmlock-2.
#[tokio::test]
#[ignore = "no cluster"]
async fn an_owner_that_was_replaced_by_one_of_the_same_name_frees_it() {
    let place = Place::with_pods(&["a", "b"]);
    place.put("x", "a", None);
    place.delete_pod("a");
    place.pod("a");
    let held = soon(Lock::new(&place.client("b").await, "x").acquire())
        .await
        .unwrap();
    held.release().await.unwrap();
    // The successor, with the same name, acquires the lock just as quickly.
    place.put("x", "a", None);
    place.delete_pod("a");
    place.pod("a");
    soon(Lock::new(&place.client("a").await, "x").acquire())
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
}

/// A lock that Pod `a` holds, acquired in its container `main`, and when it noted the restart
/// count, by the node's clock.
async fn hold_in_container(place: &Place) -> (Held, u64) {
    let lock = Lock::new(&place.client("a").await.with_container("main"), "x");
    let held = lock.acquire().await.unwrap();
    let since = &place.object("x")["metadata"]["annotations"]["cmlock/since"];
    (held, since.as_str().unwrap().parse().unwrap())
}

// Holds cmlock-2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn a_restarted_container_does_not_wait_for_its_predecessor() {
    let place = Place::with_pods(&["a"]);
    place.set_restarts("a", 3, unix_time() - 9);
    let (before, since) = hold_in_container(&place).await;
    before.detach();
    // A successor with the same restart count is another process of the same run.
    let (waiter, events) = waiting(Lock::new(
        &place.client("a").await.with_container("main"),
        "x",
    ))
    .await;
    place.set_restarts("a", 4, since + 1);
    let next = waiter.await.unwrap();
    assert!(events.has("container \"main\" of Pod \"a\" has been restarted since"));
    // It notes its own restart count, not the Pod's count from when the wait began.
    assert_eq!(
        place.object("x")["metadata"]["annotations"]["cmlock/restarts"],
        "4"
    );
    next.release().await.unwrap();
}

/// The kubelet reports a restart only after the restarted process has read its Pod and acquired the
/// lock.
// Holds cmlock-2.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_restart_that_is_told_late_does_not_cost_the_lock() {
    let place = Place::with_pods(&["a", "b"]);
    place.set_restarts("a", 3, unix_time() - 9);
    let (held, since) = hold_in_container(&place).await;
    let another = Lock::new(&place.client("b").await, "x").wait(Duration::ZERO);
    for began in [since - 1, since] {
        place.set_restarts("a", 4, began);
        let error = another.acquire().await.unwrap_err();
        assert_eq!(error.errno(), Errno::EBUSY, "{error}");
    }
    assert!(!held.is_lost());
    // The next restart is one of the holder itself.
    place.set_restarts("a", 5, since + 1);
    let next = soon(another.acquire()).await.unwrap();
    soon(held.lost()).await;
    next.release().await.unwrap();
}

#[tokio::test]
#[ignore = "no cluster"]
async fn without_a_container_the_wait_says_how_to_end_it() {
    let place = Place::with_pods(&["a"]);
    let client = place.client("a").await;
    Lock::new(&client, "x").acquire().await.unwrap().detach();
    let error = Lock::new(&client, "x")
        .wait(Duration::ZERO)
        .acquire()
        .await
        .unwrap_err();
    assert_eq!(error.errno(), Errno::EBUSY);
    assert!(error.to_string().contains("cmlock release"), "{error}");
    let wrong = Lock::new(&client.clone().with_container("other"), "x")
        .acquire()
        .await
        .unwrap_err();
    assert_eq!(wrong.errno(), Errno::EINVAL);
    assert!(wrong.to_string().contains("CONTAINER_NAME"), "{wrong}");
    // A variable that may be there for another purpose causes no error.
    let events = Events::default();
    let lock = Lock::new(&client.with_container_if_any("other"), "y").on_event(events.handler());
    lock.acquire().await.unwrap().release().await.unwrap();
    assert!(events.has("no container \"other\""));
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_pod_that_has_ended_cannot_own_a_lock() {
    let place = Place::with_pods(&["a"]);
    place.set_status("a", &json!({"phase": "Failed"}));
    let error = Lock::new(&place.client("a").await, "x")
        .acquire()
        .await
        .unwrap_err();
    assert_eq!(error.errno(), Errno::EINVAL);
    assert!(error.to_string().contains("has ended (Failed)"), "{error}");
}
