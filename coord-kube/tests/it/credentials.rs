//! Credentials that change while they are used. The API server is real. The proxy in front of it
//! accepts one token at a time.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use apiserver::{Front, Guarded, Namespace, guarded::VERSION};
use coord_core::{Errno, errno::with_sources};
use coord_kube::{ClientArgs, Cluster};
use k8s_openapi::{api::authentication::v1::SelfSubjectReview, jiff::Timestamp};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use testkit::eventually;

use crate::kube::{connect, get};

fn in_seconds(seconds: u64) -> String {
    let at = SystemTime::now() + Duration::from_secs(seconds);
    Timestamp::try_from(at).unwrap().to_string()
}

async fn works(cluster: &Cluster) {
    let error = get(cluster, "x").await.unwrap_err();
    assert_eq!(error.errno(), Errno::ENOENT, "{}", with_sources(&error));
}

async fn fails(cluster: &Cluster) -> (Errno, String) {
    let error = get(cluster, "x").await.unwrap_err();
    (error.errno(), with_sources(&error))
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_token_file_is_read_again_when_it_changes() {
    let at = Guarded::start();
    fs::write(at.path("token"), "one\n").unwrap();
    at.proxy.require("one");
    // The file takes precedence over the token, as in client-go.
    let user = json!({"tokenFile": at.path("token"), "token": "never"});
    let cluster = connect(&at.kubeconfig(&user)).await;
    works(&cluster).await;
    for token in ["two", "three", "four", "five", "six"] {
        at.put("token", &format!("{token}\n"));
        at.proxy.require(token);
        works(&cluster).await;
    }
    // While the file is missing or empty, the last token is used.
    fs::write(at.path("token"), "").unwrap();
    works(&cluster).await;
    fs::remove_file(at.path("token")).unwrap();
    works(&cluster).await;
    at.proxy.require("seven");
    assert_eq!(fails(&cluster).await.0, Errno::EACCES);
    fs::write(at.path("token"), "seven").unwrap();
    works(&cluster).await;
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_plugin_runs_once_at_the_start_and_once_more_when_its_token_is_refused() {
    let at = Guarded::start();
    at.proxy.require("one");
    at.issue(&json!({"token": "one", "expirationTimestamp": in_seconds(3600)}));
    let cluster = connect(&at.kubeconfig(&at.plugin("cat issued", &json!({})))).await;
    let at_once = [works(&cluster), works(&cluster), works(&cluster)];
    futures::future::join_all(at_once).await;
    assert_eq!(at.runs(), 1);
    for (run, token) in [
        (2, "two"),
        (3, "three"),
        (4, "four"),
        (5, "five"),
        (6, "six"),
    ] {
        at.issue(&json!({"token": token}));
        at.proxy.require(token);
        let at_once = [works(&cluster), works(&cluster), works(&cluster)];
        futures::future::join_all(at_once).await;
        assert_eq!(at.runs(), run);
    }
    // If the new token is refused too, there is no third try.
    at.proxy.require("another");
    let (errno, text) = fails(&cluster).await;
    assert_eq!((errno, at.runs()), (Errno::EACCES, 7), "{text}");
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_renewal_that_fails_or_hangs_costs_nothing_while_the_old_token_works() {
    for (second, runs) in [("exit 1", 3), ("exec sleep 600", 2)] {
        let at = Guarded::start();
        at.proxy.require("one");
        at.issue(&json!({"token": "one", "expirationTimestamp": in_seconds(20)}));
        let script = format!("if [ -e second ]; then {second}; fi; touch second; cat issued");
        let cluster = connect(&at.kubeconfig(&at.plugin(&script, &json!({})))).await;
        let cluster = cluster.with_timeout(Duration::from_secs(4));
        works(&cluster).await;
        // The last quarter of the token's life begins after 15 s.
        let begun = std::time::Instant::now();
        while at.runs() < 2 {
            works(&cluster).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(begun.elapsed() < Duration::from_secs(120));
        }
        // Once the old token has expired, a failed renewal is an error, and the wait for a hanging
        // one has a limit.
        let (errno, text) = loop {
            let error = get(&cluster, "x").await.unwrap_err();
            if error.errno() != Errno::ENOENT {
                assert!(error.is_transient(), "{error:?}");
                break (error.errno(), with_sources(&error));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let told = match second {
            "exit 1" => (Errno::EACCES, "exit status 1"),
            _ => (Errno::ETIMEDOUT, "no answer within 4s"),
        };
        assert_eq!(errno, told.0, "{text}");
        assert!(text.contains(told.1), "{text}");
        assert_eq!(at.runs(), runs, "never a second one beside it");
    }
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_plugin_does_not_get_standard_input_and_is_told_so() {
    let at = Guarded::start();
    at.proxy.require("one");
    at.issue(&json!({"token": "one"}));
    let script = "cut -d' ' -f1,6 /proc/$$/stat >session; \
        cat >input; echo \"$KUBERNETES_EXEC_INFO\" >info; echo \"$SECRET $*\" >given; cat issued";
    let cluster =
        connect(&at.kubeconfig(&at.plugin(script, &json!({"provideClusterInfo": true})))).await;
    works(&cluster).await;
    assert_eq!(fs::read(at.path("input")).unwrap(), b"");
    // The plugin has a session of its own, and so it does not have our terminal. Reading from the
    // terminal would stop the plugin, or us.
    let session = fs::read_to_string(at.path("session")).unwrap();
    let (pid, session) = session.trim().split_once(' ').unwrap();
    assert_eq!(pid, session);
    let info = fs::read_to_string(at.path("info")).unwrap();
    let info: Value = serde_json::from_str(&info).unwrap();
    let server = format!("http://{}", at.proxy.address());
    let expected = json!({"apiVersion": VERSION, "kind": "ExecCredential",
        "spec": {"interactive": false, "cluster": {"server": server}}});
    assert_eq!(info, expected);
    let given = fs::read_to_string(at.path("given")).unwrap();
    assert_eq!(given, "hunter3 --secret hunter2\n");
}

#[tokio::test]
#[ignore = "no cluster"]
async fn what_a_plugin_leaves_behind_does_not_hold_it_up() {
    let at = Guarded::start();
    at.proxy.require("one");
    at.issue(&json!({"token": "one"}));
    // ssh's master process does this: it stays in the background, with our pipes as its standard
    // output and standard error.
    let script = "sleep 1000 & echo $! >left; cat issued";
    let cluster = connect(&at.kubeconfig(&at.plugin(script, &json!({})))).await;
    works(&cluster.with_timeout(Duration::from_secs(60))).await;
    let left = testkit::process::number_in(&at.path("left"));
    assert!(testkit::process::is_alive(left));
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(left),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_plugin_that_fails_is_told_without_its_secrets() {
    let cases = [
        (
            "echo first >&2; echo '  second' >&2; echo hunter4; exit 3",
            Errno::EACCES,
            "failed with exit status 3: first; second",
        ),
        ("kill -9 $$", Errno::EACCES, "failed with signal 9"),
        (
            "echo hunter4",
            Errno::EINVAL,
            "printed something that is no ExecCredential in JSON",
        ),
        (
            "echo '{\"kind\": \"ExecCredential\", \"status\": \"hunter4\"}'",
            Errno::EINVAL,
            "no ExecCredential",
        ),
        (
            "echo '{\"kind\": \"ExecCredential\", \"apiVersion\": \"client.authentication.k8s.io/v1beta1\"}'",
            Errno::EINVAL,
            "another apiVersion",
        ),
        (
            "echo '{\"kind\": \"ExecCredential\", \"apiVersion\": \"client.authentication.k8s.io/v1\", \"status\": {}}'",
            Errno::EINVAL,
            "neither a token nor a client certificate",
        ),
    ];
    for (script, errno, expected) in cases {
        let at = Guarded::start();
        let kubeconfig = at.kubeconfig(&at.plugin(script, &json!({})));
        let error = get(&connect(&kubeconfig).await, "x").await.unwrap_err();
        let text = with_sources(&error);
        assert_eq!((error.errno(), at.runs()), (errno, 1), "{text}");
        assert!(!error.is_transient() && error.had_no_effect(), "{text}");
        let program = format!("the credential plugin {:?} ", at.path("plugin"));
        assert!(text.contains(&program) && text.contains(expected), "{text}");
        assert!(
            !text.contains("hunter") && !format!("{error:?}").contains("hunter"),
            "{text}"
        );
        assert!(
            !text.contains('\n') && text.matches("plugin ").count() == 1,
            "{text}"
        );
    }
    let at = Guarded::start();
    let hint =
        json!({"command": "no-such-plugin", "installHint": "get it\nfrom https://plugins.test"});
    let (errno, text) = fails(&connect(&at.kubeconfig(&at.plugin("", &hint))).await).await;
    assert_eq!(errno, Errno::ENOENT, "{text}");
    let expected = r#"the credential plugin "no-such-plugin" is not installed: get it; from https://plugins.test"#;
    assert!(text.ends_with(expected), "{text}");
    let always = json!({"interactiveMode": "Always"});
    let (errno, text) =
        fails(&connect(&at.kubeconfig(&at.plugin("cat issued", &always))).await).await;
    assert_eq!((errno, at.runs()), (Errno::EACCES, 0), "{text}");
    assert!(text.contains("interactiveMode Always"), "{text}");
}

/// Who the server takes us for.
async fn user_name(cluster: &Cluster) -> String {
    let api: Api<SelfSubjectReview> = Api::all(cluster.client().clone());
    let action = || cluster.action("create", "selfsubjectreviews");
    let params = PostParams::default();
    let review = SelfSubjectReview::default();
    let answer = cluster
        .call(action(), || api.create(&params, &review))
        .await;
    let user = answer.unwrap().status.unwrap().user_info.unwrap();
    user.username.unwrap()
}

fn certificate_of(kubeconfig: &Path) -> (PathBuf, PathBuf) {
    let config: Value = serde_json::from_str(&fs::read_to_string(kubeconfig).unwrap()).unwrap();
    let path = |name| PathBuf::from(config["users"][0]["user"][name].as_str().unwrap());
    (path("client-certificate"), path("client-key"))
}

#[tokio::test]
#[ignore = "no cluster"]
async fn client_certificate_files_are_read_again_and_the_old_connection_is_closed() {
    let namespace = Namespace::new();
    let front = Front::before(&namespace);
    let users = ["one", "two", "three"].map(|name| namespace.user(name, &[]));
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("crt"), directory.path().join("key"));
    let (first, first_key) = certificate_of(&users[0]);
    fs::copy(first, &certificate).unwrap();
    fs::copy(first_key, &key).unwrap();
    let text = fs::read_to_string(front.kubeconfig(&users[0])).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["users"][0]["user"] = json!({"client-certificate": certificate, "client-key": key});
    let kubeconfig = directory.path().join("kubeconfig");
    fs::write(&kubeconfig, config.to_string()).unwrap();
    let cluster = connect(&kubeconfig).await;
    assert!(user_name(&cluster).await.ends_with("-one"));
    for (count, user) in [(2, &users[1]), (3, &users[2])] {
        let (next, next_key) = certificate_of(user);
        let before = user_name(&cluster).await;
        fs::copy(next, &certificate).unwrap();
        // The key is still the old one, so the pair cannot be used.
        assert_eq!(user_name(&cluster).await, before);
        fs::copy(next_key, &key).unwrap();
        assert_ne!(user_name(&cluster).await, before);
        assert_eq!(front.accepted(), count);
        eventually("the old connection is closed", || front.open() == 1);
    }
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_plugin_may_hand_out_short_lived_certificates() {
    let namespace = Namespace::new();
    let front = Front::before(&namespace);
    let at = Guarded::start();
    let users = ["one", "two"].map(|name| namespace.user(name, &[]));
    let issue = |user: &Path, seconds| {
        let (certificate, key) = certificate_of(user);
        let text = |path| fs::read_to_string(path).unwrap();
        at.issue(
            &json!({"clientCertificateData": text(certificate), "clientKeyData": text(key),
            "expirationTimestamp": in_seconds(seconds)}),
        );
    };
    issue(&users[0], 3);
    let plugin = at.plugin("cat issued", &json!({}));
    let plugin = at.kubeconfig_like(&front.kubeconfig(&users[0]), &plugin);
    let cluster = connect(&plugin).await;
    assert!(user_name(&cluster).await.ends_with("-one"));
    issue(&users[1], 3600);
    let begun = std::time::Instant::now();
    while !user_name(&cluster).await.ends_with("-two") {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(begun.elapsed() < Duration::from_secs(120));
    }
    assert_eq!((at.runs(), front.accepted()), (2, 2));
    eventually("the old connection is closed", || front.open() == 1);
}

/// A kubeconfig may name any program. Only the chosen user's is run.
#[tokio::test]
async fn the_plugin_of_the_chosen_user_is_run_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (kubeconfig, ran) = (
        directory.path().join("config"),
        directory.path().join("ran"),
    );
    let plugin = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
        "command": "touch", "args": [ran]}});
    let config = json!({"current-context": "c", "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "plain"}}],
        "users": [{"name": "plain", "user": {"token": "t"}}, {"name": "other", "user": plugin}]});
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let cluster = connect(&kubeconfig).await;
    cluster.log_in().await.unwrap();
    get(&cluster, "x").await.unwrap_err();
    assert!(!ran.exists());
    let args = ClientArgs {
        kubeconfig: Some(kubeconfig),
        user: Some("other".to_owned()),
        ..ClientArgs::default()
    };
    let cluster = Cluster::connect(&args, "coord-core-tests/0").await.unwrap();
    assert!(!ran.exists());
    cluster.log_in().await.unwrap_err();
    assert!(ran.exists());
}
