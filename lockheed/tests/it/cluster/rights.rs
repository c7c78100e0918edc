//! Users who lack some of the permissions that locks need.

use coord_core::Errno;
use coord_kube::ClientArgs;
use coord_kube::Cluster;
use lockheed::{KubeStore, Lock, Store};
use serde_json::json;

use super::{Place, VERBS, lock, name, store};

/// The error with its causes, as a command prints it.
fn whole(error: &dyn std::error::Error) -> String {
    let source = error.source().map(whole).unwrap_or_default();
    format!("{error}: {source}")
}

#[tokio::test]
#[ignore = "no cluster"]
async fn each_missing_right_is_named() {
    let place = Place::new();
    let held = r#"{"name":"held","lockType":"mutex","leases":{"go":{"instanceID":"go","expires":"9999-12-31T23:59:59Z"}}}"#;
    place.put("held", held, &json!({}));
    place.put(
        "free",
        r#"{"name":"free","lockType":"","leases":null}"#,
        &json!({}),
    );
    for (missing, of) in [
        ("get", "free"),
        ("create", "new"),
        ("update", "free"),
        ("watch", "held"),
    ] {
        let verbs: Vec<&str> = VERBS.into_iter().filter(|verb| *verb != missing).collect();
        let user = place
            .namespace
            .user(&format!("without-{missing}"), &[("configmaps", &verbs)]);
        let store = store(&user, "lockheed-tests/0").await;
        let error = lock(store, of, "us").acquire().await.map(drop).unwrap_err();
        assert_eq!(error.errno(), Errno::EACCES, "{missing}: {error}");
        let text = whole(&error);
        let rule =
            format!(r#"{{apiGroups: [""], resources: ["configmaps"], verbs: ["{missing}"]}}"#);
        assert!(
            text.contains(&format!(
                "not allowed to {missing} configmaps \"lockheed-{of}\" in namespace"
            )),
            "{text}"
        );
        assert!(
            text.contains(place.namespace.name()) && text.contains(&rule),
            "{text}"
        );
    }
    let lists = place.namespace.user("no-list", &[("configmaps", &["get"])]);
    let error = store(&lists, "lockheed-tests/0")
        .await
        .list()
        .await
        .unwrap_err();
    assert_eq!(error.errno(), Errno::EACCES);
    assert!(
        error
            .to_string()
            .contains("not allowed to list configmaps in namespace"),
        "{error}"
    );
}

#[tokio::test]
#[ignore = "no cluster"]
async fn the_rules_are_those_that_are_needed() {
    let place = Place::new();
    let allowed = |access: Vec<coord_kube::Access>| access.iter().all(|access| access.allowed);
    let holder = place.store().await;
    assert!(allowed(
        holder.cluster().access(&KubeStore::RULES).await.unwrap()
    ));
    let stranger = store(&place.namespace.user("stranger", &[]), "lockheed-tests/0").await;
    let access = stranger.cluster().access(&KubeStore::RULES).await.unwrap();
    assert!(access.iter().all(|access| !access.allowed), "{access:?}");
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_namespace_that_is_not_there_ends_the_attempt() {
    let place = Place::new();
    let args = ClientArgs {
        kubeconfig: Some(place.namespace.admin()),
        namespace: Some("no-such-namespace".to_owned()),
        ..ClientArgs::default()
    };
    let store = KubeStore::of(Cluster::connect(&args, "lockheed-tests/0").await.unwrap());
    let error = Lock::new(store, name("x"))
        .acquire()
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.errno(), Errno::ENOENT, "{error}");
    assert!(
        whole(&error).contains("no-such-namespace"),
        "{}",
        whole(&error)
    );
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_name_that_does_not_fit_is_refused_before_any_request() {
    let place = Place::new();
    let store = place.store().await.with_prefix(&"p".repeat(189)).unwrap();
    let error = Lock::new(store, name(&"x".repeat(64)))
        .acquire()
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.errno(), Errno::EINVAL, "{error}");
    assert!(
        whole(&error).contains("a name of more than 253 characters"),
        "{}",
        whole(&error)
    );
    assert!(place.store().await.with_prefix("No/Prefix").is_err());
    assert!(
        place
            .namespace
            .requests()
            .iter()
            .all(|request| request.user_agent != "lockheed-tests/0")
    );
}
