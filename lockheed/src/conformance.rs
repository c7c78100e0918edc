//! A suite that checks a [`Store`] against everything the locking logic relies on.
//!
//! Run it in a test of the store, within a tokio runtime with time:
//!
//! ```
//! use lockheed::{MemoryStore, conformance};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! conformance::check(&MemoryStore::new()).await;
//! # }
//! ```
//!
//! `examples/own_store.rs` is a small store that passes. The suite cannot show how a store behaves
//! when its machine, its network or its disk fails.

use std::{
    fmt::Debug,
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use tokio::time::{sleep, timeout};

use crate::{
    LockName, Record, Store, Token,
    store::{Change, Object, RECORD, Scope, StoreError, StoreErrorKind, Version, Watch},
};

/// How long one rule may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How many contenders write at once.
const WRITERS: u32 = 16;

/// Describes how a rule was broken.
type Broken = String;
type Kept = Result<(), Broken>;

/// Checks all rules on a store that has no locks whose names begin with `conformance-`. Some such
/// locks are left behind.
///
/// # Panics
/// When a rule is broken; the message has the rule and what the store did instead. When a rule
/// takes longer than a minute.
pub async fn check<S: Store>(store: &S) {
    check_up_to(store, 900_000).await;
}

/// The same for a store with smaller objects: they may have this many bytes of text beside the
/// lock.
///
/// # Panics
/// As for [`check`].
pub async fn check_up_to<S: Store>(store: &S, bytes: usize) {
    rule("an object is created once", created_once(store)).await;
    rule("an update needs the latest version", updates(store)).await;
    rule("a deletion needs the latest version", deletions(store)).await;
    rule("versions rise, across deletion too", versions(store)).await;
    rule("what is not known is kept", unknown(store)).await;
    rule("the list is complete and in order", list(store)).await;
    rule("of many writers one wins", writers(store)).await;
    rule("a watch tells what came after", later(store)).await;
    rule("a watch tells a creation", creation(store)).await;
    rule("a watch tells a deletion", deletion(store)).await;
    rule("a watch of all tells of each", all_locks(store)).await;
    let may = format!("an object may have {} kB", bytes / 1000);
    rule(&may, large(store, bytes)).await;
    rule("the clock goes on", clock(store)).await;
}

async fn rule(rule: &str, checked: impl Future<Output = Kept>) {
    let checked = timeout(LIMIT, checked).await;
    let late = || Err(format!("nothing has happened for {LIMIT:?}"));
    if let Err(broken) = checked.unwrap_or_else(|_| late()) {
        panic!("the store breaks the rule that {rule}: {broken}");
    }
}

async fn created_once<S: Store>(store: &S) -> Kept {
    let new = object("once")?;
    fails("get", store.get(&new.name).await, StoreErrorKind::NotFound)?;
    fails("update", store.update(&new).await, StoreErrorKind::NotFound)?;
    let made = done("create", store.create(&new).await)?;
    holds(!made.uid.is_empty(), || "it has no UID".to_owned())?;
    number(&made)?;
    same("get", &done("get", store.get(&new.name).await)?, &made)?;
    fails("create", store.create(&new).await, StoreErrorKind::Exists)
}

async fn updates<S: Store>(store: &S) -> Kept {
    let first = done("create", store.create(&object("update")?).await)?;
    let changed = changed(&first, "1");
    let second = done("update", store.update(&changed).await)?;
    rises(&first, &second)?;
    holds(second.uid == first.uid, || {
        "an update changed the UID".to_owned()
    })?;
    let late = store.update(&changed).await;
    fails("update of an old version", late, StoreErrorKind::Conflict)?;
    same("get", &done("get", store.get(&first.name).await)?, &second)
}

async fn deletions<S: Store>(store: &S) -> Kept {
    let first = done("create", store.create(&object("delete")?).await)?;
    let second = done("update", store.update(&changed(&first, "1")).await)?;
    let late = store.delete(&first).await;
    fails("deletion of an old version", late, StoreErrorKind::Conflict)?;
    done("delete", store.delete(&second).await)?;
    let none = StoreErrorKind::NotFound;
    fails("get", store.get(&first.name).await, none)?;
    fails("second deletion", store.delete(&second).await, none)?;
    fails("update", store.update(&second).await, none)
}

async fn versions<S: Store>(store: &S) -> Kept {
    let mut last = done("create", store.create(&object("rise")?).await)?;
    for _ in 0..3 {
        done("delete", store.delete(&last).await)?;
        let next = done("create", store.create(&object("rise")?).await)?;
        rises(&last, &next)?;
        holds(next.uid != last.uid, || {
            "two objects have one UID".to_owned()
        })?;
        let late = store.update(&last).await;
        fails("update of another UID", late, StoreErrorKind::Conflict)?;
        last = next;
    }
    Ok(())
}

async fn unknown<S: Store>(store: &S) -> Kept {
    let mut foreign = object("foreign")?;
    let (data, note) = ("ä\n\"".to_owned(), "kept".to_owned());
    foreign.data.insert("other".to_owned(), data);
    let key = "example.com/note".to_owned();
    foreign.annotations.insert(key, note);
    let made = done("create", store.create(&foreign).await)?;
    same_content("create", &made, &foreign)?;
    let updated = done("update", store.update(&made).await)?;
    let read = done("get", store.get(&made.name).await)?;
    same_content("update", &updated, &foreign)?;
    same_content("get", &read, &foreign)
}

async fn list<S: Store>(store: &S) -> Kept {
    let wanted = ["list-a", "list-b", "list-c.d"].map(|name| format!("conformance-{name}"));
    for name in ["list-b", "list-a", "list-c.d"] {
        done("create", store.create(&object(name)?).await)?;
    }
    let all = done("list", store.list().await)?;
    let names = all.iter().map(|object| object.name.as_str().to_owned());
    let names: Vec<_> = names
        .filter(|name| name.starts_with("conformance-list-"))
        .collect();
    holds(names == wanted, || {
        format!("{names:?} are listed instead of {wanted:?}")
    })
}

async fn writers<S: Store>(store: &S) -> Kept {
    let made = done("create", store.create(&object("many")?).await)?;
    let tries = (0..WRITERS).map(|number| {
        let mine = changed(&made, &number.to_string());
        async move { store.update(&mine).await }
    });
    let mut wins = 0;
    for written in all(tries).await {
        match written {
            Ok(_) => wins += 1,
            lost => fails("update of one who was late", lost, StoreErrorKind::Conflict)?,
        }
    }
    holds(wins == 1, || {
        format!("{wins} of {WRITERS} writes on top of one version were done")
    })
}

async fn later<S: Store>(store: &S) -> Kept {
    let first = done("create", store.create(&object("watch")?).await)?;
    let second = done("update", store.update(&changed(&first, "1")).await)?;
    let scope = Scope::Lock(first.name.clone());
    let watch = store.watch(&scope, Some(&first.version)).await;
    let mut watch = done("watch", watch)?;
    until_written(&mut watch, &second.version).await?;
    let third = done("update", store.update(&changed(&second, "2")).await)?;
    until_written(&mut watch, &third.version).await
}

async fn creation<S: Store>(store: &S) -> Kept {
    let new = object("watch-none")?;
    let scope = Scope::Lock(new.name.clone());
    let mut watch = done("watch", store.watch(&scope, None).await)?;
    done("create", store.create(&object("watch-other")?).await)?;
    let made = done("create", store.create(&new).await)?;
    match next(&mut watch).await? {
        Change::Written(told) => same("watch", &told, &made),
        Change::Deleted(told) => Err(format!("it told that {} was deleted", told.name)),
    }
}

async fn deletion<S: Store>(store: &S) -> Kept {
    let made = done("create", store.create(&object("watch-gone")?).await)?;
    let scope = Scope::Lock(made.name.clone());
    let watch = store.watch(&scope, Some(&made.version)).await;
    let mut watch = done("watch", watch)?;
    done("delete", store.delete(&made).await)?;
    loop {
        match next(&mut watch).await? {
            Change::Deleted(gone) if gone.name == made.name => return Ok(()),
            Change::Written(told) if told.version == made.version => {}
            other => return Err(format!("it told {other:?}")),
        }
    }
}

async fn all_locks<S: Store>(store: &S) -> Kept {
    let mut watch = done("watch", store.watch(&Scope::All, None).await)?;
    let first = done("create", store.create(&object("all-1")?).await)?;
    let second = done("create", store.create(&object("all-2")?).await)?;
    let mut missing = vec![first.name, second.name];
    while !missing.is_empty() {
        let change = next(&mut watch).await?;
        missing.retain(|name| *name != change.object().name);
    }
    Ok(())
}

/// A ConfigMap may have a MiB of data.
async fn large<S: Store>(store: &S, bytes: usize) -> Kept {
    let mut large = object("large")?;
    large.data.insert("bulk".to_owned(), "x".repeat(bytes));
    let made = done("create", store.create(&large).await)?;
    same_content("get", &done("get", store.get(&made.name).await)?, &large)?;
    done("delete", store.delete(&made).await)
}

async fn clock<S: Store>(store: &S) -> Kept {
    let mut last = done("now", store.now().await)?;
    let first = last;
    while last <= first {
        sleep(Duration::from_millis(50)).await;
        let now = done("now", store.now().await)?;
        holds(now >= last, || format!("it went from {last} back to {now}"))?;
        last = now;
    }
    Ok(())
}

fn object(name: &str) -> Result<Object, Broken> {
    let name: LockName = format!("conformance-{name}")
        .parse()
        .map_err(|error| format!("{error}"))?;
    let mut object = Object::new(&name);
    let record = Record::mutex(name.as_str());
    object.set_record(&record);
    Ok(object)
}

fn changed(object: &Object, to: &str) -> Object {
    let mut object = object.clone();
    object.data.insert("state".to_owned(), to.to_owned());
    object
}

fn holds(is_so: bool, otherwise: impl FnOnce() -> Broken) -> Kept {
    is_so.then_some(()).ok_or_else(otherwise)
}

fn done<T>(what: &str, result: Result<T, StoreError>) -> Result<T, Broken> {
    result.map_err(|error| format!("{what} failed with {:?}: {error}", error.kind()))
}

fn fails<T: Debug>(what: &str, result: Result<T, StoreError>, kind: StoreErrorKind) -> Kept {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => Err(format!(
            "{what} failed with {:?}, not with {kind:?}: {error}",
            error.kind()
        )),
        Ok(done) => Err(format!("{what} did not fail with {kind:?}: {done:?}")),
    }
}

fn same(what: &str, one: &Object, other: &Object) -> Kept {
    holds(one == other, || {
        format!("{what} has {one:?} instead of {other:?}")
    })
}

/// The store may format the lock's JSON in another way.
fn same_content(what: &str, one: &Object, other: &Object) -> Kept {
    let record = |object: &Object| {
        let text = object.data.get(RECORD).cloned().unwrap_or_default();
        Record::from_json(&text).map_err(|error| format!("{what} has another lock: {error}"))
    };
    let rest = |object: &Object| {
        let mut data = object.data.clone();
        data.remove(RECORD);
        (data, object.annotations.clone())
    };
    holds(record(one)? == record(other)?, || {
        format!("{what} has another lock")
    })?;
    holds(rest(one) == rest(other), || {
        format!("{what} has other data or annotations")
    })
}

fn number(object: &Object) -> Result<Token, Broken> {
    Token::of(&object.version).map_err(|error| error.to_string())
}

fn rises(before: &Object, after: &Object) -> Kept {
    let (before, after) = (number(before)?, number(after)?);
    holds(after > before, || {
        format!("version {after} came after {before}")
    })
}

async fn next<W: Watch>(watch: &mut W) -> Result<Change, Broken> {
    let next = done("watch", watch.next().await)?;
    next.ok_or_else(|| "the watch has ended".to_owned())
}

async fn until_written<W: Watch>(watch: &mut W, version: &Version) -> Kept {
    loop {
        match next(watch).await? {
            Change::Written(object) if object.version == *version => return Ok(()),
            Change::Written(_) => {}
            Change::Deleted(gone) => return Err(format!("it told that {} was deleted", gone.name)),
        }
    }
}

/// Runs the futures at once, as far as the store allows.
async fn all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<Pin<Box<_>>> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    poll_fn(|context| {
        pending.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Ready(result) => {
                done.push(result);
                false
            }
            Poll::Pending => true,
        });
        if pending.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    done
}
