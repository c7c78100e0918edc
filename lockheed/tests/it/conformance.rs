//! One suite for every store: what the locking logic relies on.

use std::{future::Future, time::Duration};

use lockheed::{
    DirStore, LockName, MemoryStore, Store, Token,
    store::{Change, Object, RECORD, Scope, StoreError, StoreErrorKind, Version, Watch},
};
use tokio::{runtime::Runtime, time::timeout};

use crate::support::WATCHDOG;

/// Runs the whole suite on a fresh store.
pub(crate) async fn suite<S: Store>(store: &S) {
    objects_are_created_once(store).await;
    an_update_needs_the_version_that_is_there(store).await;
    a_deletion_needs_the_version_that_is_there(store).await;
    versions_rise_across_deletion(store).await;
    what_is_not_ours_is_kept(store).await;
    locks_are_listed_by_name(store).await;
    of_many_writers_one_wins(store).await;
    a_watch_tells_what_came_after(store).await;
    a_watch_on_a_lock_that_is_not_there_tells_its_creation(store).await;
    a_watch_tells_deletions(store).await;
    a_watch_of_all_tells_of_each(store).await;
    a_large_object_is_kept(store).await;
    time_goes_on(store).await;
}

fn object(name: &str) -> Object {
    let mut object = Object::new(&name.parse::<LockName>().unwrap());
    let record = format!(r#"{{"name":"{name}","lockType":"mutex","leases":{{}}}}"#);
    object.data.insert(RECORD.to_owned(), record);
    object
}

fn kind<T: std::fmt::Debug>(result: Result<T, StoreError>) -> StoreErrorKind {
    result.unwrap_err().kind()
}

async fn objects_are_created_once<S: Store>(store: &S) {
    let new = object("once");
    assert_eq!(kind(store.get(&new.name).await), StoreErrorKind::NotFound);
    assert_eq!(kind(store.update(&new).await), StoreErrorKind::NotFound);
    let made = store.create(&new).await.unwrap();
    assert!(!made.uid.is_empty() && Token::of(&made.version).is_ok());
    assert_eq!(store.get(&new.name).await.unwrap(), made);
    assert_eq!(kind(store.create(&new).await), StoreErrorKind::Exists);
}

async fn an_update_needs_the_version_that_is_there<S: Store>(store: &S) {
    let first = store.create(&object("update")).await.unwrap();
    let mut changed = first.clone();
    changed.data.insert("more".to_owned(), "1".to_owned());
    let second = store.update(&changed).await.unwrap();
    assert!(Token::of(&second.version).unwrap() > Token::of(&first.version).unwrap());
    assert_eq!(second.uid, first.uid);
    assert_eq!(kind(store.update(&changed).await), StoreErrorKind::Conflict);
    assert_eq!(store.get(&first.name).await.unwrap(), second);
}

async fn a_deletion_needs_the_version_that_is_there<S: Store>(store: &S) {
    let first = store.create(&object("delete")).await.unwrap();
    let mut changed = first.clone();
    changed.data.insert("more".to_owned(), "1".to_owned());
    let second = store.update(&changed).await.unwrap();
    assert_eq!(kind(store.delete(&first).await), StoreErrorKind::Conflict);
    store.delete(&second).await.unwrap();
    assert_eq!(kind(store.get(&first.name).await), StoreErrorKind::NotFound);
    assert_eq!(kind(store.delete(&second).await), StoreErrorKind::NotFound);
    assert_eq!(kind(store.update(&second).await), StoreErrorKind::NotFound);
}

async fn versions_rise_across_deletion<S: Store>(store: &S) {
    let mut last = store.create(&object("rise")).await.unwrap();
    for _ in 0..3 {
        store.delete(&last).await.unwrap();
        let next = store.create(&object("rise")).await.unwrap();
        assert!(Token::of(&next.version).unwrap() > Token::of(&last.version).unwrap());
        assert_ne!(next.uid, last.uid);
        assert_eq!(kind(store.update(&last).await), StoreErrorKind::Conflict);
        last = next;
    }
}

async fn what_is_not_ours_is_kept<S: Store>(store: &S) {
    let mut foreign = object("foreign");
    foreign.data.insert("other".to_owned(), "ä\n\"".to_owned());
    foreign
        .annotations
        .insert("example.com/note".to_owned(), "kept".to_owned());
    let made = store.create(&foreign).await.unwrap();
    assert_eq!(
        (&made.data["other"], &made.annotations["example.com/note"]),
        (&"ä\n\"".to_owned(), &"kept".to_owned())
    );
    let made = store.update(&made).await.unwrap();
    let read = store.get(&made.name).await.unwrap();
    assert_eq!((read.data, read.annotations), (made.data, made.annotations));
}

async fn locks_are_listed_by_name<S: Store>(store: &S) {
    for name in ["list-b", "list-a", "list-c.d"] {
        store.create(&object(name)).await.unwrap();
    }
    let names = store
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|object| object.name.to_string());
    let names: Vec<_> = names.filter(|name| name.starts_with("list-")).collect();
    assert_eq!(names, ["list-a", "list-b", "list-c.d"]);
}

async fn of_many_writers_one_wins<S: Store>(store: &S) {
    let made = store.create(&object("many")).await.unwrap();
    let mut wins = 0;
    let tries = (0..16).map(|number| {
        let mut mine = made.clone();
        mine.data.insert("winner".to_owned(), number.to_string());
        async move { store.update(&mine).await }
    });
    for result in all(tries).await {
        match result {
            Ok(_) => wins += 1,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Conflict),
        }
    }
    assert_eq!(wins, 1);
}

async fn a_watch_tells_what_came_after<S: Store>(store: &S) {
    let first = store.create(&object("watch")).await.unwrap();
    let second = store.update(&changed(&first, "1")).await.unwrap();
    let scope = Scope::Lock(first.name.clone());
    let mut watch = store.watch(&scope, Some(&first.version)).await.unwrap();
    assert_eq!(written(&mut watch).await, second);
    let third = store.update(&changed(&second, "2")).await.unwrap();
    until(&mut watch, &third.version).await;
}

async fn a_watch_on_a_lock_that_is_not_there_tells_its_creation<S: Store>(store: &S) {
    let new = object("watch-none");
    let mut watch = store
        .watch(&Scope::Lock(new.name.clone()), None)
        .await
        .unwrap();
    store.create(&object("watch-other")).await.unwrap();
    let made = store.create(&new).await.unwrap();
    assert_eq!(written(&mut watch).await, made);
}

async fn a_watch_tells_deletions<S: Store>(store: &S) {
    let made = store.create(&object("watch-gone")).await.unwrap();
    let mut watch = store
        .watch(&Scope::Lock(made.name.clone()), Some(&made.version))
        .await
        .unwrap();
    store.delete(&made).await.unwrap();
    loop {
        match next(&mut watch).await {
            Change::Deleted(gone) => return assert_eq!(gone.name, made.name),
            Change::Written(same) => assert_eq!(same.version, made.version),
        }
    }
}

async fn a_watch_of_all_tells_of_each<S: Store>(store: &S) {
    let mut watch = store.watch(&Scope::All, None).await.unwrap();
    let first = store.create(&object("all-1")).await.unwrap();
    let second = store.create(&object("all-2")).await.unwrap();
    let mut missing = vec![first.name, second.name];
    while !missing.is_empty() {
        let change = next(&mut watch).await;
        missing.retain(|name| name != &change.object().name);
    }
}

/// A ConfigMap may have a MiB of data.
async fn a_large_object_is_kept<S: Store>(store: &S) {
    let mut large = object("large");
    large.data.insert("bulk".to_owned(), "x".repeat(900_000));
    let made = store.create(&large).await.unwrap();
    assert_eq!(
        store.get(&made.name).await.unwrap().data["bulk"].len(),
        900_000
    );
    store.delete(&made).await.unwrap();
}

async fn time_goes_on<S: Store>(store: &S) {
    let first = store.now().await.unwrap();
    let later = async {
        while store.now().await.unwrap() <= first {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(WATCHDOG, later).await.unwrap();
}

fn changed(object: &Object, to: &str) -> Object {
    let mut object = object.clone();
    object.data.insert("state".to_owned(), to.to_owned());
    object
}

async fn next<W: Watch>(watch: &mut W) -> Change {
    timeout(WATCHDOG, watch.next())
        .await
        .unwrap()
        .unwrap()
        .expect("the watch has ended")
}

async fn written<W: Watch>(watch: &mut W) -> Object {
    match next(watch).await {
        Change::Written(object) => object,
        Change::Deleted(object) => panic!("{object:?} was deleted"),
    }
}

async fn until<W: Watch>(watch: &mut W, version: &Version) {
    while written(watch).await.version != *version {}
}

/// At once, as far as the store lets them.
async fn all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures
        .map(|future| Box::pin(async move { Some(future.await) }))
        .collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        pending.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(result) => {
                done.extend(result);
                false
            }
            std::task::Poll::Pending => true,
        });
        if pending.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done
}

#[test]
fn memory() {
    Runtime::new().unwrap().block_on(suite(&MemoryStore::new()));
}

#[test]
fn directory() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async { suite(&DirStore::open(dir.path()).unwrap()).await });
}
