//! `break` ends the hold of one holder, even in another Pod, and of no other.

use std::{path::Path, process::Command};

use cmlock::Lock;
use coord_core::Errno;
use serde_json::Value;
use testkit::process::outcome;

use crate::support::{Place, cmlock, soon};

fn acquire(place: &Place, pod: &str) -> String {
    let (status, id, error) = place.run(pod, &["acquire", "x"]);
    assert_eq!(status, 0, "{error}");
    id.trim().to_owned()
}

#[test]
#[ignore = "no cluster"]
fn only_the_hold_of_that_holder_is_ended() {
    let place = Place::with_pods(&["a", "b"]);
    let older = acquire(&place, "a");
    assert_eq!(place.run("a", &["release", "x"]).0, 0);
    let id = acquire(&place, "a");
    let uid = place.uid("configmaps", "x");
    let (status, said, error) = place.run("b", &["break", "x", "--holder", &older]);
    assert_eq!((status, &*said), (1, ""));
    let expected = format!(
        "cmlock: lock x: it is not held by \"{older}\": it is held by Pod \"a\" (holder {id}), without expiry\n"
    );
    assert_eq!(error, expected);
    assert_eq!(place.uid("configmaps", "x"), uid);
    // `break` needs no Pod.
    let mut admin = cmlock(&place.user);
    let (status, said, error) =
        outcome(admin.args(["break", "x", "--holder", &id, "--pod", "none"]));
    assert_eq!(status, 0, "{error}");
    assert_eq!(said, format!("ended the hold of Pod \"a\" (holder {id})\n"));
    assert!(!place.exists("x"));
    let (status, _, error) = place.run("b", &["break", "x", "--holder", &id]);
    assert_eq!(status, 1);
    assert!(error.contains(": nobody holds it\n"), "{error}");
    assert_eq!(place.run("b", &["break", "x"]).0, 64);
    assert_eq!(place.run("b", &["break", "No/Name", "--holder", "i"]).0, 22);
}

#[test]
#[ignore = "no cluster"]
fn what_status_shows_can_be_pasted() {
    let place = Place::with_pods(&["a"]);
    let id = acquire(&place, "a");
    // Go programs write no ID, so the object's UID says which hold is meant.
    place.put("go", "a", None);
    let uid = place.uid("configmaps", "go");
    let namespace = place.namespace.name();
    for (lock, holder) in [("x", id), ("go", uid)] {
        let mut command = place.cmlock("a", &["status", lock]);
        let (_, said, _) = outcome(command.env("POD_NAMESPACE", namespace));
        let shown = said
            .lines()
            .find_map(|line| line.strip_prefix("break it: "));
        let user = place.user.display();
        let expected = format!(
            "cmlock break {lock} --holder={holder} --kubeconfig={user} --namespace={namespace}"
        );
        assert_eq!(shown, Some(&*expected), "{said}");
        let directory = Path::new(env!("CARGO_BIN_EXE_cmlock")).parent().unwrap();
        let path = format!("{}:/usr/bin:/bin", directory.display());
        let mut shell = Command::new("sh");
        let (status, said, error) = outcome(shell.args(["-c", &expected]).env("PATH", path));
        assert_eq!(status, 0, "{error}");
        assert!(said.contains(&holder) && !place.exists(lock), "{said}");
    }
    place.put("go", "a", None);
    let uid = place.uid("configmaps", "go");
    let (status, _, error) = place.run("a", &["break", "go", "--holder", "other"]);
    assert_eq!(status, 1);
    assert!(error.contains(&uid), "{error}");
    let (_, json, _) = place.run("a", &["status", "go", "-o", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["uid"], &json["holder"]), (&uid.into(), &Value::Null));
}

#[test]
#[ignore = "no cluster"]
fn the_right_that_is_needed_is_checked_before_and_named() {
    let place = Place::with_pods(&["a"]);
    let id = acquire(&place, "a");
    let reader = place.namespace.user("reader", &[("configmaps", &["get"])]);
    let on = |holder: &str| outcome(cmlock(&reader).args(["break", "x", "--holder", holder]));
    let (status, _, error) = on(&id);
    assert_eq!(status, 13, "{error}");
    let namespace = place.namespace.name();
    let rule =
        r#"{apiGroups: [""], resources: ["configmaps"], resourceNames: ["x"], verbs: ["delete"]}"#;
    let expected = format!(
        "cmlock: lock x: not allowed to delete configmaps in namespace \"{namespace}\": a Role there must have the rule {rule}; `cmlock check x` prints one\n"
    );
    assert_eq!(error, expected);
    // Without the right to read Pods, the error says only what the object says.
    let (status, _, error) = on("other");
    assert_eq!(status, 1);
    assert!(
        error.contains(&format!("it is held by Pod \"a\" (holder {id})")),
        "{error}"
    );
    let enough = [("configmaps", &["get", "delete"][..])];
    let breaker = place.namespace.user("breaker", &enough);
    let (status, _, error) = outcome(cmlock(&breaker).args(["break", "x", "--holder", &id]));
    assert_eq!(status, 0, "{error}");
}

#[tokio::test]
#[ignore = "no cluster"]
async fn its_holder_is_told_and_the_next_one_is_left_alone() {
    let place = Place::with_pods(&["a", "b"]);
    let (a, b) = (place.client("a").await, place.client("b").await);
    let first = Lock::new(&a, "x").acquire().await.unwrap();
    let record = cmlock::break_lock(&b, "x", first.id()).await.unwrap();
    assert_eq!((&*record.owner.name, record.holder_id()), ("a", first.id()));
    soon(first.lost()).await;
    let next = soon(Lock::new(&b, "x").acquire()).await.unwrap();
    let error = cmlock::break_lock(&a, "x", first.id()).await.unwrap_err();
    assert_eq!(error.errno(), Errno::ESTALE);
    assert!(!next.is_lost() && place.exists("x"));
}
