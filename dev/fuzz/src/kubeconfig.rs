//! Kubeconfigs, and the credentials that they lead to.

use std::fs;

use coord_core::Errno;
use coord_kube::{ClientArgs, Cluster, Error};
use serde_json::{Value, json};

use crate::{Target, directory, run, text_of};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "kubeconfig",
        corpus: &[
            br#"{"current-context":"c","clusters":[{"name":"c","cluster":{"server":"https://a:1","certificate-authority-data":"LS0t"}}],"contexts":[{"name":"c","context":{"cluster":"c","user":"u","namespace":"n"}}],"users":[{"name":"u","user":{"username":"a","password":"secret","as-groups":["g"]}}]}"#,
            b"current-context: c\nclusters:\n- name: c\n  cluster: {server: 'http://[::1]:80', insecure-skip-tls-verify: true}\ncontexts:\n- {name: c, context: {cluster: c}}\n",
            b"\xef\xbb\xbfapiVersion: v1\nclusters: &a [*a]\n---\nkind: Config\n",
            b"clusters: null\ncontexts: {}\n",
        ],
        cases: 200,
        holds: kubeconfigs,
    },
    Target {
        name: "proxy-url",
        corpus: &[
            b"http://me:secret@[::1]:3128/",
            b"socks5h://u%40:%zz@h",
            b"https://h:99999",
            b"\"ttp://me:secret@[::1]:3128/",
            b"h",
        ],
        cases: 200,
        holds: proxy_urls,
    },
    Target {
        name: "token",
        corpus: &[b"secret.e30.x\n", b" a b ", b"\xff", b""],
        cases: 200,
        holds: tokens,
    },
    Target {
        name: "exec-credential",
        corpus: &[
            br#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"secret","expirationTimestamp":"2030-01-02T03:04:05Z"}}"#,
            b"apiVersion: client.authentication.k8s.io/v1\nkind: ExecCredential\nstatus: {token: secret}\n",
            br#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"clientCertificateData":"secret","clientKeyData":"secret"}}"#,
            br#"{"kind":"ExecCredential","status":null}"#,
        ],
        cases: 40,
        holds: exec_credentials,
    },
];

/// A kubeconfig with one cluster and one user.
pub(crate) fn of(cluster: &Value, user: &Value) -> Vec<u8> {
    let config = json!({"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": user}]});
    config.to_string().into_bytes()
}

pub(crate) async fn connect(kubeconfig: &[u8]) -> Result<Cluster, Error> {
    let directory = directory();
    let path = directory.path().join("config");
    fs::write(&path, kubeconfig).expect("a file");
    let args = ClientArgs {
        kubeconfig: Some(path),
        ..ClientArgs::default()
    };
    Cluster::connect(&args, "fuzz/0").await
}

/// A server whose certificate is not verified: it takes long to read the machine's certificates.
fn server() -> Value {
    json!({"server": "https://h", "insecure-skip-tls-verify": true})
}

/// A kubeconfig names a cluster, or the error says what is wrong, and no password. If it is not
/// JSON, what looks like a password may be part of a value that is named, unless it is not YAML,
/// either.
fn kubeconfigs(bytes: &[u8]) {
    if let Err(error) = run(connect(bytes)) {
        let known = [Errno::EINVAL, Errno::ENOENT, Errno::EISDIR, Errno::ENOTDIR];
        assert!(known.contains(&error.errno()), "{error}: {}", error.errno());
        let text = text_of(bytes);
        let error = error.to_string();
        let is_password = match serde_json::from_slice(bytes) {
            Ok(config) => is_password(&config) && text.matches("secret").count() == 1,
            Err(_) => error.contains("not YAML"),
        };
        assert!(!(is_password && error.contains("secret")), "{error}");
    }
}

/// Whether a password in it is `secret`.
fn is_password(config: &Value) -> bool {
    match config {
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name == "password" && value == "secret" || is_password(value)),
        Value::Array(values) => values.iter().any(is_password),
        _ => false,
    }
}

fn proxy_urls(bytes: &[u8]) {
    let text = text_of(bytes);
    let mut cluster = server();
    cluster["proxy-url"] = text.clone().into();
    if let Err(error) = run(connect(&of(&cluster, &json!({})))) {
        assert_eq!(error.errno(), Errno::EINVAL);
        let is_told = error.to_string().contains("secret");
        assert!(!(has_password(&text) && is_told), "{error}");
    }
}

/// Whether the secret is where a URL has its password, even if the text is not a URL.
pub(crate) fn has_password(text: &str) -> bool {
    let parts = text.split_once("://");
    let is_password =
        parts.is_some_and(|(scheme, rest)| !scheme.contains(':') && rest.starts_with("me:secret@"));
    is_password && text.matches("secret").count() == 1
}

fn tokens(bytes: &[u8]) {
    let directory = directory();
    let path = directory.path().join("token");
    fs::write(&path, bytes).expect("a file");
    let user = json!({"tokenFile": path});
    if let Err(error) = run(connect(&of(&server(), &user))) {
        assert_eq!(error.errno(), Errno::EINVAL);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

/// No error contains what a plugin prints.
fn exec_credentials(bytes: &[u8]) {
    let directory = directory();
    let printed = directory.path().join("printed");
    fs::write(&printed, bytes).expect("a file");
    let user = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "cat",
        "args": [printed], "interactiveMode": "Never"}});
    let logged_in = run(async {
        let cluster = connect(&of(&server(), &user)).await;
        cluster.expect("a cluster").log_in().await
    });
    if let Err(error) = logged_in {
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
