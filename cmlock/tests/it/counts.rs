//! What a lock costs: requests, as the API server counts them, and the time of a hand-off.

use std::time::{Duration, Instant};

use cmlock::{Client, Lock};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::PostParams};
use serde_json::json;

use apiserver::Front;
use testkit::{eventually, process::Kept};

use crate::support::{Place, client, cmlock, waiting};

/// The pause between two measurements.
const PAUSE: Duration = Duration::from_millis(30);

/// The verbs of one contender's requests, sorted.
fn verbs(place: &Place, agent: &str, at_least: usize) -> Vec<String> {
    let requests = place.requests(agent, at_least);
    let mut verbs: Vec<_> = requests
        .iter()
        .map(|it| format!("{} {}", it.verb, it.resource))
        .collect();
    verbs.sort();
    verbs
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_free_lock_takes_one_request_and_its_release_one() {
    let place = Place::with_pods(&["a"]);
    let client = client(&place.user, "a", "holder/1").await;
    let lock = Lock::new(&client, "x")
        .wait(Duration::from_secs(60))
        .hold(Duration::from_secs(60));
    for round in 1..=3 {
        let held = lock.acquire().await.unwrap();
        // The server logs a watch when it begins, which is before the watch is cut off.
        verbs(&place, "holder/1", 1 + round * 3 - 1);
        held.release().await.unwrap();
    }
    let mut expected = vec!["get pods"];
    for request in ["create configmaps", "delete configmaps", "watch configmaps"] {
        expected.extend([request; 3]);
    }
    expected.sort_unstable();
    assert_eq!(verbs(&place, "holder/1", 10), expected);
}

// Holds cmlock-7.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn a_waiter_watches_the_lock_and_its_owner_and_does_not_poll() {
    let place = Place::with_pods(&["a", "b"]);
    let held = Lock::new(&place.client("a").await, "x")
        .acquire()
        .await
        .unwrap();
    let waits = client(&place.user, "b", "waiter/1").await;
    let (waiter, _) = waiting(Lock::new(&waits, "x")).await;
    let expected = [
        "create configmaps",
        "get configmaps",
        "get pods",
        "get pods",
        "watch configmaps",
        "watch pods",
    ];
    assert_eq!(verbs(&place, "waiter/1", 6), expected);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(verbs(&place, "waiter/1", 6), expected);
    held.release().await.unwrap();
    waiter.await.unwrap().release().await.unwrap();
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The time of one write to an existing object.
async fn write(api: &Api<ConfigMap>, number: usize) -> Duration {
    let mut object = api.get("measure").await.unwrap();
    object.data = Some([("number".to_owned(), number.to_string())].into());
    tokio::time::sleep(PAUSE).await;
    let begun = Instant::now();
    api.replace("measure", &PostParams::default(), &object)
        .await
        .unwrap();
    begun.elapsed()
}

/// The medians of 60 hand-offs, and of one write before each hand-off, when the machine is just as
/// busy.
async fn hand_off(a: &Client, b: &Client, api: &Api<ConfigMap>) -> (Duration, Duration) {
    let (mut times, mut writes) = (Vec::new(), Vec::new());
    let mut held = Lock::new(a, "x").acquire().await.unwrap();
    for round in 0..60 {
        let next = if round % 2 == 0 { b } else { a };
        let (waiter, _) = waiting(Lock::new(next, "x")).await;
        let taken = tokio::spawn(async move { (waiter.await.unwrap(), Instant::now()) });
        // Meanwhile the waiter's watches have begun.
        writes.push(write(api, round).await);
        tokio::time::sleep(PAUSE).await;
        let begun = Instant::now();
        held.release().await.unwrap();
        let (next, at) = taken.await.unwrap();
        times.push(at - begun);
        held = next;
    }
    held.release().await.unwrap();
    (median(times), median(writes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn a_hand_off_takes_no_longer_than_four_writes() {
    let place = Place::with_pods(&["a", "b"]);
    place
        .namespace
        .apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "measure"}}));
    let (a, b) = (place.client("a").await, place.client("b").await);
    let api: Api<ConfigMap> = place.client("a").await.cluster().api();
    let mut ratios = Vec::new();
    // Another test may keep the machine busy at some time, but a lock that polls would always be
    // slow.
    for _ in 0..5 {
        let (hand_off, write) = hand_off(&a, &b, &api).await;
        let ratio = hand_off.as_secs_f64() / write.as_secs_f64();
        println!("hand-off {hand_off:?}, one PUT {write:?}: {ratio:.1}");
        ratios.push(ratio);
        if ratio <= 4.0 {
            return;
        }
    }
    panic!("hand-offs took {ratios:.1?} times a PUT");
}

#[test]
#[ignore = "no cluster"]
fn a_process_has_one_connection_while_it_waits_takes_over_and_holds() {
    let place = Place::with_pods(&["a", "b"]);
    let ends = tempfile::tempdir().unwrap();
    let start = |pod: &str, front: &Front| {
        let script = format!(
            "while ! [ -e {} ]; do sleep 0.1; done",
            ends.path().join(pod).display()
        );
        let mut command = cmlock(&front.kubeconfig(&place.user));
        command
            .env("POD_NAME", pod)
            .args(["run", "x", "--timeout", "8s", "--wait", "forever"])
            .args(["--", "sh", "-c", &script]);
        Kept::spawn(&mut command)
    };
    let owner = || place.object("x")["metadata"]["ownerReferences"][0]["name"].clone();
    let expiry = || place.object("x")["data"]["expiresAt"].clone();
    let fronts = [
        Front::before(&place.namespace),
        Front::before(&place.namespace),
    ];
    let mut first = start("a", &fronts[0]);
    eventually("the first one has it", || place.exists("x"));
    let mut second = start("b", &fronts[1]);
    let begun = expiry();
    eventually("the second one waits", || fronts[1].accepted() > 0);
    eventually("the first one extends it", || expiry() != begun);
    std::fs::write(ends.path().join("a"), "").unwrap();
    assert_eq!(first.status(), 0);
    eventually("the second one has it", || {
        place.exists("x") && owner() == "b"
    });
    let begun = expiry();
    eventually("the second one extends it", || expiry() != begun);
    std::fs::write(ends.path().join("b"), "").unwrap();
    assert_eq!(second.status(), 0);
    assert_eq!(fronts.each_ref().map(Front::accepted), [1, 1]);
}
