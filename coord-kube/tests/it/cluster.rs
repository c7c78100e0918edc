//! The Kubernetes client with a real API server, which `cargo xtask test` starts.

use std::time::{Duration, SystemTime};

use apiserver::{Fault, Namespace, Proxy};
use coord_core::Errno;
use coord_kube::{Event, Rule};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, PostParams, WatchParams};
use serde_json::json;

use crate::kube::{connect, get};

fn is_x(object: &ConfigMap) -> bool {
    object.metadata.name.as_deref() == Some("x")
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

// Holds coord-kube-6.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_stranger_is_told_the_missing_rule() {
    let namespace = Namespace::new();
    let stranger = connect(&namespace.user("stranger", &[])).await;
    let error = get(&stranger, "x").await.unwrap_err();
    assert_eq!(error.errno(), Errno::EACCES);
    let begins = format!(
        r#"not allowed to get configmaps "x" in namespace "{0}": a Role in "{0}" must have the rule {{apiGroups: [""], resources: ["configmaps"], verbs: ["get"]}}: the server answered 403: "#,
        namespace.name()
    );
    assert!(error.to_string().starts_with(&begins), "{error}");
}

#[tokio::test]
#[ignore = "no cluster"]
async fn rights_are_told_one_by_one() {
    let namespace = Namespace::new();
    let user = namespace.user("reader", &[("configmaps", &["get", "list"])]);
    let cluster = connect(&user).await;
    let rules = ["get", "update", "list"].map(|verb| Rule::new(verb, "configmaps"));
    let access = cluster.access(&rules).await.unwrap();
    let allowed: Vec<bool> = access.iter().map(|access| access.allowed).collect();
    assert_eq!(allowed, [true, false, true]);
}

// Holds coord-kube-6.
#[tokio::test]
#[ignore = "no cluster"]
async fn errors_are_told_apart_by_their_errno() {
    let namespace = Namespace::new();
    let cluster =
        connect(&namespace.user("writer", &[("configmaps", &["get", "create", "update"])])).await;
    let api = cluster.api::<ConfigMap>();
    let params = PostParams::default();
    assert_eq!(get(&cluster, "x").await.unwrap_err().errno(), Errno::ENOENT);

    let object = config_map("x");
    let create = || {
        cluster.call(cluster.action("create", "configmaps").on("x"), || {
            api.create(&params, &object)
        })
    };
    let mut made = create().await.unwrap();
    assert_eq!(create().await.unwrap_err().errno(), Errno::EEXIST);

    let old = made.metadata.resource_version.clone();
    made.data = Some([("a".to_owned(), "b".to_owned())].into());
    let update = |object| {
        let api = &api;
        let (params, action) = (&params, cluster.action("update", "configmaps").on("x"));
        let cluster = &cluster;
        async move {
            cluster
                .call(action, || api.replace("x", params, object))
                .await
        }
    };
    let mut newer = update(&made).await.unwrap();
    newer.metadata.resource_version = old;
    newer.data = None;
    let conflict = update(&newer).await.unwrap_err();
    assert_eq!(
        (conflict.errno(), conflict.status()),
        (Errno::EAGAIN, Some(409))
    );

    let bad = config_map("Not A Name");
    let refused = cluster
        .call(cluster.action("create", "configmaps"), || {
            api.create(&params, &bad)
        })
        .await;
    assert_eq!(refused.unwrap_err().errno(), Errno::EINVAL);
}

/// Lists all names, page by page, and counts the requests for that.
async fn listed(namespace: &Namespace, proxy: &Proxy) -> (Vec<String>, usize) {
    let kubeconfig = proxy.kubeconfig(namespace.directory(), namespace.name());
    let cluster = connect(&kubeconfig).await;
    let (api, mut names) = (cluster.api::<ConfigMap>(), Vec::new());
    let page = |page: ListParams| {
        let api = api.clone();
        async move { api.list(&page).await }
    };
    let action = cluster.action("list", "configmaps");
    let take = |object: ConfigMap| names.extend(object.metadata.name);
    let all = ListParams::default();
    cluster.list(action, &all, page, take).await.unwrap();
    let lists = |seen: &apiserver::Seen| seen.path.contains("limit=");
    (names, proxy.seen().into_iter().filter(lists).count())
}

// Holds coord-kube-3.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_list_comes_in_pages_that_fit() {
    let namespace = Namespace::new();
    let cluster = connect(&namespace.user("writer", &[("configmaps", &["create"])])).await;
    let api = cluster.api::<ConfigMap>();
    let make = |name: String, text: String| {
        let (api, mut object) = (api.clone(), config_map(&name));
        object.data = Some([("text".to_owned(), text)].into());
        async move { api.create(&PostParams::default(), &object).await.unwrap() }
    };
    for number in 0..101 {
        make(format!("small-{number:03}"), String::new()).await;
    }
    let proxy = Proxy::start(&namespace.admin());
    let (names, requests) = listed(&namespace, &proxy).await;
    let small: Vec<String> = (0..101).map(|it| format!("small-{it:03}")).collect();
    assert_eq!((&names, requests), (&small, 2));

    // Ten of these are more than an answer may contain.
    let large: Vec<String> = (0..10).map(|it| format!("large-{it:03}")).collect();
    for name in &large {
        make(name.clone(), "x".repeat(1_000_000)).await;
    }
    let proxy = Proxy::start(&namespace.admin());
    let (names, requests) = listed(&namespace, &proxy).await;
    assert_eq!(names, [large, small].concat());
    assert!(requests > 3, "{requests}");
}

#[tokio::test]
#[ignore = "no cluster"]
async fn bad_credentials_are_eacces() {
    let namespace = Namespace::new();
    let config = apiserver::cluster::kubeconfig(
        &apiserver::cluster::url(namespace.directory()).unwrap(),
        &namespace.directory().join("ca.crt"),
        &json!({"token": "nobody's"}),
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    let error = get(&connect(file.path()).await, "x").await.unwrap_err();
    assert_eq!((error.errno(), error.status()), (Errno::EACCES, Some(401)));
    assert!(
        error
            .to_string()
            .contains("does not accept these credentials"),
        "{error}"
    );
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_certificate_of_somebody_else_is_refused() {
    let namespace = Namespace::new();
    let other = namespace.directory().join("server.crt");
    let url = apiserver::cluster::url(namespace.directory()).unwrap();
    let config = apiserver::cluster::kubeconfig(&url, &other, &json!({}));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    let error = get(&connect(file.path()).await, "x").await.unwrap_err();
    assert_eq!(error.errno(), Errno::EIO, "{error:?}");
}

// Holds coord-kube-8.
#[tokio::test]
#[ignore = "no cluster"]
async fn the_clock_is_the_servers() {
    let namespace = Namespace::new();
    let user = namespace.user("reader", &[("configmaps", &["get"])]);
    let proxy = Proxy::start(&user);
    let cluster = connect(&proxy.kubeconfig(namespace.directory(), namespace.name())).await;
    assert_eq!(cluster.clock().now(), None);
    for shift in [-3_600_i64, 3_600, 0] {
        proxy.shift_date(shift);
        // The answer to a request that fails has a date, too.
        get(&cluster, "x").await.unwrap_err();
        let local = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let told = cluster
            .clock()
            .now()
            .unwrap()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        #[allow(clippy::cast_precision_loss, reason = "an hour")]
        let behind = local + shift as f64 - told.as_secs_f64();
        assert!(
            (0.0..30.0).contains(&behind),
            "{behind} s behind, shifted by {shift}"
        );
    }
}

// Holds coord-kube-1.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_write_whose_answer_is_lost_may_have_been_done() {
    let namespace = Namespace::new();
    let proxy = Proxy::start(&namespace.admin());
    let cluster = connect(&proxy.kubeconfig(namespace.directory(), namespace.name())).await;
    proxy.next(1, |method, _| method == "POST", Fault::CutAnswer);
    let (api, params, object) = (
        cluster.api::<ConfigMap>(),
        PostParams::default(),
        config_map("x"),
    );
    let lost = cluster
        .call(cluster.action("create", "configmaps"), || {
            api.create(&params, &object)
        })
        .await;
    let lost = lost.unwrap_err();
    assert_eq!(lost.errno(), Errno::ECONNRESET, "{lost:?}");
    assert!(!lost.had_no_effect());
    assert!(get(&cluster, "x").await.is_ok());
    assert_eq!(
        proxy
            .seen()
            .iter()
            .filter(|seen| seen.method == "POST")
            .count(),
        1
    );
}

// Holds coord-kube-5.
#[tokio::test]
#[ignore = "no cluster"]
async fn a_watch_tells_what_happens_and_notices_silence() {
    let namespace = Namespace::new();
    let proxy = Proxy::start(&namespace.admin());
    let kubeconfig = proxy.kubeconfig(namespace.directory(), namespace.name());
    let cluster = connect(&kubeconfig)
        .await
        .with_timeout(Duration::from_secs(5));
    let api = cluster.api::<ConfigMap>();
    let only = WatchParams::default().fields("metadata.name=x");
    let action = cluster.action("watch", "configmaps").on("x");
    let mut watch = cluster
        .watch(&api, action.clone(), &only, None)
        .await
        .unwrap();
    api.create(&PostParams::default(), &config_map("y"))
        .await
        .unwrap();
    api.create(&PostParams::default(), &config_map("x"))
        .await
        .unwrap();
    let applied = watch.next().await.unwrap();
    assert!(
        matches!(&applied, Some(Event::Applied(object)) if is_x(object)),
        "{applied:?}"
    );
    api.delete("x", &DeleteParams::default()).await.unwrap();
    let deleted = watch.next().await.unwrap();
    assert!(
        matches!(&deleted, Some(Event::Deleted(object)) if is_x(object)),
        "{deleted:?}"
    );

    proxy.set(Fault::Silence);
    let error = cluster
        .watch(&api, action, &only, None)
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.errno(), Errno::ETIMEDOUT);
    proxy.set(Fault::None);
    proxy.cut_open_connections();
    // If the connection was closed in good order, the watch goes on.
    api.create(&PostParams::default(), &config_map("x"))
        .await
        .unwrap();
    let cut = watch.next().await;
    assert!(
        matches!(&cut, Ok(Some(Event::Applied(_))))
            || cut.as_ref().is_err_and(coord_kube::Error::is_transient),
        "{cut:?}"
    );
}

#[tokio::test]
#[ignore = "no cluster"]
async fn requests_are_counted_by_the_server() {
    let namespace = Namespace::new();
    let cluster = connect(&namespace.user("reader", &[("configmaps", &["get"])])).await;
    get(&cluster, "x").await.unwrap_err();
    let counted = || {
        let mut requests = namespace.requests();
        requests.retain(|request| request.user_agent == "coord-core-tests/0");
        requests
    };
    testkit::eventually("the request is in the audit log", || !counted().is_empty());
    let [request] = &counted()[..] else {
        panic!("{:?}", counted());
    };
    assert_eq!(
        (&*request.verb, &*request.name, request.status),
        ("get", "x", 404)
    );
}
