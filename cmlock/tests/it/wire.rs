//! What cmlock shares with Go programs, and answers that are lost.

use std::time::Duration;

use apiserver::{Fault, Proxy};
use cmlock::{Lock, Verdict};
use coord_core::Errno;
use serde_json::json;

use crate::support::{Place, cmlock, soon, unix_time, waiting};

#[tokio::test]
#[ignore = "no cluster"]
async fn what_is_written_is_what_go_programs_read() {
    let place = Place::with_pods(&["a"]);
    let lock = Lock::new(&place.client("a").await, "x")
        .wait(Duration::from_secs(60))
        .hold(Duration::from_secs(60))
        .with_labels([("team", "db")]);
    assert!(lock.data().is_empty());
    let held = lock.acquire().await.unwrap();
    let object = place.object("x");
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": place.uid("pods", "a"), "controller": true, "blockOwnerDeletion": false}]);
    assert_eq!(object["metadata"]["ownerReferences"], owner);
    assert_eq!(object["metadata"]["labels"], json!({"team": "db"}));
    let written = object["data"]["expiresAt"].as_str().unwrap();
    assert_eq!(object["data"].as_object().unwrap().len(), 1);
    let seconds: u64 = written.parse().unwrap();
    assert!((unix_time() + 50..unix_time() + 70).contains(&seconds));
    assert_eq!(
        lock.data().get("expiresAt").map(String::as_str),
        Some(written)
    );
    held.release().await.unwrap();
    let endless = Lock::new(&place.client("a").await, "x")
        .acquire()
        .await
        .unwrap();
    assert_eq!(place.object("x")["data"], json!(null));
    endless.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn what_a_go_program_writes_is_understood() {
    let place = Place::with_pods(&["a", "b"]);
    let client = place.client("b").await;
    place.put("x", "a", Some(unix_time() + 3600));
    let state = cmlock::status(&client, "x").await.unwrap().unwrap();
    assert!(matches!(state.verdict, Verdict::Held(_)));
    assert_eq!(
        (state.record.owner.name.as_str(), state.record.holder),
        ("a", None)
    );
    let (waiter, _) = waiting(Lock::new(&client, "x")).await;
    // The other program releases the lock by its name.
    place.namespace.kubectl(&["delete", "configmap", "x"], None);
    waiter.await.unwrap().release().await.unwrap();
    place.put("x", "a", Some(1));
    soon(Lock::new(&client, "x").acquire())
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
}

/// The lock's object is the one that this ID created, and nobody else can acquire the lock.
async fn assert_held_once(place: &Place, proxy: &Proxy, id: &str, creations: usize) {
    assert_eq!(
        place.object("x")["metadata"]["annotations"]["cmlock/holder"],
        id
    );
    let error = Lock::new(&place.client("b").await, "x")
        .wait(Duration::ZERO)
        .acquire()
        .await
        .unwrap_err();
    assert_eq!(error.errno(), Errno::EBUSY);
    assert_eq!(
        proxy
            .seen()
            .iter()
            .filter(|seen| seen.method == "POST")
            .count(),
        creations
    );
}

// Holds cmlock-1.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_creation_whose_answer_is_lost_is_found_out() {
    let place = Place::with_pods(&["a", "b"]);
    let proxy = place.proxy();
    proxy.next(1, |method, _| method == "POST", Fault::CutAnswer);
    let client = place.behind(&proxy, "a").await;
    let held = soon(
        Lock::new(&client, "x")
            .wait(Duration::from_secs(60))
            .hold(Duration::from_secs(60))
            .acquire(),
    )
    .await
    .unwrap();
    assert!(held.deadline().is_some());
    assert_held_once(&place, &proxy, held.id(), 1).await;
    // Then the answer to a deletion is lost.
    proxy.next(1, |method, _| method == "DELETE", Fault::CutAnswer);
    held.release().await.unwrap();
    assert!(!place.exists("x"));
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_server_that_cannot_now_is_asked_again() {
    let place = Place::with_pods(&["a", "b"]);
    let proxy = place.proxy();
    let busy = |status, after| Fault::Answer(status, after, "not now".to_owned());
    proxy.next(1, |method, _| method == "GET", busy(503, None));
    proxy.next(1, |method, _| method == "POST", busy(429, Some(1)));
    proxy.next(1, |method, _| method == "POST", Fault::Cut);
    proxy.next(1, |method, _| method == "DELETE", busy(500, None));
    let client = place.behind(&proxy, "a").await;
    let held = soon(Lock::new(&client, "x").acquire()).await.unwrap();
    assert_held_once(&place, &proxy, held.id(), 3).await;
    held.release().await.unwrap();
    assert!(!place.exists("x"));
}

/// A load balancer without a working server answers like this: with JSON that is not a Status.
#[test]
#[ignore = "no cluster"]
fn run_gives_its_lock_back_through_a_load_balancer_that_cannot_now() {
    let place = Place::with_pods(&["a"]);
    let proxy = place.proxy();
    let busy = |status| {
        Fault::Answer(
            status,
            None,
            r#"{"error":"upstream unavailable"}"#.to_owned(),
        )
    };
    for status in [429, 502, 503, 504] {
        for method in ["GET", "POST", "DELETE"] {
            proxy.next(1, move |is, _| is == method, busy(status));
        }
    }
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    let mut run = cmlock(&kubeconfig);
    run.env("POD_NAME", "a").args(["run", "x", "--", "true"]);
    let (status, _, error) = testkit::process::outcome(&mut run);
    assert_eq!(status, 0, "{error}");
    assert!(!place.exists("x"), "{error}");
}

// Holds cmlock-1.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_wait_ends_in_time_when_the_server_is_silent() {
    let place = Place::with_pods(&["a"]);
    let proxy = place.proxy();
    let client = place.behind(&proxy, "a").await;
    proxy.set(Fault::Silence);
    let error = soon(
        Lock::new(&client, "x")
            .wait(Duration::from_secs(1))
            .hold(Duration::from_secs(1))
            .acquire(),
    )
    .await
    .unwrap_err();
    assert_eq!(error.errno(), Errno::ETIMEDOUT, "{error}");
    proxy.set(Fault::None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn a_cut_watch_goes_on() {
    let place = Place::with_pods(&["a", "b"]);
    let proxy = place.proxy();
    let held = Lock::new(&place.client("a").await, "x")
        .acquire()
        .await
        .unwrap();
    let (waiter, _) = waiting(Lock::new(&place.behind(&proxy, "b").await, "x")).await;
    proxy.cut_open_connections();
    held.release().await.unwrap();
    waiter.await.unwrap().release().await.unwrap();
}

// Holds cmlock-1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn a_wait_that_is_given_up_leaves_no_lock_behind() {
    let place = Place::with_pods(&["a", "b"]);
    let proxy = place.proxy();
    let client = place.behind(&proxy, "a").await;
    // The wait is cancelled while its creation is in flight.
    proxy.next(
        1,
        |method, _| method == "POST",
        Fault::Delay(Duration::from_secs(2)),
    );
    let lock = Lock::new(&client, "x");
    let (cancel, cancelled) = tokio::sync::oneshot::channel::<()>();
    let acquiring = tokio::spawn(async move {
        let cancelled = async { drop(cancelled.await) };
        lock.acquire_unless(cancelled).await.map(drop)
    });
    testkit::eventually("it creates", || {
        proxy.seen().iter().any(|seen| seen.method == "POST")
    });
    cancel.send(()).unwrap();
    let error = soon(acquiring).await.unwrap().unwrap_err();
    assert_eq!(error.errno(), Errno::ECANCELED, "{error}");
    // The object that keeps the late creation out has expired, so nobody holds the lock.
    let left = cmlock::status(&place.client("b").await, "x").await.unwrap();
    assert!(left.is_some_and(|left| left.held_by().is_none()));
    let next = Lock::new(&place.client("b").await, "x").wait(Duration::ZERO);
    next.acquire().await.unwrap().release().await.unwrap();
    assert!(!place.exists("x"));
}
