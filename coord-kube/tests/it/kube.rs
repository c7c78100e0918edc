//! The Kubernetes client with servers that misbehave.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use coord_core::Errno;
use coord_kube::{ClientArgs, Cluster, Error};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::WatchParams;
use serde_json::json;

/// A client that uses this kubeconfig.
pub(crate) async fn connect(kubeconfig: &Path) -> Cluster {
    let args = ClientArgs {
        kubeconfig: Some(kubeconfig.to_owned()),
        ..ClientArgs::default()
    };
    Cluster::connect(&args, "coord-core-tests/0").await.unwrap()
}

pub(crate) async fn get(cluster: &Cluster, name: &str) -> Result<ConfigMap, Error> {
    let api = cluster.api::<ConfigMap>();
    let action = cluster.action("get", "configmaps").on(name);
    cluster.call(action, || api.get(name)).await
}

/// A client for the server at this address.
pub(crate) async fn connect_to(server: &str) -> Cluster {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = json!({"current-context": "c", "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "namespace": "ns"}}]});
    std::fs::write(file.path(), config.to_string()).unwrap();
    connect(file.path()).await
}

async fn get_from(server: &str) -> Error {
    let cluster = connect_to(server).await;
    let cluster = cluster.with_timeout(Duration::from_millis(700));
    get(&cluster, "x").await.unwrap_err()
}

/// Starts a server that reads the head of a request on each connection, and then calls `then`.
/// Returns its URL.
pub(crate) fn server(then: impl Fn(TcpStream) + Send + 'static) -> String {
    server_by_path(move |connection, _| then(connection))
}

/// The same, with the request's path.
fn server_by_path(then: impl Fn(TcpStream, &str) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if connection.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                head.extend(byte);
            }
            let head = String::from_utf8(head).unwrap();
            then(connection, head.split(' ').nth(1).unwrap_or_default());
        }
    });
    format!("http://{address}")
}

fn answering(head: &'static str, body: &'static str) -> String {
    server(move |mut connection| {
        let length = body.len();
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}");
        connection.write_all(answer.as_bytes()).unwrap();
    })
}

#[tokio::test]
async fn nobody_there_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for scheme in ["http", "https"] {
        let error = get_from(&format!("{scheme}://{address}")).await;
        assert_eq!(error.errno(), Errno::ECONNREFUSED, "{error:?}");
        assert!(error.had_no_effect() && error.is_transient());
        assert_eq!(
            error.to_string(),
            r#"cannot get configmaps "x" in namespace "ns""#
        );
    }
}

// Holds coord-kube-5.
#[tokio::test]
async fn a_silent_server_ends_with_the_deadline() {
    let silent = server(|connection| {
        thread::sleep(Duration::from_secs(600));
        drop(connection);
    });
    let begun = Instant::now();
    let error = get_from(&silent).await;
    assert_eq!(error.errno(), Errno::ETIMEDOUT, "{error:?}");
    assert!(!error.had_no_effect());
    assert!(
        error.to_string().ends_with("no answer within 700ms"),
        "{error}"
    );
    assert!(begun.elapsed() >= Duration::from_millis(700));
}

// Holds coord-kube-5.
#[tokio::test]
async fn half_an_answer_ends_with_the_deadline_too() {
    let half = server(|mut connection| {
        connection
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            .unwrap();
        thread::sleep(Duration::from_secs(600));
    });
    assert_eq!(get_from(&half).await.errno(), Errno::ETIMEDOUT);
}

#[tokio::test]
async fn a_connection_that_is_cut_may_have_done_it() {
    let error = get_from(&server(drop)).await;
    assert_eq!(error.errno(), Errno::ECONNRESET, "{error:?}");
    assert!(error.is_transient() && !error.had_no_effect());
    let in_the_middle = server(|mut connection| {
        connection
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            .unwrap();
    });
    let error = get_from(&in_the_middle).await;
    assert_eq!(error.errno(), Errno::ECONNRESET, "{error:?}");
}

#[tokio::test]
async fn what_is_no_answer_of_an_api_server_is_eio_with_its_text() {
    let page = answering("502 Bad Gateway", "<html>not me</html>");
    let error = get_from(&page).await;
    assert_eq!((error.errno(), error.status()), (Errno::EIO, Some(502)));
    assert!(
        error.to_string().contains("502: <html>not me</html>"),
        "{error}"
    );
    let no_json = get_from(&answering("200 OK", "hello")).await;
    assert_eq!(no_json.errno(), Errno::EIO);
    let no_http = server(|mut connection| connection.write_all(b"SSH-2.0-x\r\n\r\n").unwrap());
    assert_eq!(get_from(&no_http).await.errno(), Errno::EIO);
    // The server speaks HTTP where the client expects TLS.
    let no_tls = get_from(&page.replace("http:", "https:")).await;
    assert!(
        [Errno::EIO, Errno::ETIMEDOUT].contains(&no_tls.errno()),
        "{no_tls:?}"
    );
}

#[tokio::test]
async fn a_wish_to_be_left_alone_is_passed_on() {
    let busy = answering(
        "429 Too Many Requests\r\nRetry-After: 7",
        "Too many requests, please try again later.",
    );
    let error = get_from(&busy).await;
    assert_eq!(
        (error.errno(), error.retry_after()),
        (Errno::EAGAIN, Some(Duration::from_secs(7)))
    );
    assert!(
        error.to_string().contains("429: Too many requests, please"),
        "{error}"
    );
    let status =
        r#"{"kind":"Status","code":503,"reason":"ServiceUnavailable","message":"starting"}"#;
    let error = get_from(&answering(
        "503 Service Unavailable\r\nRetry-After: 1",
        status,
    ))
    .await;
    assert_eq!(
        (error.errno(), error.retry_after()),
        (Errno::EAGAIN, Some(Duration::from_secs(1)))
    );
    assert!(error.to_string().ends_with("503: starting"), "{error}");
    let error = get_from(&answering("429 Too Many Requests", "")).await;
    assert_eq!((error.errno(), error.retry_after()), (Errno::EAGAIN, None));
}

/// Load balancers write JSON, too, and gateways have status codes of their own.
// Holds coord-kube-4.
#[tokio::test]
async fn the_http_status_counts_when_the_body_has_none() {
    let bodies = [
        r#"{"error":"upstream unavailable"}"#,
        r#"{"code":14,"message":"upstream unavailable"}"#,
        r#"{"kind":"Status","message":"upstream unavailable"}"#,
        r#"{"kind":"Status","code":200,"message":"upstream unavailable"}"#,
        r#""upstream unavailable""#,
        "[]",
        "",
    ];
    let codes = [
        ("429 Too Many Requests", Errno::EAGAIN),
        ("502 Bad Gateway", Errno::EIO),
        ("503 Service Unavailable", Errno::EAGAIN),
        ("504 Gateway Timeout", Errno::ETIMEDOUT),
        ("520 Web Server Returned an Unknown Error", Errno::EIO),
    ];
    for body in bodies {
        for (head, errno) in codes {
            let error = get_from(&answering(head, body)).await;
            let code: u16 = head[..3].parse().unwrap();
            assert_eq!(
                (error.errno(), error.status()),
                (errno, Some(code)),
                "{body}"
            );
            assert!(error.is_transient(), "{head} {body}");
            let text = error.to_string();
            assert!(text.contains(&format!("answered {code}")), "{text}");
            assert_eq!(
                text.contains("unavailable"),
                body.contains("unavailable"),
                "{text}"
            );
        }
    }
    let gone = answering("410 Gone", r#"{"error":"upstream unavailable"}"#);
    assert_eq!(get_from(&gone).await.errno(), Errno::ESTALE);
}

/// Sends the head, and then `piece` again and again until nobody reads any more. The channel then
/// has the number of bytes.
fn endless(head: &'static str, piece: &'static [u8]) -> (String, std::sync::mpsc::Receiver<usize>) {
    let (told, written) = std::sync::mpsc::channel();
    let url = server(move |mut connection| {
        connection.write_all(head.as_bytes()).unwrap();
        let mut length = 0;
        while connection.write_all(piece).is_ok() && length < 1 << 30 {
            length += piece.len();
        }
        let _ = told.send(length);
    });
    (url, written)
}

// Holds coord-kube-3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_end_is_cut_off() {
    let piece = &[b' '; 1 << 16];
    let (url, written) = endless("HTTP/1.1 200 OK\r\n\r\n", piece);
    let cluster = connect_to(&url).await;
    let error = get(&cluster, "x").await.unwrap_err();
    assert_eq!(error.errno(), Errno::EIO, "{error:?}");
    let text = coord_core::errno::with_sources(&error);
    assert!(text.contains("the answer is longer than 8 MiB"), "{text}");
    assert!(error.is_transient() && !error.had_no_effect());
    drop(cluster);
    assert!(written.recv().unwrap() < 64 << 20);

    // The same with an error: its status counts.
    let (url, written) = endless("HTTP/1.1 503 Service Unavailable\r\n\r\n", piece);
    let cluster = connect_to(&url).await;
    let error = get(&cluster, "x").await.unwrap_err();
    assert_eq!((error.errno(), error.status()), (Errno::EAGAIN, Some(503)));
    drop(cluster);
    assert!(written.recv().unwrap() < 64 << 20);
}

// Holds coord-kube-3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_line_without_end_is_cut_off_and_many_short_ones_are_not() {
    let watched = |url: String| async move {
        let cluster = connect_to(&url).await;
        let api = cluster.api::<ConfigMap>();
        let action = cluster.action("watch", "configmaps");
        let all = WatchParams::default();
        cluster.watch(&api, action, &all, None).await.unwrap()
    };
    let (url, written) = endless("HTTP/1.1 200 OK\r\n\r\n", &[b'{'; 1 << 16]);
    let mut watch = watched(url).await;
    let error = watch.next().await.unwrap_err();
    assert_eq!(error.errno(), Errno::EIO, "{error:?}");
    let text = coord_core::errno::with_sources(&error);
    assert!(
        text.contains("the line of the watch is longer than 8 MiB"),
        "{text}"
    );
    drop(watch);
    assert!(written.recv().unwrap() < 64 << 20);

    let event = br#"{"type":"MODIFIED","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","resourceVersion":"7"}}}
"#;
    let (url, _) = endless("HTTP/1.1 200 OK\r\n\r\n", event);
    let mut watch = watched(url).await;
    for _ in 0..(10 << 20) / event.len() {
        watch.next().await.unwrap().unwrap();
    }
}

// Holds coord-kube-1.
#[tokio::test]
async fn nothing_is_sent_twice() {
    let (count, counted) = std::sync::mpsc::channel();
    let busy = server(move |mut connection| {
        count.send(()).unwrap();
        connection
            .write_all(b"HTTP/1.1 429 x\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    });
    assert_eq!(get_from(&busy).await.errno(), Errno::EAGAIN);
    assert_eq!(counted.try_iter().count(), 1);
}

/// An API server does this while it has not yet read who may do what.
// Holds coord-kube-1.
#[tokio::test]
async fn a_server_that_has_just_started_is_not_believed_to_refuse() {
    let answer = |mut connection: TcpStream, status: &str, body: &str| {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        connection.write_all(text.as_bytes()).unwrap();
    };
    let starting = server_by_path(move |connection, path| match path {
        "/readyz" => answer(connection, "500 Internal Server Error", "[-]rbac failed"),
        _ => answer(connection, "403 Forbidden", "cannot yet"),
    });
    let error = get_from(&starting).await;
    assert_eq!((error.errno(), error.status()), (Errno::EAGAIN, Some(403)));
    assert!(error.is_transient() && error.had_no_effect());
    assert!(
        error.to_string().contains("the server is not ready"),
        "{error}"
    );

    // Nobody says whether the server is ready. So the error names both causes, and the status of
    // the refusal counts.
    for readyz in ["403 Forbidden", "404 Not Found", "502 Bad Gateway"] {
        let silent = server_by_path(move |connection, path| match path {
            "/readyz" => answer(connection, readyz, "not here"),
            _ => answer(connection, "403 Forbidden", "u cannot get"),
        });
        let error = get_from(&silent).await;
        assert_eq!((error.errno(), error.status()), (Errno::EACCES, Some(403)));
        assert!(error.is_transient() && error.had_no_effect());
        let text = error.to_string();
        assert!(text.contains("must have the rule"), "{text}");
        let code = &readyz[..3];
        assert!(
            text.ends_with(&format!(
                "or the server is still starting, and /readyz does not tell ({code})"
            )),
            "{text}"
        );
    }

    // The server is ready by the time it is asked. The request is repeated, and its second answer
    // counts.
    let asked = std::sync::atomic::AtomicBool::new(false);
    let ready = server_by_path(move |connection, path| match path {
        "/readyz" => answer(connection, "200 OK", "ok"),
        _ if asked.swap(true, std::sync::atomic::Ordering::Relaxed) => {
            answer(connection, "404 Not Found", "none");
        }
        _ => answer(connection, "403 Forbidden", "cannot yet"),
    });
    assert_eq!(get_from(&ready).await.errno(), Errno::ENOENT);

    let refusing = server_by_path(move |connection, path| match path {
        "/readyz" => answer(connection, "200 OK", "ok"),
        _ => answer(connection, "403 Forbidden", "u cannot get"),
    });
    let error = get_from(&refusing).await;
    assert_eq!(error.errno(), Errno::EACCES);
    assert!(error.to_string().contains("must have the rule"), "{error}");
}
