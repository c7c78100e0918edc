//! Watches that a server or a proxy ends early.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ::kube::api::WatchParams;
use k8s_openapi::api::core::v1::ConfigMap;

use crate::kube::{connect_to, server};

/// A proxy that does not know watches does this: each watch ends with nothing, or with the last
/// event again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_that_the_server_ends_at_once_are_begun_more_and_more_slowly() {
    const EVENT: &str = r#"{"type":"MODIFIED","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","resourceVersion":"7"}}}"#;
    for body in ["", EVENT] {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let url = server(move |mut connection| {
            count.fetch_add(1, Ordering::Relaxed);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = connection.write_all((head + body).as_bytes());
        });
        let cluster = connect_to(&url).await;
        let (api, action) = (
            cluster.api::<ConfigMap>(),
            cluster.action("watch", "configmaps"),
        );
        let all = WatchParams::default();
        let mut watch = cluster.watch(&api, action, &all, Some("7")).await.unwrap();
        let events = async { while watch.next().await.unwrap().is_some() {} };
        let forever = tokio::time::timeout(Duration::from_secs(2), events).await;
        assert!(forever.is_err(), "{body:?}: the watch is over");
        let asked = asked.load(Ordering::Relaxed);
        assert!(
            (1..=10).contains(&asked),
            "{body:?}: {asked} requests in two seconds"
        );
    }
}
