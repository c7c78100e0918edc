use std::path::Path;

use super::*;
use crate::store::Store as _;

/// Each holder that leaves closes its file. Without this, all waiters would look at once,
/// several times.
#[tokio::test]
async fn those_who_wait_together_do_not_all_look_when_a_holder_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let store = DirStore::create(dir.path().join("locks")).unwrap();
    let scope = Scope::EachChange("x".parse().unwrap());
    let mut watch = store.watch(&scope, None).await.unwrap();
    watch.look().await.unwrap();
    let began = Instant::now();
    for _ in 0..20 {
        drop(store.prove_life().unwrap());
    }
    watch.wait().await.unwrap();
    assert!(began.elapsed() >= SOON[TOGETHER]);
    assert!(watch.soon < SOON.len() - TOGETHER && watch.due);
}

/// Each look reads the whole queue, so hundreds without events would keep the processors busy.
#[tokio::test]
async fn without_events_those_far_back_look_seldom() {
    let dir = tempfile::tempdir().unwrap();
    let (mut watch, _) = without_events(dir.path()).await;
    watch.rest(|| OFTEN);
    watch.wait().await.unwrap();
    assert!(watch.looked.elapsed() >= OFTEN * RESTS && watch.due);
    assert!(!watch.events.are_there());
}

/// As a program may ask that waits for a holder without an end.
#[tokio::test]
async fn a_rest_of_any_length_is_possible() {
    let dir = tempfile::tempdir().unwrap();
    let (mut watch, _) = without_events(dir.path()).await;
    for rest in [
        Duration::MAX,
        Duration::MAX / 2,
        Duration::from_secs(u64::MAX),
    ] {
        watch.rest(|| rest);
        assert_eq!(watch.without_events(), FAR_BACK);
    }
    watch.rest(|| Duration::ZERO);
    assert_eq!(watch.without_events(), OFTEN);
}

/// Those who leave the queue free their inotify instances.
#[tokio::test]
async fn whoever_is_next_has_events_as_soon_as_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let (mut watch, store) = without_events(dir.path()).await;
    watch.wait().await.unwrap();
    assert!(watch.due && watch.events.are_there());
    watch.look().await.unwrap();
    store
        .create(&Object::new(&"x".parse().unwrap()))
        .await
        .unwrap();
    let change = watch.next().await.unwrap();
    assert!(matches!(change, Some(Change::Written(_))));
}

/// A watch that has looked, but had no inotify instance.
async fn without_events(dir: &Path) -> (DirWatch, DirStore) {
    let store = DirStore::create(dir.join("locks")).unwrap();
    let scope = Scope::EachChange("x".parse().unwrap());
    let mut watch = store.watch(&scope, None).await.unwrap();
    watch.events = Events::Missing;
    watch.look().await.unwrap();
    (watch, store)
}
