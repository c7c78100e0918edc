//! The conformance suite, on stores that keep the rules and on some that break them.

use std::time::Duration;

use lockheed::{
    DirStore, LockName, MemoryStore, Store, Timestamp, conformance,
    store::{Object, Scope, StoreError, StoreErrorKind, Version},
};
use tokio::runtime::Runtime;

#[allow(dead_code, reason = "its main is the example's")]
#[path = "../../examples/own_store.rs"]
mod own_store;

use own_store::{Shelf, ShelfWatch};

#[test]
fn memory() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(conformance::check(&MemoryStore::new()));
}

#[test]
fn directory() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async { conformance::check(&DirStore::open(dir.path()).unwrap()).await });
}

#[test]
fn the_store_of_the_example() {
    Runtime::new()
        .unwrap()
        .block_on(conformance::check(&Shelf::new()));
}

/// The ways in which a store breaks a rule.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    CreatesTwice,
    IgnoresVersions,
    DeletesAnyVersion,
    KeepsTheUid,
    DropsAnnotations,
    ListsBackwards,
    TellsTheWrongKind,
    StopsTheClock,
    EndsWatches,
}

#[derive(Clone)]
struct Flawed {
    shelf: Shelf,
    flaw: Flaw,
}

/// A watch that may end at once.
struct FlawedWatch {
    inner: ShelfWatch,
    ends: bool,
}

impl Flawed {
    /// The object, as if it had the latest version.
    async fn latest(&self, object: &Object) -> Result<Object, StoreError> {
        let there = self.shelf.get(&object.name).await?;
        Ok(Object {
            uid: there.uid,
            version: there.version,
            ..object.clone()
        })
    }
}

impl Store for Flawed {
    type Watch = FlawedWatch;

    async fn get(&self, name: &LockName) -> Result<Object, StoreError> {
        let got = self.shelf.get(name).await;
        match (self.flaw, got) {
            (Flaw::TellsTheWrongKind, Err(error)) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                error.errno(),
                error.to_string(),
            )),
            (_, got) => got,
        }
    }

    async fn create(&self, object: &Object) -> Result<Object, StoreError> {
        let mut object = object.clone();
        if matches!(self.flaw, Flaw::DropsAnnotations) {
            object.annotations.clear();
        }
        match (self.flaw, self.latest(&object).await) {
            (Flaw::CreatesTwice, Ok(latest)) => self.shelf.update(&latest).await,
            (Flaw::KeepsTheUid, _) => {
                let created = self.shelf.create(&object).await?;
                Ok(Object {
                    uid: "always".to_owned(),
                    ..created
                })
            }
            _ => self.shelf.create(&object).await,
        }
    }

    async fn update(&self, object: &Object) -> Result<Object, StoreError> {
        let object = match self.flaw {
            Flaw::IgnoresVersions => self.latest(object).await?,
            _ => object.clone(),
        };
        self.shelf.update(&object).await
    }

    async fn delete(&self, object: &Object) -> Result<(), StoreError> {
        let object = match self.flaw {
            Flaw::DeletesAnyVersion => self.latest(object).await?,
            _ => object.clone(),
        };
        self.shelf.delete(&object).await
    }

    async fn list(&self) -> Result<Vec<Object>, StoreError> {
        let mut all = self.shelf.list().await?;
        if matches!(self.flaw, Flaw::ListsBackwards) {
            all.reverse();
        }
        Ok(all)
    }

    async fn watch(
        &self,
        scope: &Scope,
        since: Option<&Version>,
    ) -> Result<FlawedWatch, StoreError> {
        Ok(FlawedWatch {
            inner: self.shelf.watch(scope, since).await?,
            ends: matches!(self.flaw, Flaw::EndsWatches),
        })
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let now = self.shelf.now().await?;
        Ok(match self.flaw {
            // The clock goes back from the second call on.
            Flaw::StopsTheClock => {
                Timestamp::from_unix(Duration::from_secs(3600).saturating_sub(now.since_unix()))
            }
            _ => now,
        })
    }

    fn clock_skew(&self) -> Duration {
        Duration::ZERO
    }
}

impl lockheed::store::Watch for FlawedWatch {
    async fn next(&mut self) -> Result<Option<lockheed::store::Change>, StoreError> {
        if self.ends {
            return Ok(None);
        }
        self.inner.next().await
    }
}

#[test]
fn a_store_that_breaks_a_rule_is_told_which() {
    let runtime = Runtime::new().unwrap();
    for (flaw, rule) in [
        (Flaw::CreatesTwice, "an object is created once"),
        (Flaw::IgnoresVersions, "an update needs the latest version"),
        (
            Flaw::DeletesAnyVersion,
            "a deletion needs the latest version",
        ),
        (Flaw::KeepsTheUid, "an object is created once"),
        (Flaw::DropsAnnotations, "what is not known is kept"),
        (Flaw::ListsBackwards, "the list is complete and in order"),
        (Flaw::TellsTheWrongKind, "an object is created once"),
        (Flaw::StopsTheClock, "the clock goes on"),
        (Flaw::EndsWatches, "a watch tells what came after"),
    ] {
        let store = Flawed {
            shelf: Shelf::new(),
            flaw,
        };
        let checked = runtime.spawn(async move { conformance::check(&store).await });
        let panic = runtime.block_on(checked).unwrap_err().into_panic();
        let text = panic.downcast_ref::<String>().unwrap();
        let expected = format!("the store breaks the rule that {rule}: ");
        assert!(text.starts_with(&expected), "{flaw:?}: {text}");
    }
}
