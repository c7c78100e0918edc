//! Locks by key, on a cluster.

use coord_core::Errno;
use lockheed::{Lock, LockName};
use serde_json::Value;

use super::{Place, commands::run};

/// The key is an annotation, and the longest prefix leaves room for every name.
#[test]
#[ignore = "no cluster"]
fn the_key_is_kept_in_the_config_map() {
    let place = Place::new();
    let key = "https://example.com/Some/Long_Path?ref=main ✓";
    let name = LockName::from_key(key).unwrap();
    assert_eq!(name.as_str().len(), 63);
    let longest = "p".repeat(189);
    for prefix in ["lockheed", &longest] {
        let on = |arguments: &[&str]| {
            let options = ["--prefix", prefix, "--key", key];
            run(&place.user, &[arguments, &options].concat())
        };
        let (status, _, error) = on(&["acquire", "--id", "a"]);
        assert_eq!(status, Some(0), "{error}");
        let object = place
            .namespace
            .get("configmaps", &format!("{prefix}-{name}"));
        assert_eq!(object["metadata"]["annotations"]["lockheed/key"], key);
        assert_eq!(on(&["release", "--id", "a"]).0, Some(0));
        let (_, listed, _) = run(&place.user, &["list", "-o", "json", "--prefix", prefix]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(
            (&listed[0]["key"], &listed[0]["name"]),
            (&key.into(), &name.as_str().into())
        );
        assert_eq!(on(&["check"]).0, Some(0));
    }
    let (status, _, error) = run(&place.user, &["list", "--prefix", &"p".repeat(190)]);
    assert_eq!(status, Some(22), "{error}");
    assert!(error.contains("use at most 189 characters"), "{error}");
}

#[tokio::test]
#[ignore = "no cluster"]
async fn an_object_of_another_key_is_refused_and_left_alone() {
    let place = Place::new();
    let name = LockName::from_key("feature/ABC_1").unwrap();
    let held = Lock::new(place.store().await, name.clone())
        .acquire()
        .await
        .unwrap();
    held.release().await.unwrap();
    let object = format!("lockheed-{name}");
    let tampered = [
        "annotate",
        "--overwrite",
        "configmap",
        &object,
        "lockheed/key=other",
    ];
    place.namespace.kubectl(&tampered, None);
    let before = place.object(name.as_str());
    let lock = Lock::new(place.store().await, name.clone());
    let error = lock.try_acquire().await.map(drop).unwrap_err();
    assert_eq!(error.errno(), Errno::EINVAL, "{error}");
    assert!(
        error.to_string().contains("kept for the key \"other\""),
        "{error}"
    );
    let (status, _, error) = run(
        &place.user,
        &["renew", "--key", "feature/ABC_1", "--id", "a"],
    );
    assert_eq!(status, Some(22), "{error}");
    assert_eq!(place.object(name.as_str()), before);
}
