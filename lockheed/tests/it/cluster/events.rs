//! `--events` on a cluster, and on stores without Events.

use std::fs;

use apiserver::{Fault, Namespace, Proxy};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testkit::{eventually, process::Kept};

use super::{Place, commands::run_on, lockheed};

/// The same place, whose user may also create Events.
fn with_events(place: Place) -> Place {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kubernetes");
    let manifest = format!("{shipped}/rbac-events.yaml");
    place.namespace.kubectl(&["apply", "-f", &manifest], None);
    let (group, namespace) = ("rbac.authorization.k8s.io", place.namespace.name());
    let user = format!("{namespace}-holder");
    place.namespace.apply(&json!({
        "apiVersion": format!("{group}/v1"),
        "kind": "RoleBinding",
        "metadata": {"name": "holder-events"},
        "subjects": [{"kind": "User", "name": user, "apiGroup": group}],
        "roleRef": {"kind": "Role", "name": "lockheed-events", "apiGroup": group},
    }));
    place
}

impl Place {
    /// Runs a command that waits and logs.
    fn recorded(&self, arguments: &[&str], directory: &std::path::Path) -> Kept {
        let log = fs::File::create(directory.join("log")).unwrap();
        let mut command = self.lockheed();
        command.args(["run", "x", "--events"]).args(arguments);
        command.args(["--", "sh", "-c", "echo >begun; exec sleep 1000"]);
        Kept::spawn(command.current_dir(directory).stderr(log))
    }
}

/// The existing Events: type, reason, message and object.
fn events(namespace: &Namespace) -> Vec<(String, String, String, Value)> {
    let text = namespace.kubectl(&["get", "events", "-o", "json"], None);
    let all: Value = serde_json::from_str(&text).unwrap();
    let field = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let events = all["items"].as_array().unwrap().iter().map(|event| {
        let (kind, reason) = (field(event, "type"), field(event, "reason"));
        let on = event["involvedObject"].clone();
        (kind, reason, field(event, "message"), on)
    });
    events.collect()
}

fn has(namespace: &Namespace, reason: &str) -> bool {
    events(namespace).iter().any(|event| event.1 == reason)
}

fn what_happens_is_shown(place: &Place, kind: &str, object: &str) {
    let directory = tempfile::tempdir().unwrap();
    let acquired = run_on(
        place,
        &["acquire", "x", "--id", "other", "--duration", "1h"],
    );
    assert_eq!(acquired.0, Some(0), "{acquired:?}");
    let mut run = place.recorded(&["--id", "me", "--long-wait", "100ms"], directory.path());
    let namespace = &place.namespace;
    eventually("the wait is recorded", || has(namespace, "LockWaitLong"));
    assert_eq!(run_on(place, &["release", "x", "--id", "other"]).0, Some(0));
    eventually("the lock is recorded", || has(namespace, "LockAcquired"));
    let broken = run_on(place, &["break", "x", "--yes", "--events"]);
    assert_eq!(broken.0, Some(0), "{broken:?}");
    assert_eq!(run.status(), 122);
    let log = fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(!log.contains("cannot record"), "{log}");

    let uid = place.object("x")["metadata"]["uid"].clone();
    let all = events(namespace);
    let expected = [
        (
            "Warning",
            "LockWaitLong",
            " has waited for 100ms: it is held by \"other\" until",
        ),
        ("Normal", "LockAcquired", " acquired the lock, with token "),
        ("Warning", "LockBroken", " ended the lease of \"me-"),
        (
            "Warning",
            "LockLost",
            " lost the lock: somebody else took it, or ended it",
        ),
    ];
    assert_eq!(all.len(), expected.len(), "{all:#?}");
    for (type_, reason, words) in expected {
        let event = all.iter().find(|event| event.1 == reason).unwrap();
        assert_eq!(event.0, type_);
        assert!(event.2.contains(words), "{event:?}");
        assert_eq!((&event.3["kind"], &event.3["uid"]), (&kind.into(), &uid));
    }
    let described = namespace.kubectl(&["describe", kind, object], None);
    for (_, reason, _) in expected {
        assert!(described.contains(reason), "{described}");
    }
    let listed = namespace.kubectl(&["get", "events"], None);
    assert!(!listed.contains("unknown"), "{listed}");
}

#[test]
#[ignore = "no cluster"]
fn kubectl_shows_what_happens_to_a_lock() {
    let place = with_events(Place::new());
    what_happens_is_shown(&place, "ConfigMap", "lockheed-x");
}

#[test]
#[ignore = "no cluster"]
fn the_same_on_a_lease() {
    let place = with_events(Place::of_leases());
    what_happens_is_shown(&place, "Lease", "x");
}

#[test]
#[ignore = "no cluster"]
fn without_the_right_it_is_one_warning_and_check_names_it() {
    let place = Place::new();
    let run = ["run", "x", "--events", "--", "sh", "-c", "exit 7"];
    let (status, _, error) = run_on(&place, &run);
    assert_eq!(status, Some(7));
    assert_eq!(
        error.matches("cannot record an Event: ").count(),
        1,
        "{error}"
    );
    assert!(
        error.contains(r#"resources: ["events"], verbs: ["create"]"#),
        "{error}"
    );
    assert_eq!(run_on(&place, &["check"]).0, Some(0));
    let (status, role, error) = run_on(&place, &["check", "--events"]);
    assert_eq!(status, Some(1));
    assert!(role.contains("events"), "{role}");
    assert!(error.contains("create events"), "{error}");
    let place = with_events(place);
    assert_eq!(run_on(&place, &["check", "--events"]).0, Some(0));
}

/// The next life records what could not be recorded while the server was away.
#[test]
#[ignore = "no cluster"]
fn an_event_outlives_the_life_that_could_not_record_it() {
    let place = with_events(Place::new());
    let proxy = Proxy::start(&place.user);
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    let directory = tempfile::tempdir().unwrap();
    let mut command = lockheed(&kubeconfig);
    command.args(["run", "x", "--events", "--restart", "--duration", "2s"]);
    command.args(["--", "sh", "-c", "echo >>lives; exec sleep 1000"]);
    let mut run = Kept::spawn(command.current_dir(directory.path()));
    let lives = || fs::read_to_string(directory.path().join("lives")).unwrap_or_default();
    eventually("the command runs", || lives().lines().count() == 1);
    proxy.set(Fault::Cut);
    proxy.cut_open_connections();
    eventually("the lock is lost", || {
        run_on(&place, &["inspect", "x"]).1.contains("expired")
    });
    proxy.set(Fault::None);
    eventually("the command runs again", || lives().lines().count() == 2);
    eventually("the loss is recorded", || has(&place.namespace, "LockLost"));
    let all = events(&place.namespace);
    let lost = all.iter().filter(|event| event.1 == "LockLost").count();
    assert_eq!(lost, 1, "{all:#?}");
    run.signal(Signal::SIGTERM);
    assert_eq!(run.status(), 143);
}

#[test]
fn a_directory_has_no_events() {
    let place = crate::support::Place::new();
    let commands = [
        &["run", "x", "--events", "--", "true"][..],
        &["break", "x", "--yes", "--events"],
        &["check", "--events"],
    ];
    for command in commands {
        let (status, _, error) = place.run(command);
        assert_eq!(status, 64, "{error}");
        assert!(error.contains("a directory has no Events"), "{error}");
    }
    let long_wait = ["run", "x", "--long-wait", "1s", "--", "true"];
    assert_eq!(place.run(&long_wait).0, 64);
}
