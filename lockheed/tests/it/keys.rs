//! Any text as a lock's key.

use coord_core::Errno;
use lockheed::{Lock, LockName, MemoryStore, Store, store::Object};
use serde_json::Value;

use crate::support::Place;

const KEY: &str = "feature/ABC_1";
const NAME: &str = "feature-abc-1-bd215f57c7ceffa222644e3592648efa";

#[test]
fn every_command_takes_a_key_for_a_name() {
    let place = Place::new();
    let on = |arguments: &[&str], status| {
        let arguments = [&arguments[..1], &["--key", KEY], &arguments[1..]].concat();
        place.expect(&arguments, status)
    };
    on(&["run", "--", "true"], 0);
    on(&["acquire", "--id", "a"], 0);
    assert_eq!(place.leases(NAME), ["a"]);
    on(&["acquire", "--id", "b", "--no-wait"], 16);
    on(&["renew", "--id", "a"], 0);
    assert!(on(&["inspect"], 0).starts_with(&format!("name     {NAME}\nkey      {KEY:?}\n")));
    on(&["break", "--id", "a"], 0);
    on(&["release", "--id", "a"], 0);
    on(&["check"], 0);
    on(&["delete"], 0);
    on(&["inspect"], 2);
    let json: Value = serde_json::from_str(&on(&["acquire", "-o", "json"], 0)).unwrap();
    assert_eq!((&json["name"], &json["key"]), (&NAME.into(), &KEY.into()));
    // The name gives access to the same lock, which keeps its key.
    place.expect(&["break", NAME, "--yes"], 0);
    place.expect(&["run", NAME, "--", "true"], 0);
    on(&["run", "--", "true"], 0);
}

#[test]
fn keys_are_shown() {
    let place = Place::new();
    place.expect(&["run", "--key", KEY, "--", "true"], 0);
    place.expect(&["run", "plain", "--", "true"], 0);
    let table = place.expect(&["list"], 0);
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].ends_with(" KEY"), "{table}");
    assert!(
        rows[1].starts_with(NAME) && rows[1].ends_with(KEY),
        "{table}"
    );
    let json: Value = serde_json::from_str(&place.expect(&["list", "-o", "json"], 0)).unwrap();
    assert_eq!(
        (&json[0]["key"], &json[1]["key"]),
        (&KEY.into(), &Value::Null)
    );
    let json = place.expect(&["inspect", NAME, "-o", "json"], 0);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["name"], &json["key"]), (&NAME.into(), &KEY.into()));
    assert_eq!(
        place.expect(&["list", "-o", "name"], 0),
        format!("{NAME}\nplain\n")
    );
    // Characters that control a terminal are escaped.
    place.expect(&["run", "--key", "a\x1b[31m\nb", "--", "true"], 0);
    assert!(!place.expect(&["list"], 0).contains('\x1b'));
}

#[test]
fn what_cannot_be_a_key_is_refused() {
    let place = Place::new();
    let long = "x".repeat(4097);
    for (key, said) in [("", "cannot be empty"), (&long, "cannot have 4097 bytes")] {
        let (code, _, stderr) = place.run(&["acquire", "--key", key]);
        assert_eq!(code, 22, "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
    assert_eq!(place.run(&["check", "--key", ""]).0, 22);
    place.expect(&["run", "--key", &long[1..], "--", "true"], 0);
    for arguments in [
        &["inspect", "x", "--key", "y"][..],
        &["acquire", "x", "--key", "y"],
        &["check", "x", "--key", "y"],
        &["inspect"],
        &["run", "--", "true"],
    ] {
        let (code, _, stderr) = place.run(arguments);
        assert_eq!(code, 64, "{arguments:?}: {stderr}");
        assert!(stderr.contains("--key <TEXT>"), "{stderr}");
    }
}

#[test]
fn an_object_of_another_key_is_refused_and_left_alone() {
    let place = Place::new();
    place.expect(&["acquire", "--key", KEY, "--id", "a"], 0);
    let mut json = place.json(NAME);
    json["store"]["annotations"]["lockheed/key"] = "feature/other".into();
    place.write(NAME, &json.to_string());
    for command in [
        &["run", "--", "true"][..],
        &["acquire", "--id", "a"],
        &["renew", "--id", "a"],
        &["release", "--id", "a"],
        &["inspect"],
        &["break", "--yes"],
        &["delete"],
    ] {
        let arguments = [&command[..1], &["--key", KEY], &command[1..]].concat();
        let (code, _, stderr) = place.run(&arguments);
        let status = if command[0] == "run" { 125 } else { 22 };
        assert_eq!(code, status, "{arguments:?}: {stderr}");
        let said =
            format!("lock {NAME}: it is kept for the key \"feature/other\", not for {KEY:?}");
        assert!(stderr.contains(&said), "{stderr}");
    }
    assert_eq!(place.json(NAME), json);
    // A caller that gives the name has not said which key it means.
    place.expect(&["release", NAME, "--id", "a"], 0);
}

#[tokio::test]
async fn a_lock_keeps_its_key() {
    let store = MemoryStore::new();
    let name = LockName::from_key(KEY).unwrap();
    assert_eq!((name.as_str(), name.key()), (NAME, Some(KEY)));
    assert_eq!(name, NAME.parse().unwrap());
    // A lock that was made beforehand has no key yet.
    store
        .create(&Object::new(&NAME.parse().unwrap()))
        .await
        .unwrap();
    assert_eq!(lockheed::inspect(&store, &name).await.unwrap().key, None);
    let held = Lock::new(store.clone(), name.clone())
        .acquire()
        .await
        .unwrap();
    let state = lockheed::inspect(&store, &name).await.unwrap();
    assert_eq!(state.key.as_deref(), Some(KEY));
    held.release().await.unwrap();
    let mut object = store.get(&name).await.unwrap();
    object
        .annotations
        .insert("lockheed/key".to_owned(), "other".to_owned());
    store.update(&object).await.unwrap();
    let error = Lock::new(store.clone(), name.clone())
        .try_acquire()
        .await
        .map(drop);
    assert_eq!(error.unwrap_err().errno(), Errno::EINVAL);
    let error = lockheed::delete_lock(&store, &name, None)
        .await
        .unwrap_err();
    assert_eq!(error.errno(), Errno::EINVAL);
}
