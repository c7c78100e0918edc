//! How many connections there are, and what happens to requests when one is lost.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use apiserver::{Front, Namespace};
use coord_core::Errno;
use coord_kube::Cluster;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{PostParams, WatchParams};
use serde_json::json;

use crate::{
    kube::{connect, get},
    tls_server::{self, TlsServer},
};

pub(crate) fn api_server(directory: &Path) -> std::net::SocketAddr {
    let url = apiserver::cluster::url(directory).unwrap();
    url.strip_prefix("https://").unwrap().parse().unwrap()
}

const ALL: &[(&str, &[&str])] = &[("configmaps", &["get", "list", "watch", "create", "update"])];

async fn watch(cluster: &Cluster) -> coord_kube::Watch<ConfigMap> {
    let (api, action) = (cluster.api(), cluster.action("watch", "configmaps"));
    let all = WatchParams::default();
    cluster.watch(&api, action, &all, None).await.unwrap()
}

async fn create(cluster: &Cluster, name: &str) -> Result<ConfigMap, coord_kube::Error> {
    let object = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    let (api, params) = (cluster.api::<ConfigMap>(), PostParams::default());
    let action = cluster.action("create", "configmaps").on(name);
    cluster.call(action, || api.create(&params, &object)).await
}

#[tokio::test]
#[ignore = "no cluster"]
async fn watches_reads_and_writes_share_one_connection() {
    let namespace = Namespace::new();
    let front = Front::before(&namespace);
    let cluster = connect(&front.kubeconfig(&namespace.user("u", ALL))).await;
    let at_once = ["a", "b", "c", "d"].map(|name| get(&cluster, name));
    for answer in futures::future::join_all(at_once).await {
        assert_eq!(answer.unwrap_err().errno(), Errno::ENOENT);
    }
    let watches = futures::future::join(watch(&cluster), watch(&cluster)).await;
    create(&cluster, "a").await.unwrap();
    get(&cluster, "a").await.unwrap();
    assert_eq!(front.accepted(), 1);
    drop(watches);
    // A watch that the client drops is no reason to doubt the connection.
    get(&cluster, "a").await.unwrap();
    assert_eq!((front.accepted(), front.open()), (1, 1));
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_connection_that_was_cut_is_replaced() {
    let namespace = Namespace::new();
    let front = Front::before(&namespace);
    let cluster = connect(&front.kubeconfig(&namespace.user("u", ALL))).await;
    create(&cluster, "a").await.unwrap();
    for cuts in 1..=3 {
        front.cut();
        // A request that is sent at this very moment may be lost with the connection.
        if let Err(error) = get(&cluster, "a").await {
            assert_eq!(error.errno(), Errno::ECONNRESET, "{error:?}");
            assert!(error.is_transient() && !error.had_no_effect());
            get(&cluster, "a").await.unwrap();
        }
        assert_eq!(front.accepted(), 1 + cuts);
    }
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_dead_peer_is_noticed_by_the_next_request_and_by_a_watch() {
    let namespace = Namespace::new();
    let front = Front::before(&namespace);
    let cluster = connect(&front.kubeconfig(&namespace.user("u", ALL))).await;
    let patient = cluster.clone().with_timeout(Duration::from_secs(600));
    let hasty = cluster.with_timeout(Duration::from_secs(1));
    let mut watch = watch(&patient).await;
    front.stall();
    let lost = get(&hasty, "a").await.unwrap_err();
    assert_eq!(lost.errno(), Errno::ETIMEDOUT);
    let found = get(&hasty.with_timeout(Duration::from_secs(60)), "a").await;
    assert_eq!(found.unwrap_err().errno(), Errno::ENOENT);
    assert_eq!(front.accepted(), 2);

    // Without the other request, the watch would wait for ten minutes.
    let begun = Instant::now();
    let error = loop {
        match watch.next().await {
            Ok(event) => assert!(event.is_some(), "it ended as if all were well"),
            Err(error) => break error,
        }
    };
    assert!(error.is_transient(), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(300));
}

// Holds coord-kube-1.
#[tokio::test]
async fn a_server_that_sends_its_clients_away_loses_no_request() {
    let directory = tempfile::tempdir().unwrap();
    tls_server::certificate(directory.path(), "server");
    let server = TlsServer::start(directory.path(), "server", |served, mut respond| {
        tls_server::answer(&mut respond, 404);
        // Every third request is the last one on its connection.
        served % 3 == 2
    });
    let cluster = connect(&server.kubeconfig(directory.path(), &json!({}))).await;
    for _ in 0..30 {
        let error = get(&cluster, "x").await.unwrap_err();
        assert_eq!(error.errno(), Errno::ENOENT, "{error:?}");
    }
    assert!(
        (10..=16).contains(&server.accepted()),
        "{}",
        server.accepted()
    );
}

// Holds coord-kube-1.
#[tokio::test]
async fn only_what_the_server_has_not_looked_at_is_sent_again() {
    for (reason, sent, errno) in [
        (h2::Reason::REFUSED_STREAM, 2, Errno::ENOENT),
        (h2::Reason::INTERNAL_ERROR, 1, Errno::ECONNRESET),
        (h2::Reason::CANCEL, 1, Errno::ECONNRESET),
    ] {
        let directory = tempfile::tempdir().unwrap();
        tls_server::certificate(directory.path(), "server");
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let server = TlsServer::start(directory.path(), "server", move |_, mut respond| {
            match counted.fetch_add(1, Ordering::SeqCst) {
                0 => respond.send_reset(reason),
                _ => tls_server::answer(&mut respond, 404),
            }
            false
        });
        let cluster = connect(&server.kubeconfig(directory.path(), &json!({}))).await;
        let error = create(&cluster, "x").await.unwrap_err();
        assert_eq!(error.errno(), errno, "{reason:?}: {error:?}");
        assert_eq!(count.load(Ordering::SeqCst), sent, "{reason:?}");
    }
}

/// This test runs again in a mount namespace, with an `/etc/hosts` of its own.
#[tokio::test]
#[ignore = "no cluster"]
async fn the_second_address_is_used_when_the_first_is_silent() {
    const MARKER: &str = "COORD_KUBE_TWO_ADDRESSES";
    if let Some(kubeconfig) = std::env::var_os(MARKER) {
        let cluster = connect(Path::new(&kubeconfig)).await;
        let cluster = cluster.with_timeout(Duration::from_secs(20));
        let error = get(&cluster, "x").await.unwrap_err();
        assert_eq!(error.errno(), Errno::ENOENT, "{error:?}");
        return;
    }
    let namespace = Namespace::new();
    let to = api_server(namespace.directory());
    let front = Front::on("127.0.0.2:0".parse().unwrap(), to);
    // It lets clients connect, and never answers.
    let silent = std::net::TcpListener::bind(("127.0.0.3", front.address().port()));
    let _silent = silent.unwrap();
    let kubeconfig = front.kubeconfig(&namespace.user("u", ALL));
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cluster = &mut config["clusters"][0]["cluster"];
    cluster["server"] = format!("https://two.test:{}", front.address().port()).into();
    cluster["tls-server-name"] = "localhost".into();
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let hosts = directory.path().join("hosts");
    for first in ["127.0.0.2", "127.0.0.3"] {
        let second = if first == "127.0.0.2" {
            "127.0.0.3"
        } else {
            "127.0.0.2"
        };
        std::fs::write(&hosts, format!("{first} two.test\n{second} two.test\n")).unwrap();
        let mut again = Command::new("unshare");
        again
            .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
            .arg("mount --bind \"$1\" /etc/hosts && exec \"$0\" --include-ignored --exact \"$2\"")
            .arg(std::env::current_exe().unwrap())
            .arg(&hosts)
            .arg("connections::the_second_address_is_used_when_the_first_is_silent")
            .env(MARKER, &kubeconfig);
        let (status, said, errors) = testkit::process::outcome(&mut again);
        assert_eq!(status, 0, "{first}: {said}{errors}");
        assert!(said.contains("1 passed"), "{said}");
    }
}
