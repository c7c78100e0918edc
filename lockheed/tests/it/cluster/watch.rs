//! Watches that the server ends, cuts off or forgets, or on which it falls silent.

use std::time::{Duration, Instant};

use apiserver::{Fault, Proxy};
use coord_core::Errno;
use coord_kube::{ClientArgs, Cluster};
use lockheed::{
    KubeStore, Store,
    store::{Change, Object, Scope, Watch},
};

use super::{Place, name};

fn is_watch(_: &apiserver::Method, path: &str) -> bool {
    path.contains("watch=true")
}

async fn make(store: &KubeStore, of: &str) -> Object {
    let mut new = Object::new(&name(of));
    new.data.insert("lock".to_owned(), "{}".to_owned());
    store.create(&new).await.unwrap()
}

async fn change(store: &KubeStore, object: &Object, to: &str) -> Object {
    let mut changed = object.clone();
    changed.data.insert("to".to_owned(), to.to_owned());
    store.update(&changed).await.unwrap()
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_watch_that_is_cut_goes_on_where_it_was() {
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    let (direct, store) = (place.store().await, place.behind(&proxy).await);
    let object = make(&direct, "x").await;
    for scope in [Scope::Lock(name("x")), Scope::All] {
        let object = direct.get(&object.name).await.unwrap();
        let mut watch = store.watch(&scope, Some(&object.version)).await.unwrap();
        let first = change(&direct, &object, "first").await;
        assert_eq!(
            watch.next().await.unwrap(),
            Some(Change::Written(first.clone()))
        );
        proxy.cut_open_connections();
        let second = change(&direct, &first, "second").await;
        let third = change(&direct, &second, "third").await;
        assert_eq!(watch.next().await.unwrap(), Some(Change::Written(second)));
        assert_eq!(watch.next().await.unwrap(), Some(Change::Written(third)));
    }
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_version_that_the_server_has_forgotten_ends_the_watch() {
    const GONE: &str =
        r#"{"kind":"Status","status":"Failure","code":410,"reason":"Expired","message":"too old"}"#;
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    let store = place.behind(&proxy).await;
    let object = make(&store, "x").await;
    let in_stream = format!("{{\"type\":\"ERROR\",\"object\":{GONE}}}\n");
    for fault in [
        Fault::Answer(410, None, GONE.to_owned()),
        Fault::Answer(200, None, in_stream),
    ] {
        proxy.next(1, is_watch, fault);
        let scope = Scope::Lock(name("x"));
        let mut watch = store.watch(&scope, Some(&object.version)).await.unwrap();
        assert_eq!(watch.next().await.unwrap(), None);
        assert_eq!(watch.next().await.unwrap(), None);
    }
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_lock_behind_a_watch_that_the_server_forgets_is_still_handed_on() {
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    let held = super::lock(place.store().await, "x", "us")
        .acquire()
        .await
        .unwrap();
    let gone = Fault::Answer(410, None, String::new());
    proxy.next(2, is_watch, gone);
    let store = place.behind(&proxy).await;
    let waiting = tokio::spawn(async move { super::lock(store, "x", "other").acquire().await });
    let watches = || {
        proxy
            .seen()
            .iter()
            .filter(|seen| is_watch(&seen.method, &seen.path))
            .count()
    };
    while watches() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    held.release().await.unwrap();
    waiting.await.unwrap().unwrap().release().await.unwrap();
}

// Holds lockheed-7, coord-kube-5.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_watch_that_falls_silent_is_an_error() {
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    let args = ClientArgs {
        kubeconfig: Some(proxy.kubeconfig(place.namespace.directory(), place.namespace.name())),
        ..ClientArgs::default()
    };
    let cluster = Cluster::connect(&args, "lockheed-tests/0").await.unwrap();
    let store = KubeStore::of(cluster.with_timeout(Duration::from_secs(1)));
    let mut watch = store.watch(&Scope::All, None).await.unwrap();
    proxy.set(Fault::Silence);
    let begun = Instant::now();
    let error = loop {
        match watch.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.errno(), Errno::ETIMEDOUT, "{error}");
    assert!(begun.elapsed() >= Duration::from_secs(30));
}
