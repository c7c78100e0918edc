//! The commands on a cluster: status, standard output and standard error.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

use apiserver::Fault;
use serde_json::{Value, json};
use testkit::{eventually, process::Kept};

use super::{Place, lockheed, lockheed_on};

/// Runs the binary and returns status, standard output and standard error.
pub(super) fn run(kubeconfig: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let done = outcome(lockheed(kubeconfig).args(arguments));
    manual::schema::assert_printed(env!("CARGO_MANIFEST_DIR"), arguments, &done.1);
    done
}

/// The same on the place's store.
pub(super) fn run_on(place: &Place, arguments: &[&str]) -> (Option<i32>, String, String) {
    let done = outcome(place.lockheed().args(arguments));
    manual::schema::assert_printed(env!("CARGO_MANIFEST_DIR"), arguments, &done.1);
    done
}

fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
#[ignore = "no cluster"]
fn a_lock_is_held_across_commands_listed_inspected_and_broken() {
    hold_list_inspect_and_break(&Place::new());
}

pub(super) fn hold_list_inspect_and_break(place: &Place) {
    let on = |arguments: &[&str]| run_on(place, arguments);
    let (status, token, error) = on(&[
        "acquire",
        "a",
        "--id",
        "me",
        "--duration",
        "1h",
        "--tag",
        "prod",
    ]);
    assert_eq!((status, &*error), (Some(0), ""));
    let token: u64 = token.trim().parse().unwrap();
    // The same ID still holds it, with the same token.
    let again = on(&["acquire", "a", "--id", "me", "--duration", "1h"]);
    assert_eq!(again, (Some(0), format!("{token}\n"), String::new()));
    assert_eq!(
        on(&["renew", "a", "--id", "me"]),
        (Some(0), String::new(), String::new())
    );
    let (status, _, error) = on(&["acquire", "a", "--id", "you", "--no-wait"]);
    assert_eq!(status, Some(16), "{error}");
    assert!(error.contains("lock a is held by \"me\""), "{error}");
    assert_eq!(on(&["acquire", "b", "--id", "you"]).0, Some(0));

    assert_eq!(
        on(&["list", "-o", "name"]),
        (Some(0), "a\nb\n".to_owned(), String::new())
    );
    assert_eq!(
        on(&[
            "list",
            "-o",
            "name",
            "--where",
            "tags contains prod and acquired equals true"
        ])
        .1,
        "a\n"
    );
    let (_, listed, _) = on(&["list", "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&listed[0]["name"], &listed[0]["tags"], &listed[0]["held"]),
        (&json!("a"), &json!(["prod"]), &json!(true))
    );
    assert_eq!(listed[0]["holders"][0]["id"], "me");
    assert_eq!(listed[0]["holders"][0]["durationSeconds"], 3600.0);
    let (status, inspected, _) = on(&["inspect", "a", "-o", "json"]);
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(
        (status, &inspected["record"]["lockType"]),
        (Some(0), &json!("mutex"))
    );
    assert_eq!(on(&["inspect", "none"]).0, Some(2));

    assert_eq!(on(&["break", "a"]).0, Some(64));
    assert_eq!(
        on(&["break", "a", "--yes", "--if", "tags contains test"]).0,
        Some(1)
    );
    let (status, told, _) = on(&["break", "a", "--yes"]);
    assert_eq!(status, Some(0));
    assert!(
        told.starts_with("ended the lease of \"me\", which would have lasted until "),
        "{told}"
    );
    assert_eq!(on(&["renew", "a", "--id", "me"]).0, Some(116));
    let (_, higher, _) = on(&["acquire", "a", "--id", "you"]);
    assert!(higher.trim().parse::<u64>().unwrap() > token);
    assert_eq!(on(&["release", "a", "--id", "you"]).0, Some(0));
    assert_eq!(on(&["release", "a", "--id", "you"]).0, Some(0));
}

#[test]
#[ignore = "no cluster"]
fn a_lock_is_taken_over_by_a_condition_alone() {
    take_over_by_a_condition(&Place::new());
}

pub(super) fn take_over_by_a_condition(place: &Place) {
    let on = |arguments: &[&str]| run_on(place, arguments);
    assert_eq!(
        on(&["acquire", "x", "--id", "me", "--tag", "abandoned"]).0,
        Some(0)
    );
    assert_eq!(
        on(&[
            "acquire",
            "x",
            "--id",
            "you",
            "--no-wait",
            "--force",
            "tags contains other"
        ])
        .0,
        Some(16)
    );
    assert_eq!(
        on(&[
            "acquire",
            "x",
            "--id",
            "you",
            "--no-wait",
            "--force",
            "tags contains abandoned"
        ])
        .0,
        Some(0)
    );
    assert_eq!(place.record("x").leases.keys().collect::<Vec<_>>(), ["you"]);
}

#[test]
#[ignore = "no cluster"]
fn delete_needs_one_right_more_and_takes_no_held_lock() {
    let place = Place::new();
    let on = |arguments: &[&str]| run(&place.user, arguments);
    assert_eq!(on(&["acquire", "x", "--id", "me"]).0, Some(0));
    let admin = lockheed(&place.namespace.admin())
        .args(["--namespace", place.namespace.name(), "delete", "x"])
        .output()
        .unwrap();
    assert_eq!(admin.status.code(), Some(16), "{admin:?}");
    assert_eq!(on(&["release", "x", "--id", "me"]).0, Some(0));
    let (status, _, error) = on(&["delete", "x"]);
    assert_eq!(status, Some(13), "{error}");
    assert!(error.contains(r#"verbs: ["delete"]"#), "{error}");
    let admin = lockheed(&place.namespace.admin())
        .args(["delete", "x", "--namespace", place.namespace.name()])
        .output()
        .unwrap();
    assert_eq!(admin.status.code(), Some(0), "{admin:?}");
    assert_eq!(on(&["list", "-o", "name"]).1, "");
}

/// Applies the Role that `check` printed, and binds this user to it.
pub(super) fn grant(place: &Place, role: &str, user: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), role).unwrap();
    let namespace = &place.namespace;
    namespace.kubectl(&["apply", "-f", file.path().to_str().unwrap()], None);
    let name = role.lines().find_map(|line| line.strip_prefix("  name: "));
    let role = format!("--role={}", name.unwrap().trim_matches('"'));
    let user = format!("--user={}-{user}", namespace.name());
    namespace.kubectl(&["create", "rolebinding", "granted", &role, &user], None);
}

#[test]
#[ignore = "no cluster"]
fn check_prints_one_role_to_apply() {
    let place = Place::new();
    assert_eq!(
        run(&place.user, &["check"]),
        (Some(0), String::new(), String::new())
    );
    let reader = place
        .namespace
        .user("reader", &[("configmaps", &["get", "list", "watch"])]);
    let (status, role, error) = run(&reader, &["check"]);
    assert_eq!(status, Some(1), "{error}");
    let namespace = place.namespace.name();
    let expected = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: \"lockheed\"\n  namespace: \"{namespace}\"\nrules:\n\
         - apiGroups: [\"\"]\n  resources: [\"configmaps\"]\n  verbs: [\"get\", \"list\", \"watch\", \"create\", \"update\"]\n"
    );
    assert_eq!(role, expected);
    let who = format!(
        "user \"{namespace}-reader\" lacks the right to create configmaps, update configmaps"
    );
    assert!(error.contains(&who), "{error}");
    grant(&place, &role, "reader");
    assert_eq!(run(&reader, &["check"]).0, Some(0));
}

#[test]
#[ignore = "no cluster"]
fn a_role_for_one_lock_that_is_there_is_enough_for_it() {
    let place = Place::new();
    let free = r#"{"name":"x","lockType":"","leases":null}"#;
    place.put("x", free, &json!({}));
    let rule = json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["lockheed-x"],
        "verbs": ["get", "watch", "update"]});
    place.namespace.apply(
        &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": [rule],
        "metadata": {"name": "one", "namespace": place.namespace.name()}}),
    );
    let user = place.namespace.user_with_role("one", "one");
    let silent = (Some(0), String::new(), String::new());
    assert_eq!(run(&user, &["check", "x"]), silent);
    assert_eq!(run(&user, &["run", "x", "--", "true"]), silent);

    // The Role is not enough for another lock.
    let (status, role, error) = run(&user, &["check", "y"]);
    assert_eq!(status, Some(1), "{error}");
    assert!(
        role.contains("name: \"lockheed-y\"") && role.contains("\"create\""),
        "{role}"
    );
    assert!(
        role.contains("resourceNames: [\"lockheed-y\"]") && !role.contains("delete"),
        "{role}"
    );
    assert_eq!(run(&user, &["check"]).0, Some(1));
    grant(&place, &role, "one");
    assert_eq!(run(&user, &["check", "y"]), silent);
    assert_eq!(run(&user, &["run", "y", "--", "true"]), silent);
    // Once the object exists, nobody needs to create it.
    assert_eq!(run(&user, &["check", "y"]), silent);
}

#[test]
#[ignore = "no cluster"]
fn all_namespaces_are_listed_with_their_names() {
    let (one, other) = (Place::new(), Place::new());
    for place in [&one, &other] {
        assert_eq!(run(&place.user, &["acquire", "x", "--id", "me"]).0, Some(0));
    }
    let admin = one.namespace.admin();
    let (status, names, error) = run(&admin, &["list", "-A", "-o", "name"]);
    assert_eq!(status, Some(0), "{error}");
    let (status, table, error) = run(&admin, &["list", "-A"]);
    assert_eq!(status, Some(0), "{error}");
    let (_, list, _) = run(&admin, &["list", "--all-namespaces", "-o", "json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert!(table.starts_with("NAMESPACE "), "{table}");
    for place in [&one, &other] {
        let namespace = place.namespace.name();
        assert!(
            names.lines().any(|name| name == format!("{namespace}/x")),
            "{names}"
        );
        assert!(
            table
                .lines()
                .any(|line| line.starts_with(&format!("{namespace} "))),
            "{table}"
        );
        let mut all = list.as_array().unwrap().iter();
        assert!(
            all.any(|lock| lock["namespace"] == namespace && lock["held"] == true),
            "{list}"
        );
    }
    assert_eq!(run(&admin, &["list", "-A", "--watch"]).0, Some(64));
    let (status, _, error) = run(&one.user, &["list", "-A"]);
    assert_eq!(status, Some(13), "{error}");
    assert!(
        error.contains("a ClusterRole must have the rule"),
        "{error}"
    );
}

#[test]
#[ignore = "no cluster"]
fn what_cannot_be_used_is_named() {
    let place = Place::new();
    let cases: [(&[&str], i32, &str); 4] = [
        (
            &["list", "--kubeconfig", "/no/such/file"],
            2,
            "--kubeconfig \"/no/such/file\"",
        ),
        (&["list", "--context", "none"], 22, "--context \"none\""),
        (&["list", "--namespace", "a/b"], 22, "the namespace \"a/b\""),
        (&["acquire", "No/Name"], 22, "invalid lock name \"No/Name\""),
    ];
    for (arguments, expected, named) in cases {
        let mut command = lockheed(&place.user);
        if arguments.contains(&"--kubeconfig") {
            command = std::process::Command::new(env!("CARGO_BIN_EXE_lockheed"));
        }
        let output = command.args(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(expected), "{error}");
        assert!(error.contains(named), "{error}");
    }
}

#[test]
#[ignore = "no cluster"]
fn the_command_has_the_token_and_its_own_status_counts() {
    let place = Place::new();
    let on = |arguments: &[&str]| run(&place.user, arguments);
    let (status, token, _) = on(&["run", "x", "--", "sh", "-c", "echo $LOCKHEED_TOKEN; exit 7"]);
    assert_eq!(status, Some(7));
    assert!(token.trim().parse::<u64>().unwrap() > 0);
    assert_eq!(on(&["acquire", "x", "--id", "me"]).0, Some(0));
    assert_eq!(on(&["run", "x", "--no-wait", "--", "true"]).0, Some(124));
    assert_eq!(on(&["run", "x", "--wait", "1s", "--", "true"]).0, Some(124));
    let stranger = place.namespace.user("stranger", &[]);
    let (status, _, error) = run(&stranger, &["run", "x", "--", "true"]);
    assert_eq!(status, Some(125), "{error}");
    assert!(
        error.contains("not allowed to get configmaps \"lockheed-x\""),
        "{error}"
    );
    assert_eq!(run(&stranger, &["inspect", "x"]).0, Some(13));
}

#[test]
#[ignore = "no cluster"]
fn a_list_that_is_watched_prints_each_change_and_outlives_a_lost_connection() {
    watch_a_list(&Place::new());
}

pub(super) fn watch_a_list(place: &Place) {
    let proxy = apiserver::Proxy::start(&place.user);
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut command = lockheed_on(place.store, &kubeconfig);
    command.args(["list", "--watch", "-o", "json"]);
    let watcher = Kept::spawn(command.stdout(File::create(&log).unwrap()));
    let printed = |what: &str| {
        let text = fs::read_to_string(&log).unwrap();
        text.lines().any(|line| line.contains(what))
    };
    let acquire = |name: &str| run_on(place, &["acquire", name, "--id", "me"]).0;
    assert_eq!(acquire("first"), Some(0));
    eventually("a new lock is printed", || printed("first"));
    proxy.set(Fault::Cut);
    assert_eq!(acquire("meanwhile"), Some(0));
    proxy.set(Fault::None);
    eventually("what came meanwhile is printed", || printed("meanwhile"));
    assert_eq!(acquire("later"), Some(0));
    eventually("what comes later is printed", || printed("later"));
    drop(watcher);
}
