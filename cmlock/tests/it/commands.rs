//! The commands: exit status, standard output and standard error.

use serde_json::{Value, json};
use testkit::{eventually, process::Kept};

use crate::support::Place;

/// How the binary calls itself in its requests.
const AGENT: &str = concat!("cmlock/", env!("CARGO_PKG_VERSION"));

#[test]
#[ignore = "no cluster"]
fn a_lock_is_held_across_commands_shown_and_released() {
    let place = Place::with_pods(&["a", "b"]);
    let silent = |status| (status, String::new(), String::new());
    assert_eq!(
        place.run("a", &["status", "x"]),
        (1, "lock x is free\n".to_owned(), String::new())
    );
    let (status, id, error) = place.run(
        "a",
        &["acquire", "x", "--timeout", "1h", "--label", "team=db"],
    );
    assert_eq!((status, &*error), (0, ""));
    let id = id.trim();
    let (status, said, _) = place.run("b", &["status", "x"]);
    assert_eq!(status, 0);
    assert!(
        said.starts_with(&format!("lock x is held by Pod \"a\" (holder {id}) until ")),
        "{said}"
    );
    let (status, json, _) = place.run("b", &["status", "x", "-o", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (status, &json["held"], &json["pod"], &json["holder"]),
        (0, &json!(true), &json!("a"), &json!(id))
    );
    assert_eq!(json["labels"], json!({"team": "db"}));

    let (status, json, _) = place.run("b", &["acquire", "y", "-o", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let held = &place.object("y")["metadata"]["annotations"]["cmlock/holder"];
    assert_eq!(
        (status, json),
        (0, json!({"name": "y", "holder": held.clone()}))
    );
    assert_eq!(place.run("b", &["release", "y"]).0, 0);

    let (status, _, error) = place.run("b", &["acquire", "x", "--no-wait"]);
    assert_eq!(status, 16);
    assert!(
        error.starts_with("cmlock: lock x: it is held by Pod \"a\""),
        "{error}"
    );
    assert_eq!(place.run("b", &["acquire", "x", "--wait", "1s"]).0, 110);
    assert_eq!(
        place.run("b", &["run", "x", "--no-wait", "--", "true"]).0,
        124
    );
    assert_eq!(
        place
            .run("b", &["run", "x", "--wait", "1s", "--", "true"])
            .0,
        124
    );
    assert_eq!(place.run("b", &["release", "x"]).0, 16);
    assert_eq!(place.run("a", &["release", "x", "--holder", "other"]).0, 16);

    place.put("free", "a", Some(1));
    place.namespace.apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}}));
    assert_eq!(
        place.run("a", &["list", "-o", "name"]),
        (0, "free\nx\n".to_owned(), String::new())
    );
    let (_, table, _) = place.run("a", &["list"]);
    assert!(
        table.contains("free: it expired at 1970-01-01T00:00:01Z") && table.contains("held"),
        "{table}"
    );
    let (_, list, _) = place.run("a", &["list", "-o", "json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (&list[0]["held"], &list[1]["held"]),
        (&json!(false), &json!(true))
    );

    assert_eq!(place.run("a", &["release", "x", "--holder", id]), silent(0));
    assert_eq!(place.run("a", &["release", "x"]), silent(0));
}

/// A namespace may contain large ConfigMaps that are not locks.
// Holds cmlock-8.
#[test]
#[ignore = "no cluster"]
fn what_cannot_be_a_lock_is_not_fetched() {
    let place = Place::with_pods(&["a"]);
    place.put("lock", "a", None);
    place.put("over", "a", Some(1));
    let owner =
        json!({"apiVersion": "v1", "kind": "Secret", "name": "s", "uid": "u", "controller": true});
    for (name, metadata, data) in [
        (
            "large",
            json!({"name": "large"}),
            json!({"text": "x".repeat(700_000)}),
        ),
        (
            "owned",
            json!({"name": "owned", "ownerReferences": [owner]}),
            json!({"a": "b"}),
        ),
        (
            "malformed",
            json!({"name": "malformed"}),
            json!({"expiresAt": "soon"}),
        ),
    ] {
        let object =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
        place.namespace.apply(&object);
        assert!(place.exists(name));
    }
    let before = place.requests(AGENT, 0).len();
    let (status, names, error) = place.run("a", &["list", "-o", "name"]);
    assert_eq!((status, &*names), (22, "lock\nover\n"), "{error}");
    assert!(error.contains("lock malformed: "), "{error}");
    let requests = place.requests(AGENT, before + 4).split_off(before);
    let mut fetched: Vec<_> = requests
        .iter()
        .filter(|it| it.resource == "configmaps" && it.verb == "get")
        .map(|it| it.name.as_str())
        .collect();
    fetched.sort_unstable();
    assert_eq!(fetched, ["lock", "malformed", "over"]);
    let lists = requests.iter().filter(|it| it.verb == "list").count();
    assert_eq!(lists, 1);
}

#[test]
#[ignore = "no cluster"]
fn all_namespaces_are_listed_with_their_names() {
    let (one, other) = (Place::with_pods(&["a"]), Place::with_pods(&["a"]));
    for place in [&one, &other] {
        place.put("x", "a", None);
    }
    let as_admin = |arguments: &[&str]| {
        let mut command = crate::support::cmlock(&one.namespace.admin());
        testkit::process::outcome(command.args(arguments))
    };
    let (status, names, error) = as_admin(&["list", "-A", "-o", "name"]);
    assert_eq!(status, 0, "{error}");
    let (_, table, _) = as_admin(&["list", "--all-namespaces", "-o", "wide"]);
    assert!(
        table.starts_with("NAMESPACE ") && table.contains(" HOLDER "),
        "{table}"
    );
    let (_, list, _) = as_admin(&["list", "-A", "-ojson"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    for place in [&one, &other] {
        let namespace = place.namespace.name();
        assert!(
            names.lines().any(|name| name == format!("{namespace}/x")),
            "{names}"
        );
        let mut all = list.as_array().unwrap().iter();
        assert!(
            all.any(|lock| lock["namespace"] == namespace && lock["held"] == true),
            "{list}"
        );
    }
}

/// Text that others write into ConfigMaps is escaped before it reaches a terminal.
#[test]
#[ignore = "no cluster"]
fn control_characters_are_escaped_in_every_format() {
    let place = Place::with_pods(&["a"]);
    place.put("x", "a", None);
    let annotation = "cmlock/holder=\u{1b}[31mred\u{9b}1m\u{202e}";
    place
        .namespace
        .kubectl(&["annotate", "configmap", "x", annotation], None);
    for format in ["table", "wide", "json", "yaml", "name"] {
        let (status, list, error) = place.run("a", &["list", "-o", format]);
        assert_eq!(status, 0, "{error}");
        assert!(
            list.chars().all(|c| c == '\n' || (' '..='~').contains(&c)),
            "{list:?}"
        );
    }
    for format in ["text", "json", "yaml", "wide"] {
        let (status, shown, error) = place.run("a", &["status", "x", "-o", format]);
        assert_eq!(status, 0, "{error}");
        assert!(shown.contains("[31mred"), "{shown:?}");
        assert!(
            shown.chars().all(|c| c == '\n' || (' '..='~').contains(&c)),
            "{shown:?}"
        );
    }
}

#[test]
#[ignore = "no cluster"]
fn the_commands_own_status_counts() {
    let place = Place::with_pods(&["a"]);
    let (status, said, error) = place.run(
        "a",
        &["run", "x", "--", "sh", "-c", "echo $CMLOCK_HOLDER; exit 7"],
    );
    assert_eq!((status, said.trim().len(), &*error), (7, 32, ""));
    assert_eq!(
        place.run("a", &["run", "x", "--", "no-such-program"]).0,
        127
    );
    assert_eq!(place.run("a", &["run", "x", "--", "/etc"]).0, 126);
    assert_eq!(
        place
            .run(
                "a",
                &["run", "x", "--timeout", "2s", "--grace", "2s", "--", "true"]
            )
            .0,
        64
    );
    assert_eq!(place.run("a", &["acquire", "x", "--label", "wrong"]).0, 64);
    assert_eq!(place.run("a", &["acquire", "x", "--wait", "soon"]).0, 64);
    assert_eq!(place.run("a", &["acquire", "No/Name"]).0, 22);
    assert!(!place.exists("x"));
}

// Holds cmlock-1.
#[test]
#[ignore = "no cluster"]
fn a_signal_ends_a_wait() {
    let place = Place::with_pods(&["a", "b"]);
    place.put("x", "b", None);
    for arguments in [&["acquire", "x"][..], &["run", "x", "--", "true"]] {
        let before = place.requests(AGENT, 0).len();
        let mut waiter = Kept(place.cmlock("a", arguments).spawn().unwrap());
        let watches = || {
            place
                .requests(AGENT, before)
                .split_off(before)
                .iter()
                .any(|it| it.verb == "watch")
        };
        eventually("it waits", watches);
        waiter.signal(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(waiter.status(), 143);
    }
    assert!(place.exists("x"));
}

#[test]
#[ignore = "no cluster"]
fn the_shipped_examples_are_accepted() {
    let place = Place::with_pods(&[]);
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kubernetes");
    let (namespace, labels) = (
        place.namespace.name(),
        "pod-security.kubernetes.io/enforce=restricted",
    );
    place
        .namespace
        .kubectl(&["label", "namespace", namespace, labels], None);
    place.namespace.kubectl(&["apply", "-f", examples], None);
    for pod in ["migrate-a", "migrate-b"] {
        let _ = place.uid("pods", pod);
    }
}
