//! Answers that are lost or late, or do not come from an API server.

use std::time::Duration;

use apiserver::{Fault, Proxy};
use coord_core::Errno;
use lockheed::{Held, KubeStore, LeaseLost};

use super::{Place, lock};

/// Checks that somebody else cannot acquire the lock.
async fn assert_excluded(place: &Place, of: &str) {
    let error = lock(place.store().await, of, "other")
        .try_acquire()
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.errno(), Errno::EBUSY, "{error}");
}

/// Checks that somebody else can acquire it, with a higher token.
async fn assert_free(place: &Place, of: &str, last: &Held) {
    let held = lock(place.store().await, of, "other")
        .try_acquire()
        .await
        .unwrap();
    assert!(held.token() > last.token());
    held.release().await.unwrap();
}

async fn acquire_behind(place: &Place, proxy: &Proxy) -> Held {
    lock(place.behind(proxy).await, "x", "us")
        .acquire()
        .await
        .unwrap()
}

// Holds lockheed-4.
#[tokio::test]
#[ignore = "no cluster"]
async fn an_acquisition_whose_answer_is_lost_is_found_out() {
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    // The first write creates the lock; later ones update it.
    for method in ["POST", "PUT"] {
        let writes = || {
            proxy
                .seen()
                .iter()
                .filter(|seen| seen.method == method)
                .count()
        };
        let before = writes();
        proxy.next(1, move |is, _| is == method, Fault::CutAnswer);
        let held = acquire_behind(&place, &proxy).await;
        let record = place.record("x");
        assert_eq!(record.leases.keys().collect::<Vec<_>>(), ["us"]);
        assert_excluded(&place, "x").await;
        // The write whose answer was cut off counts: it was not repeated.
        assert_eq!(writes(), before + 1, "{method}");
        held.release().await.unwrap();
        assert!(place.record("x").leases.is_empty());
    }
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_request_that_never_arrived_is_made_again() {
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    for method in ["GET", "POST", "PUT", "PUT"] {
        proxy.next(1, move |is, _| is == method, Fault::Cut);
    }
    let held = acquire_behind(&place, &proxy).await;
    held.renew().await.unwrap();
    let token = held.token();
    assert_eq!(held.deadline().is_some(), !held.is_lost());
    held.release().await.unwrap();
    let again = lock(place.store().await, "x", "other")
        .try_acquire()
        .await
        .unwrap();
    assert!(again.token() > token);
}

// Holds lockheed-4.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_renewal_and_a_release_whose_answers_are_lost_are_found_out() {
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    let held = acquire_behind(&place, &proxy).await;
    let before = held.deadline().unwrap();
    proxy.next(1, |method, _| method == "PUT", Fault::CutAnswer);
    held.renew().await.unwrap();
    assert!(held.deadline().unwrap() > before);
    assert_excluded(&place, "x").await;
    proxy.next(1, |method, _| method == "PUT", Fault::CutAnswer);
    let (token, _) = (held.token(), held.release().await.unwrap());
    assert!(place.record("x").leases.is_empty());
    let next = lock(place.store().await, "x", "other")
        .try_acquire()
        .await
        .unwrap();
    assert!(next.token() > token);
}

// Holds lockheed-4.
#[tokio::test]
#[ignore = "no cluster"]
async fn who_gives_up_with_a_write_under_way_leaves_no_lease_behind() {
    let place = Place::new();
    let first = lock(place.store().await, "x", "first")
        .acquire()
        .await
        .unwrap();
    first.release().await.unwrap();
    let proxy = Proxy::start(&place.user);
    // It arrives long after its sender has gone.
    proxy.next(
        1,
        |method, _| method == "PUT",
        Fault::Delay(Duration::from_secs(6)),
    );
    let store = place.behind(&proxy).await;
    let wanted = lock(store, "x", "us").request_timeout(Duration::from_secs(1));
    let result = wanted.acquire_within(Duration::from_secs(2)).await;
    if let Ok(held) = result {
        // It was not given up: another write succeeded in time.
        held.release().await.unwrap();
    }
    assert!(place.record("x").leases.is_empty());
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(place.record("x").leases.is_empty(), "the late write landed");
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_server_that_cannot_now_is_asked_again() {
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    let busy = |status, after| Fault::Answer(status, after, "not now".to_owned());
    for fault in [
        busy(429, Some(1)),
        busy(500, None),
        busy(503, Some(1)),
        Fault::Answer(200, None, "hello".to_owned()),
    ] {
        for method in ["GET", "PUT"] {
            proxy.next(1, move |is, _| is == method, fault.clone());
        }
    }
    proxy.next(1, |method, _| method == "POST", busy(503, None));
    let held = acquire_behind(&place, &proxy).await;
    held.renew().await.unwrap();
    assert_excluded(&place, "x").await;
    held.release().await.unwrap();
    assert!(place.record("x").leases.is_empty());
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_server_that_never_can_is_an_error_with_its_text() {
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    proxy.set(Fault::Answer(503, None, "out of order".to_owned()));
    let store = place.behind(&proxy).await;
    let error = lock(store, "x", "us")
        .acquire_within(Duration::from_secs(2))
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.errno(), Errno::ETIMEDOUT);
    assert!(error.to_string().contains("503: out of order"), "{error}");
}

// Holds lockheed-7.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_silent_server_costs_the_lock_at_the_deadline_and_not_before() {
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    let length = Duration::from_secs(6);
    let wanted = |store: KubeStore, id| {
        lock(store, "x", id)
            .duration(length)
            .renew_interval(length / 3)
    };
    let held = wanted(place.behind(&proxy).await, "us")
        .acquire()
        .await
        .unwrap();
    proxy.set(Fault::Silence);
    let deadline = held.deadline().unwrap();
    let waiting = wanted(place.store().await, "other");
    let next = tokio::spawn(async move {
        let held = waiting.acquire().await.unwrap();
        (coord_core::BootInstant::now(), held)
    });
    assert_eq!(held.lost().await, LeaseLost::Expired);
    assert!(coord_core::BootInstant::now() >= deadline);
    assert!(
        !next.is_finished(),
        "somebody else had it before it was lost"
    );
    let (since, next) = next.await.unwrap();
    assert!(since >= deadline);
    assert!(next.token() > held.token());
    proxy.set(Fault::None);
    next.release().await.unwrap();
    assert_free(&place, "x", &held).await;
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_short_silence_costs_nothing() {
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    let length = Duration::from_secs(9);
    let wanted = lock(place.behind(&proxy).await, "x", "us")
        .duration(length)
        .renew_interval(length / 3);
    let held = wanted.acquire().await.unwrap();
    let deadline = held.deadline();
    proxy.set(Fault::Silence);
    tokio::time::sleep(length / 2).await;
    proxy.set(Fault::None);
    let later = tokio::time::timeout(length * 2, held.deadline_after(deadline))
        .await
        .unwrap();
    assert!(later.unwrap() > deadline);
    assert_excluded(&place, "x").await;
    held.release().await.unwrap();
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_deleted_lock_is_lost_at_once() {
    let place = Place::new();
    let held = lock(place.store().await, "x", "us")
        .acquire()
        .await
        .unwrap();
    place
        .namespace
        .kubectl(&["delete", "configmap", "lockheed-x"], None);
    assert_eq!(held.lost().await, LeaseLost::Deleted);
}

// Holds lockheed-2.
#[tokio::test]
#[ignore = "no cluster"]
async fn api_servers_whose_clocks_differ_exclude_all_the_same() {
    let place = Place::new();
    let (ahead, behind) = (Proxy::start(&place.user), Proxy::start(&place.user));
    ahead.shift_date(2);
    behind.shift_date(-2);
    let length = Duration::from_secs(3);
    for (holder, waiter) in [(&ahead, &behind), (&behind, &ahead)] {
        let held = lock(place.behind(holder).await, "x", "us")
            .duration(length)
            .renew_interval(length / 3)
            .acquire()
            .await
            .unwrap();
        let waiting = lock(place.behind(waiter).await, "x", "other")
            .duration(length)
            .renew_interval(Duration::ZERO);
        // After three renewals, it is still held.
        let error = waiting
            .acquire_within(length * 2)
            .await
            .map(drop)
            .unwrap_err();
        assert_eq!(error.errno(), Errno::ETIMEDOUT, "{error}");
        assert!(!held.is_lost());
        // A lock whose holder no longer renews is free at the end of its lease.
        let deadline = held.deadline().unwrap();
        let id = held.id().to_owned();
        held.detach();
        let next = waiting.acquire().await.unwrap();
        assert!(
            coord_core::BootInstant::now() >= deadline,
            "{id}'s lease was taken early"
        );
        next.release().await.unwrap();
    }
}
