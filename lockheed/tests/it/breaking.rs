//! `break` of exactly the lease that somebody has inspected.

use std::sync::{Arc, Mutex, PoisonError};

use coord_core::Errno;
use lockheed::{
    Lock, LockName, MemoryStore, Store, Timestamp,
    store::{MemoryWatch, Object, Scope, StoreError, Version},
};
use testkit::process::outcome;

use crate::support::{LOCKHEED, Place};

/// The command that `inspect` prints.
fn shown(inspected: &str) -> String {
    let line = inspected
        .lines()
        .find_map(|line| line.strip_prefix("break    "));
    line.unwrap_or_else(|| panic!("{inspected}")).to_owned()
}

/// Pastes that command into a shell, as a person would, with the binary on the `PATH`.
fn pasted(command: &str) -> (i32, String, String) {
    let directory = std::path::Path::new(LOCKHEED).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", command]).current_dir("/");
    shell.env("PATH", format!("{}:{path}", directory.display()));
    outcome(shell.env_remove("LOCKHEED_STORE"))
}

#[test]
fn only_the_lease_of_that_holder_is_ended() {
    let place = Place::new();
    assert_eq!(place.run(&["break", "x", "--id", "a"]).0, 2);
    place.expect(&["acquire", "x", "--id", "a"], 0);
    let before = place.json("x");
    let (code, _, stderr) = place.run(&["break", "x", "--id", "b"]);
    assert_eq!(code, 1);
    assert!(
        stderr.starts_with("lockheed: lock x is not held by \"b\": it is held by \"a\" until 20"),
        "{stderr}"
    );
    assert_eq!(place.json("x"), before);
    let stdout = place.expect(&["break", "x", "--id", "a"], 0);
    assert!(
        stdout.starts_with("ended the lease of \"a\", which would have"),
        "{stdout}"
    );
    assert!(place.leases("x").is_empty());
    let (code, _, stderr) = place.run(&["break", "x", "--id", "a", "--yes"]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("ended its lease with `break` at 20"),
        "{stderr}"
    );
    assert!(stderr.ends_with("; nobody holds it\n"), "{stderr}");
}

#[test]
fn a_later_lease_of_the_same_id_is_another_one() {
    let place = Place::new();
    let acquire = || {
        place
            .expect(&["acquire", "x", "--id", "a"], 0)
            .trim()
            .to_owned()
    };
    let older = acquire();
    place.expect(&["release", "x", "--id", "a"], 0);
    let token = acquire();
    // A renewed lease records its token. For one that was never renewed, the lock's version is the
    // token.
    for renewals in 0..2 {
        let (code, _, stderr) = place.run(&["break", "x", "--id", "a", "--fencing-token", &older]);
        assert_eq!(code, 1, "{renewals}");
        let says =
            format!("lock x is not held by \"a\" with token {older}: it is held by \"a\" until 20");
        assert!(stderr.contains(&says), "{stderr}");
        assert!(
            stderr.ends_with(&format!(", with token {token}\n")),
            "{stderr}"
        );
        place.expect(&["renew", "x", "--id", "a"], 0);
    }
    place.expect(&["break", "x", "--id", "a", "--fencing-token", &token], 0);
    assert!(place.leases("x").is_empty());
}

#[test]
fn a_condition_must_hold_too() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a", "--tag", "t"], 0);
    let with = |condition| place.run(&["break", "x", "--id", "a", "--if", condition]).0;
    assert_eq!(with("tags contains other"), 1);
    assert_eq!(place.leases("x"), ["a"]);
    assert_eq!(with("tags contains t"), 0);
    assert!(place.leases("x").is_empty());
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a"], 0);
    for (arguments, said) in [
        (
            &["break", "x", "--fencing-token", "1", "--yes"][..],
            "--id <ID>",
        ),
        (
            &["break", "x", "--id", "a", "--fencing-token", "0"],
            "\"0\" is not a fencing token",
        ),
        (
            &["break", "x", "--id", "a", "--fencing-token", "x1"],
            "write a positive number",
        ),
    ] {
        let (code, _, stderr) = place.run(arguments);
        assert_eq!(code, 64, "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
    assert_eq!(place.leases("x"), ["a"]);
}

#[test]
fn what_inspect_shows_can_be_pasted() {
    let place = Place::new();
    let locks = place.path("it's a $(store)");
    let store = format!("dir:{}", locks.display());
    for id in [
        "plain-1",
        "it's \"mine\" $HOME",
        "two\nlines \u{202e}",
        "-x",
    ] {
        let id = format!("--id={id}");
        let on = |arguments: &[&str]| {
            let mut command = place.lockheed(arguments);
            outcome(command.args(["--store", &store]))
        };
        assert_eq!(on(&["acquire", "x", &id]).0, 0);
        let (code, inspected, _) = on(&["inspect", "x"]);
        assert_eq!(code, 0);
        let (code, stdout, stderr) = pasted(&shown(&inspected));
        assert_eq!(code, 0, "{inspected}{stderr}");
        assert!(stdout.starts_with("ended the lease of "), "{stdout}");
        // The current lease is not the one that was inspected.
        assert_eq!(on(&["acquire", "x", &id]).0, 0);
        assert_eq!(pasted(&shown(&inspected)).0, 1, "{inspected}");
        assert_eq!(on(&["release", "x", &id]).0, 0);
        assert!(!on(&["inspect", "x"]).1.contains("break "));
    }
}

/// A relative directory is printed as the absolute one.
#[test]
fn what_inspect_shows_holds_in_any_directory() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a"], 0);
    let mut command = place.lockheed(&["--store", "dir:locks", "inspect", "x"]);
    let (_, inspected, _) = outcome(command.current_dir(place.path("")));
    assert_eq!(pasted(&shown(&inspected)).0, 0, "{inspected}");
    assert!(place.leases("x").is_empty());
}

/// A store in which something happens between a read and the write that follows it.
#[derive(Default)]
struct Interrupted {
    store: MemoryStore,
    before_update: Mutex<Option<Object>>,
}

impl Store for Interrupted {
    type Watch = MemoryWatch;

    async fn get(&self, name: &LockName) -> Result<Object, StoreError> {
        self.store.get(name).await
    }

    async fn create(&self, object: &Object) -> Result<Object, StoreError> {
        self.store.create(object).await
    }

    async fn update(&self, object: &Object) -> Result<Object, StoreError> {
        let other = self
            .before_update
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(other) = other {
            self.store.update(&other).await?;
        }
        self.store.update(object).await
    }

    async fn delete(&self, object: &Object) -> Result<(), StoreError> {
        self.store.delete(object).await
    }

    async fn list(&self) -> Result<Vec<Object>, StoreError> {
        self.store.list().await
    }

    async fn watch(
        &self,
        scope: &Scope,
        since: Option<&Version>,
    ) -> Result<MemoryWatch, StoreError> {
        self.store.watch(scope, since).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.store.now().await
    }

    fn clock_skew(&self) -> std::time::Duration {
        self.store.clock_skew()
    }
}

#[tokio::test]
async fn whoever_acquires_the_lock_meanwhile_keeps_it() {
    let store = Arc::new(Interrupted::default());
    let name: LockName = "x".parse().unwrap();
    let lock = |id: &str| Lock::new(store.clone(), name.clone()).id(id);
    lock("other").acquire().await.unwrap().detach();
    let others = store.get(&name).await.unwrap();
    lock("other").release().await.unwrap();
    lock("a").acquire().await.unwrap().detach();
    let state = lockheed::inspect(&*store, &name).await.unwrap();
    let lease = state.id_of(state.holders().next().unwrap());
    let Object { version, .. } = store.get(&name).await.unwrap();
    *store.before_update.lock().unwrap() = Some(Object { version, ..others });
    let broken = lockheed::break_lease(&*store, &name, &lease, None, "").await;
    let error = broken.unwrap_err();
    assert_eq!(error.errno(), Errno::ESTALE);
    assert!(
        error.to_string().contains("it is held by \"other\""),
        "{error}"
    );
    let state = lockheed::inspect(&*store, &name).await.unwrap();
    assert_eq!(state.holders().next().unwrap().holder, "other");
}
