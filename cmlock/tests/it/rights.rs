//! Errors name the missing right or setting, and what to do.

use cmlock::Lock;
use coord_core::Errno;
use testkit::process::outcome;

use crate::support::{AGENT, Events, Place, client, cmlock, soon, waiting};

const CONFIGMAPS: [&str; 6] = ["get", "list", "watch", "create", "update", "delete"];

/// Runs a command as a user who lacks one right. It must fail with this status. Returns its
/// standard error.
fn refused(place: &Place, resource: &str, verb: &str, arguments: &[&str], status: i32) {
    let without = |of: &str, all: &[&'static str]| -> Vec<&'static str> {
        all.iter()
            .copied()
            .filter(|it| (of, *it) != (resource, verb))
            .collect()
    };
    let (configmaps, pods) = (
        without("configmaps", &CONFIGMAPS),
        without("pods", &["get", "watch"]),
    );
    let name = format!("no-{verb}-{resource}-{}", arguments[0]);
    let user = place
        .namespace
        .user(&name, &[("configmaps", &configmaps), ("pods", &pods)]);
    let (code, _, error) = outcome(cmlock(&user).env("POD_NAME", "a").args(arguments));
    assert_eq!(code, status, "{verb} {resource}: {error}");
    assert!(
        error.contains(&format!("not allowed to {verb} {resource}")),
        "{error}"
    );
    let rule = format!(r#"{{apiGroups: [""], resources: ["{resource}"], verbs: ["{verb}"]}}"#);
    assert!(
        error.contains(&rule) && error.contains(place.namespace.name()),
        "{error}"
    );
}

#[test]
#[ignore = "no cluster"]
fn each_missing_right_is_named() {
    let place = Place::with_pods(&["a", "b"]);
    place.put("held", "b", None);
    place.put("over", "b", Some(1));
    refused(&place, "pods", "get", &["acquire", "x"], 13);
    refused(&place, "configmaps", "create", &["acquire", "x"], 13);
    refused(&place, "configmaps", "get", &["acquire", "held"], 13);
    refused(&place, "configmaps", "watch", &["acquire", "held"], 13);
    refused(&place, "configmaps", "delete", &["acquire", "over"], 13);
    refused(&place, "configmaps", "list", &["list"], 13);
    // Without the right to update, the command is ended before the lock expires.
    refused(
        &place,
        "configmaps",
        "update",
        &["run", "y", "--timeout", "3s", "--", "sleep", "1000"],
        122,
    );
    let nothing = place.namespace.user("nothing", &[]);
    let (status, _, error) =
        outcome(cmlock(&nothing).args(["--pod", "a", "run", "x", "--", "true"]));
    assert_eq!(status, 125, "{error}");
}

#[test]
#[ignore = "no cluster"]
fn check_prints_one_role_to_apply() {
    let place = Place::with_pods(&["a"]);
    let silent = (0, String::new(), String::new());
    assert_eq!(place.run("a", &["check"]), silent);
    let namespace = &place.namespace;
    // Without the right to watch Pods, everything works, only a little later.
    let enough = namespace.user("enough", &[("configmaps", &CONFIGMAPS), ("pods", &["get"])]);
    assert_eq!(outcome(cmlock(&enough).arg("check")), silent);

    let reader = namespace.user("reader", &[("configmaps", &["get", "list", "watch"])]);
    for (arguments, name, verbs) in [
        (
            &["check"][..],
            "cmlock",
            r#"["get", "list", "watch", "create", "update", "delete"]"#,
        ),
        (
            &["check", "x"],
            "cmlock-x",
            r#"["get", "watch", "update", "delete"]"#,
        ),
    ] {
        let (status, role, error) = outcome(cmlock(&reader).args(arguments));
        assert_eq!(status, 1, "{error}");
        let who = format!("user \"{}-reader\" lacks the right to ", namespace.name());
        assert!(error.contains(&who), "{error}");
        assert!(role.contains(&format!("verbs: {verbs}\n")), "{role}");
        assert!(
            role.contains("resources: [\"pods\"]\n  verbs: [\"get\", \"watch\"]\n"),
            "{role}"
        );
        assert_eq!(role.matches("kind: Role\n").count(), 1);
        assert!(role.contains(&format!("name: {name:?}\n")), "{role}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &role).unwrap();
        namespace.kubectl(&["apply", "-f", file.path().to_str().unwrap()], None);
    }
    // The Role for one lock is enough for that lock.
    let user = namespace.user_with_role("granted", "cmlock-x");
    assert_eq!(outcome(cmlock(&user).args(["check", "x"])), silent);
    let run = ["run", "x", "--timeout", "1h", "--", "true"];
    assert_eq!(
        outcome(cmlock(&user).env("POD_NAME", "a").args(run)),
        silent
    );
    assert_eq!(outcome(cmlock(&user).args(["check", "y"])).0, 1);
}

// Holds cmlock-7.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn without_the_right_to_watch_pods_the_owner_is_read_from_time_to_time() {
    let place = Place::with_pods(&["a", "b"]);
    place.put("x", "a", None);
    let user = place.namespace.user(
        "no-watch",
        &[("configmaps", &CONFIGMAPS), ("pods", &["get"])],
    );
    let (waiter, events) = waiting(Lock::new(&client(&user, "b", AGENT).await, "x")).await;
    soon(events.wait_for("the owner Pod is read from time to time")).await;
    place.delete_pod("a");
    waiter.await.unwrap().release().await.unwrap();
}

#[test]
#[ignore = "no cluster"]
fn a_pod_that_is_not_there_is_named_with_what_to_set() {
    let place = Place::with_pods(&["a"]);
    let (status, _, error) = place.run("wrong", &["acquire", "x"]);
    assert_eq!(status, 2, "{error}");
    assert!(
        error.contains("there is no Pod \"wrong\"") && error.contains("set POD_NAME"),
        "{error}"
    );
    // Without the variable, the host's name counts as the Pod's name, but there is no such Pod
    // here.
    let (status, _, error) = outcome(cmlock(&place.user).args(["acquire", "x"]));
    assert!(
        [2, 22].contains(&status) && error.contains("set POD_NAME"),
        "{status} {error}"
    );
    let (status, _, error) = place.run("No/Pod", &["acquire", "x"]);
    assert_eq!(status, 22, "{error}");
    assert!(
        error.contains("\"No/Pod\"") && error.contains("set POD_NAME"),
        "{error}"
    );
    let (status, _, error) = outcome(
        place
            .cmlock("a", &["acquire", "x"])
            .env("POD_NAMESPACE", "elsewhere"),
    );
    assert_eq!(status, 13, "{error}");
    assert!(error.contains("elsewhere"), "{error}");
    // The command line takes precedence over the environment.
    assert_eq!(place.run("wrong", &["--pod", "a", "acquire", "x"]).0, 0);
}

#[test]
fn without_a_cluster_it_says_what_to_set() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cmlock"));
    for variable in ["KUBECONFIG", "KUBERNETES_SERVICE_HOST", "CMLOCK_LOG_FILTER"] {
        command.env_remove(variable);
    }
    let (status, _, error) = outcome(command.env("HOME", "/nonexistent").args(["acquire", "x"]));
    assert_eq!(status, 2, "{error}");
    assert!(
        error.contains("KUBECONFIG") && error.contains("service account"),
        "{error}"
    );
    let (status, _, error) = outcome(
        command
            .env("KUBERNETES_SERVICE_HOST", "10.0.0.1")
            .env("KUBERNETES_SERVICE_PORT", "443"),
    );
    assert!(
        status != 0 && error.contains("service account"),
        "{status} {error}"
    );
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_bad_name_is_refused_before_any_request() {
    let place = Place::with_pods(&["a"]);
    let client = place.client("a").await;
    let events = Events::default();
    for name in ["", "No", "a/b", "../pods/a", &"x".repeat(254)] {
        let lock = Lock::new(&client, name).on_event(events.handler());
        for error in [
            lock.acquire().await.map(drop).unwrap_err(),
            cmlock::status(&client, name).await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.errno(), Errno::EINVAL, "{error}");
            assert!(error.to_string().contains("invalid lock name"), "{error}");
        }
    }
    let lock = Lock::new(&client, "x").with_labels([("team", "a b")]);
    let error = lock.acquire().await.map(drop).unwrap_err();
    assert_eq!(error.errno(), Errno::EINVAL, "{error}");
    assert!(
        error.to_string().contains("its value \"a b\" must"),
        "{error}"
    );
    assert!(place.requests(AGENT, 0).is_empty());
    let (status, _, error) = place.run("a", &["acquire", "x", "--label", "a b=c"]);
    assert_eq!(status, 64, "{error}");
    assert!(error.contains("its name \"a b\" must"), "{error}");
}
