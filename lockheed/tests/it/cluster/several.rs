//! Several locks in one run, on a cluster.

use std::{
    fs,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use apiserver::{Fault, Proxy};
use lockheed::{Event, Lock, LockSet};
use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::{eventually, process::Kept};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{Place, commands::run_on, name};
use crate::support::WATCHDOG;

#[test]
#[ignore = "no cluster"]
fn all_are_held_or_none_in_config_maps() {
    hold_all_or_none(&Place::new());
}

#[test]
#[ignore = "no cluster"]
fn all_are_held_or_none_in_leases() {
    hold_all_or_none(&Place::of_leases());
}

fn hold_all_or_none(place: &Place) {
    let on = |arguments: &[&str]| run_on(place, arguments);
    let leases = |lock: &str| -> Vec<String> { place.record(lock).leases.into_keys().collect() };
    let start = |locks: &[&str], command: &[&str]| {
        let mut run = place.lockheed();
        run.arg("run").args(locks).arg("--").args(command);
        Kept::spawn(run.stdout(Stdio::piped()).stderr(Stdio::piped()))
    };
    let (status, said, error) = on(&["run", "b", "a", "--", "sh", "-c", "env | grep TOKEN | sort"]);
    assert_eq!(status, Some(0), "{error}");
    let [all, first, second]: [&str; 3] = said.lines().collect::<Vec<_>>().try_into().unwrap();
    let all: Value = serde_json::from_str(&all["LOCKHEED_TOKENS=".len()..]).unwrap();
    assert_eq!(first, format!("LOCKHEED_TOKEN_1={}", all["b"]));
    assert_eq!(second, format!("LOCKHEED_TOKEN_2={}", all["a"]));
    assert!(all["a"].as_u64().unwrap() < all["b"].as_u64().unwrap());
    assert!(leases("a").is_empty() && leases("b").is_empty());

    // No lock is held when the wait is over, or after a signal.
    assert_eq!(on(&["acquire", "b", "--id", "other"]).0, Some(0));
    for wait in [&["--wait", "2s"][..], &["--no-wait"]] {
        let arguments = [&["run", "b", "a"], wait, &["--", "true"]].concat();
        let (status, _, error) = on(&arguments);
        assert_eq!(status, Some(124), "{error}");
        assert!(error.contains("is held by \"other\""), "{error}");
        assert!(leases("a").is_empty());
    }
    let waiter = start(&["b", "a"], &["echo", "never"]);
    eventually("it holds the first", || leases("a").len() == 1);
    waiter.signal(Signal::SIGTERM);
    assert_eq!(waiter.finish().0, 143);
    assert_eq!(
        (leases("a"), leases("b")),
        (vec![], vec!["other".to_owned()])
    );

    // A lock that is lost during the wait is acquired again. One that is lost later ends the
    // command.
    let holder = start(&["b", "a"], &["sh", "-c", "echo begun; exec sleep 1000"]);
    eventually("it holds the first", || leases("a").len() == 1);
    let id = leases("a");
    let token = |lock: &str| place.record(lock).leases[&id[0]].token;
    let before = token("a");
    assert_eq!(on(&["break", "a", "--id", &id[0]]).0, Some(0));
    eventually("it holds the first again", || {
        leases("a") == id && token("a") > before
    });
    assert_eq!(on(&["release", "b", "--id", "other"]).0, Some(0));
    eventually("it holds both", || leases("b") == id);
    assert_eq!(on(&["break", "b", "--id", &id[0]]).0, Some(0));
    let (status, _, error) = holder.finish();
    assert_eq!(status, 122, "{error}");
    assert!(error.contains("lock b: lost: "), "{error}");
    assert!(leases("a").is_empty() && leases("b").is_empty());
}

/// As with a single lock, it gives up after 30 s only if the server has never answered.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "no cluster"]
async fn a_server_that_goes_away_between_two_locks_is_waited_for() {
    let place = Place::new();
    let proxy = Arc::new(Proxy::start(&place.user));
    let store = Arc::new(place.behind(&proxy).await);
    let lock = |of: &str| Lock::new(store.clone(), name(of));
    let given_up = Arc::new(Notify::new());
    let (other, told) = (proxy.clone(), given_up.clone());
    let locks = LockSet::new([
        lock("a").on_event(move |event| {
            if matches!(event, Event::Acquired(_)) {
                other.set(Fault::Cut);
            }
        }),
        lock("b").on_event(move |event| {
            if matches!(event, Event::NotAcquired(_)) {
                told.notify_one();
            }
        }),
    ]);
    let locks = locks.unwrap();
    let (held, ()) = tokio::join!(timeout(WATCHDOG, locks.acquire()), async {
        timeout(WATCHDOG, given_up.notified()).await.unwrap();
        sleep(Duration::from_millis(100)).await;
        proxy.set(Fault::None);
    });
    held.unwrap().unwrap().release().await.unwrap();
}

/// Rounds of a process, which takes the locks it names in random order and checks each is its own.
const WORKER: &str = r#"
for ((i = 0; i < 8; i++)); do
    locks=$(shuf -e a b c -n $((RANDOM % 2 + 2)))
    "$@" -q run $locks -- sh -c '
        for lock; do mkdir busy/$lock || exit 9; done
        for lock; do rmdir busy/$lock; done' sh $locks || exit
done"#;

#[test]
#[ignore = "no cluster"]
fn five_processes_that_name_three_locks_in_other_orders_are_all_served() {
    let place = Place::new();
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("busy")).unwrap();
    let lockheed = place.lockheed();
    let worker = |_| {
        let mut bash = Command::new("bash");
        bash.args(["-c", WORKER, "bash"])
            .arg(lockheed.get_program());
        bash.args(lockheed.get_args()).current_dir(&directory);
        bash.env_remove("LOCKHEED_STORE").stdin(Stdio::null());
        Kept::spawn(&mut bash)
    };
    let workers: Vec<_> = (0..5).map(worker).collect();
    for mut worker in workers {
        assert_eq!(worker.status(), 0);
    }
}
