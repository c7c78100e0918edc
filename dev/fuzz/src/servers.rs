//! The answers of servers and proxies.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use coord_core::text::escaped;
use sipid::health::{Probe, Statuses};

use crate::{Target, kubeconfig, run};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "http-answer",
        corpus: &[
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.0 302 Found\r\nLocation: /x/../y?z#q\r\n\r\n",
            b"HTTP/1.1 200\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2;x\r\nok\r\n0\r\nA: b\r\n\r\n",
            b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 503 x\r\nRetry-After: 1\r\n folded\r\nConnection: close\r\n\r\n",
        ],
        cases: 60,
        holds: answers,
    },
    Target {
        name: "proxy-answer",
        corpus: &[
            b"hHTTP/1.1 200 OK\r\n\r\n",
            b"hHTTP/1.1 407 no\r\n\r\n",
            b"s\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50",
            b"s\x05\x02\x01\x00\x05\x05\x00\x03\x03abc\x00\x50",
        ],
        cases: 100,
        holds: tunnels,
    },
];

/// A server that sends the same to every client, and then closes the connection.
struct Server {
    says: Arc<Mutex<Vec<u8>>>,
    address: String,
}

impl Server {
    fn say(&self, bytes: &[u8]) {
        bytes.clone_into(&mut self.says.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Sends the answer to a connection, whatever the client asked for.
fn serve<S: Read + Write>(mut stream: S, says: &Mutex<Vec<u8>>) {
    let says = says.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let _ = stream.read(&mut [0; 1024]);
    let _ = stream.write_all(&says);
}

fn http_server() -> &'static Mutex<Server> {
    static SERVER: OnceLock<Mutex<Server>> = OnceLock::new();
    SERVER.get_or_init(|| {
        let directory = crate::directory().keep();
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path).expect("a socket");
        let says = Arc::new(Mutex::new(Vec::new()));
        let served = says.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &served);
            }
        });
        let address = path.to_string_lossy().into_owned();
        Mutex::new(Server { says, address })
    })
}

fn proxy_server() -> &'static Mutex<Server> {
    static SERVER: OnceLock<Mutex<Server>> = OnceLock::new();
    SERVER.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("an address").to_string();
        let says = Arc::new(Mutex::new(Vec::new()));
        let served = says.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &served);
            }
        });
        Mutex::new(Server { says, address })
    })
}

/// Any answer counts as healthy, or the error says why not, on one line without control characters.
fn answers(bytes: &[u8]) {
    let server = http_server().lock().unwrap_or_else(PoisonError::into_inner);
    server.say(bytes);
    let any: Statuses = (100..=599).into();
    let probe = Probe::new("http://me:secret@localhost/").expect("a URL");
    let probe = probe.unix_socket(&server.address).expect_status(any);
    let waited = probe.timeout(Duration::from_millis(3)).wait();
    if let Err(error) = waited {
        let text = error.to_string();
        assert_eq!(escaped(&text).to_string(), text);
        assert!(!text.contains("secret"), "{text}");
    }
}

/// Any answer of a proxy is an error, at once.
fn tunnels(bytes: &[u8]) {
    let Some((kind, says)) = bytes.split_first() else {
        return;
    };
    let server = proxy_server()
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    server.say(says);
    let scheme = if kind % 2 == 0 { "http" } else { "socks5" };
    let proxy = format!("{scheme}://me:secret@{}", server.address);
    let cluster = serde_json::json!({"server": "https://localhost:1", "insecure-skip-tls-verify": true, "proxy-url": proxy});
    let refused = run(async {
        let cluster = kubeconfig::connect(&kubeconfig::of(&cluster, &serde_json::json!({}))).await;
        let cluster = cluster
            .expect("a cluster")
            .with_timeout(Duration::from_secs(10));
        let action = cluster.action("get", "version");
        let version = || cluster.client().apiserver_version();
        cluster.call(action, version).await.map(drop)
    });
    let text = refused.expect_err("no server is there").to_string();
    assert!(!text.contains("secret"), "{text}");
}
