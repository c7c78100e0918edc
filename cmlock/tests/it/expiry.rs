//! Locks with and without an expiry.

use std::time::Duration;

use apiserver::Fault;
use cmlock::Lock;
use coord_core::{BootInstant, Errno};
use testkit::{
    WallClocks, eventually,
    process::{Kept, is_alive, number_in, outcome},
};

use crate::support::{AGENT, Place, cmlock, soon, unix_time, waiting};

// Holds cmlock-3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn two_waiters_cannot_both_free_an_expired_lock_and_hold_it() {
    let place = Place::with_pods(&["gone-by", "slow", "fast"]);
    place.put("x", "gone-by", Some(1));
    let proxy = place.proxy();
    // The slow waiter has read the expired lock. Its deletion arrives only when the fast one holds
    // the lock.
    let late = Duration::from_secs(3);
    proxy.next(1, |method, _| method == "DELETE", Fault::Delay(late));
    let slow = place.behind(&proxy, "slow").await;
    let slow = tokio::spawn(async move { soon(Lock::new(&slow, "x").acquire()).await.unwrap() });
    eventually("the slow one is about to delete it", || {
        proxy.seen().iter().any(|seen| seen.method == "DELETE")
    });

    let fast = Lock::new(&place.client("fast").await, "x")
        .acquire()
        .await
        .unwrap();
    let ours = place.uid("configmaps", "x");
    let refused = || {
        place
            .requests(AGENT, 0)
            .iter()
            .any(|request| request.verb == "delete" && request.status == 409)
    };
    eventually("the late deletion is refused", refused);
    assert_eq!(place.uid("configmaps", "x"), ours);
    assert!(!fast.is_lost() && !slow.is_finished());
    fast.release().await.unwrap();
    slow.await.unwrap().release().await.unwrap();
}

// Holds cmlock-2.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_waiter_with_a_timeout_never_removes_a_lock_without_expiry() {
    let place = Place::with_pods(&["a", "b"]);
    place.put("x", "a", None);
    let uid = place.uid("configmaps", "x");
    let lock = Lock::new(&place.client("b").await, "x")
        .wait(Duration::from_secs(2))
        .hold(Duration::from_secs(2));
    let error = soon(lock.acquire()).await.unwrap_err();
    assert_eq!(error.errno(), Errno::ETIMEDOUT, "{error}");
    assert!(
        error
            .to_string()
            .contains("held by Pod \"a\", without expiry"),
        "{error}"
    );
    assert_eq!(place.uid("configmaps", "x"), uid);
    let deleted = place
        .requests(AGENT, 1)
        .iter()
        .any(|request| request.verb == "delete");
    assert!(!deleted);
}

// Holds cmlock-4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn expiry_is_judged_by_the_servers_clock() {
    let place = Place::with_pods(&["a", "b"]);
    // The server's clock is an hour off the contender's clock.
    for hour in [3600, -3600] {
        let proxy = place.proxy();
        proxy.shift_date(hour);
        let (a, b) = (
            place.behind(&proxy, "a").await,
            place.behind(&proxy, "b").await,
        );
        let hold = Duration::from_secs(4);
        let before = BootInstant::now();
        let held = Lock::new(&a, "x").hold(hold).acquire().await.unwrap();
        let written: u64 = place.object("x")["data"]["expiresAt"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let server = unix_time().saturating_add_signed(hour);
        assert!(
            (server + 1..server + 9).contains(&written),
            "{written} is not soon after {server}"
        );
        let deadline = held.deadline().unwrap();
        assert!(deadline >= before + hold);
        held.detach();
        let error = Lock::new(&b, "x")
            .wait(Duration::ZERO)
            .acquire()
            .await
            .unwrap_err();
        assert_eq!(error.errno(), Errno::EBUSY, "{error}");
        let next = soon(Lock::new(&b, "x").acquire()).await.unwrap();
        assert!(BootInstant::now() >= deadline, "taken early");
        next.release().await.unwrap();
    }
}

// Holds cmlock-2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn only_the_expiry_frees_the_lock_of_a_silent_owner() {
    let place = Place::with_pods(&["a", "b"]);
    let held = Lock::new(&place.client("a").await, "x")
        .hold(Duration::from_secs(3))
        .acquire()
        .await
        .unwrap();
    let deadline = held.deadline().unwrap();
    held.detach();
    let (waiter, events) = waiting(Lock::new(&place.client("b").await, "x")).await;
    let next = waiter.await.unwrap();
    assert!(BootInstant::now() >= deadline, "taken early");
    assert!(events.has("freeing it: it expired at"));
    next.release().await.unwrap();
}

/// The binary, on machines with two different wall clocks.
// Holds cmlock-4.
#[test]
#[ignore = "no cluster"]
fn a_wall_clock_that_is_wrong_by_an_hour_takes_no_lock_early_and_keeps_none_late() {
    let (place, clocks) = (Place::with_pods(&["a", "b"]), WallClocks::set_up());
    // The proxy serves plain HTTP, so that the validity of certificates does not matter.
    let proxy = place.proxy();
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    let command = |pod: &str, arguments: &[&str]| {
        let mut command = cmlock(&kubeconfig);
        clocks
            .of(&mut command, pod)
            .env("POD_NAME", pod)
            .args(arguments);
        command
    };
    let expiry = || -> u64 {
        let object = place.object("x");
        object["data"]["expiresAt"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    for (of_holder, of_waiter) in [(0, 3600), (0, -3600), (3600, -3600)] {
        clocks.set("a", of_holder);
        clocks.set("b", of_waiter);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let script = format!("echo $$ >{}; exec sleep 1000", file.display());
        let run = ["run", "x", "--timeout", "4s", "--", "sh", "-c", &script];
        let holder = Kept::spawn(&mut command("a", &run));
        let pid = number_in(&file);
        // The lock is extended, and nobody takes it, whatever the clocks show.
        for step in [-3600, 7200, of_holder] {
            clocks.set("a", step);
            let before = expiry();
            eventually("it is extended", || expiry() > before);
            assert_eq!(
                outcome(&mut command("b", &["acquire", "x", "--no-wait"])).0,
                16
            );
            assert!(is_alive(pid), "{step}");
        }
        holder.signal(nix::sys::signal::Signal::SIGKILL);
        let last = expiry();
        let mut waiter = Kept::spawn(&mut command("b", &["run", "x", "--", "true"]));
        assert_eq!(waiter.status(), 0);
        assert!(unix_time() >= last, "taken early");
    }
}
