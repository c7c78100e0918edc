//! Proxies between the client and a real API server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use apiserver::{Namespace, Tunnel};
use coord_core::{Errno, errno::with_sources};
use coord_kube::{ClientArgs, Cluster};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    connections::api_server,
    kube::{connect, get},
};

/// A kubeconfig that names the API server by a name that only a proxy knows.
struct Place {
    namespace: Namespace,
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            namespace: Namespace::new(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn tunnel(&self, user: Option<&str>) -> Tunnel {
        Tunnel::to(api_server(self.namespace.directory()), user)
    }

    fn kubeconfig(&self, proxy_url: Option<&str>) -> PathBuf {
        let text = fs::read_to_string(self.namespace.admin()).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        let cluster = &mut config["clusters"][0]["cluster"];
        cluster["server"] = json!("https://api.test:6443");
        cluster["tls-server-name"] = json!("localhost");
        if let Some(url) = proxy_url {
            cluster["proxy-url"] = json!(url);
        }
        let path = self.directory.path().join("kubeconfig");
        fs::write(&path, config.to_string()).unwrap();
        path
    }
}

async fn told(kubeconfig: &Path) -> (Errno, String) {
    let error = get(&connect(kubeconfig).await, "x").await.unwrap_err();
    (error.errno(), with_sources(&error))
}

#[tokio::test]
#[ignore = "no cluster"]
async fn the_kubeconfigs_proxy_leads_to_the_server() {
    let place = Place::new();
    for scheme in ["http", "socks5"] {
        for user in [None, Some("me:pa@ss:word")] {
            let tunnel = place.tunnel(user);
            let login = user.map_or("", |_| "me:pa%40ss%3Aword@");
            let url = format!("{scheme}://{login}{}", tunnel.address());
            let (errno, text) = told(&place.kubeconfig(Some(&url))).await;
            assert_eq!(errno, Errno::ENOENT, "{url}: {text}");
            assert_eq!(tunnel.asked(), ["api.test:6443"], "{url}");
        }
    }
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_proxy_that_does_not_lead_there_says_why() {
    let place = Place::new();
    let tunnel = place.tunnel(Some("me:hunter2"));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = nobody.local_addr().unwrap();
    drop(nobody);
    let at = tunnel.address();
    for (url, expected) in [
        (format!("http://{at}"), "wants a user and a password (407)"),
        (
            format!("http://me:hunter3@{at}"),
            "wants a user and a password (407)",
        ),
        (format!("socks5://{at}"), "wants a user and a password"),
        (
            format!("socks5://me:hunter3@{at}"),
            "does not accept the user",
        ),
        (format!("http://me:hunter3@{gone}"), "Connection refused"),
    ] {
        let error = get(&connect(&place.kubeconfig(Some(&url))).await, "x").await;
        let error = error.unwrap_err();
        let text = with_sources(&error);
        assert!(error.is_transient() && error.had_no_effect(), "{error:?}");
        assert!(text.contains(expected), "{url}: {text}");
        assert!(
            text.contains(&format!(
                "the proxy {}://127.0.0.1:",
                &url[..url.find(':').unwrap()]
            )),
            "{text}"
        );
        assert!(!text.contains("hunter"), "{text}");
    }
}

#[tokio::test]
async fn a_proxy_url_that_is_none_is_told_without_its_password() {
    let directory = tempfile::tempdir().unwrap();
    for url in [
        "htp://me:hunter2@x",
        "me:hunter2@x",
        "http://me:hunter2@x:port",
        "http://me:hunt er2@x",
    ] {
        let config = json!({"current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "proxy-url": url}}],
            "contexts": [{"name": "c", "context": {"cluster": "c"}}]});
        let path = directory.path().join("kubeconfig");
        fs::write(&path, config.to_string()).unwrap();
        let args = ClientArgs {
            kubeconfig: Some(path),
            ..ClientArgs::default()
        };
        let error = Cluster::connect(&args, "t/0").await.map(drop).unwrap_err();
        let text = with_sources(&error);
        assert_eq!(error.errno(), Errno::EINVAL);
        assert!(text.starts_with("cannot use proxy-url \""), "{text}");
        assert!(
            !text.contains("hunt") && !format!("{error:?}").contains("hunt"),
            "{text}"
        );
    }
}

/// Each case runs in a process of its own, because a process has one environment.
#[tokio::test]
#[ignore = "no cluster"]
async fn the_environments_proxy_is_used_for_servers_that_no_proxy_does_not_name() {
    const MARKER: &str = "COORD_KUBE_PROXIES";
    if let Some(kubeconfig) = std::env::var_os(MARKER) {
        println!("told: {:?}", told(Path::new(&kubeconfig)).await);
        return;
    }
    let place = Place::new();
    let (tunnel, other) = (place.tunnel(None), place.tunnel(None));
    let at = tunnel.address().to_string();
    let of_kubeconfig = format!("socks5://{}", other.address());
    let through = [
        ("HTTPS_PROXY", format!("http://{at}")),
        (
            "NO_PROXY",
            "127.0.0.1,10.0.0.0/8,,test.test,api.test:443".to_owned(),
        ),
    ];
    let bare = [("https_proxy", at.clone()), ("no_proxy", ",".to_owned())];
    let direct = [
        ("HTTPS_PROXY", at.clone()),
        ("NO_PROXY", " , .test:6443".to_owned()),
    ];
    let dead = [
        ("HTTPS_PROXY", "127.0.0.1:1".to_owned()),
        ("NO_PROXY", String::new()),
    ];
    let cases: [(_, Option<&str>, usize, usize, _); 4] = [
        (through, None, 1, 0, "ENOENT"),
        (bare, None, 1, 0, "ENOENT"),
        // Only the proxy knows the name.
        (direct, None, 0, 0, "cannot connect to api.test:6443"),
        (dead, Some(&of_kubeconfig), 0, 1, "ENOENT"),
    ];
    for (environment, proxy_url, by_environment, by_kubeconfig, expected) in cases {
        let before = (tunnel.asked().len(), other.asked().len());
        let mut again = Command::new(std::env::current_exe().unwrap());
        again
            .args(["--include-ignored", "--nocapture", "--exact"])
            .arg("proxies::the_environments_proxy_is_used_for_servers_that_no_proxy_does_not_name")
            .env(MARKER, place.kubeconfig(proxy_url))
            .envs(environment.clone());
        let (status, said, errors) = testkit::process::outcome(&mut again);
        assert_eq!(status, 0, "{said}{errors}");
        assert!(said.contains(expected), "{environment:?}: {said}");
        let used = (
            tunnel.asked().len() - before.0,
            other.asked().len() - before.1,
        );
        assert_eq!(used, (by_environment, by_kubeconfig), "{environment:?}");
    }
}
