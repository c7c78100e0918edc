//! `break` of one lease, as `inspect` shows it, on a cluster.

use std::{path::Path, process::Command};

use testkit::process::outcome;

use super::{Place, VERBS, commands::run};

#[test]
#[ignore = "no cluster"]
fn what_inspect_shows_ends_that_lease_in_that_namespace() {
    let place = Place::new();
    let namespace = place.namespace.name();
    let options = ["--prefix", "ci", "--namespace", namespace];
    let on = |arguments: &[&str]| run(&place.user, &[&options, arguments].concat());
    let (status, token, _) = on(&["acquire", "x", "--id", "it's me"]);
    assert_eq!(status, Some(0));
    let (_, inspected, _) = on(&["inspect", "x"]);
    let command = inspected
        .lines()
        .find_map(|line| line.strip_prefix("break    "));
    let command = command.unwrap_or_else(|| panic!("{inspected}"));
    let expected = format!(
        r"lockheed break x --id='it'\''s me' --fencing-token={} --prefix=ci --kubeconfig={} --namespace={namespace}",
        token.trim(),
        place.user.display()
    );
    assert_eq!(command, expected);
    let pasted = || {
        let directory = Path::new(env!("CARGO_BIN_EXE_lockheed")).parent().unwrap();
        let path = format!("{}:/usr/bin:/bin", directory.display());
        let mut shell = Command::new("sh");
        outcome(
            shell
                .args(["-c", command])
                .env("PATH", path)
                .env_remove("LOCKHEED_STORE"),
        )
    };
    let (status, said, error) = pasted();
    assert_eq!(status, 0, "{error}");
    assert!(said.starts_with("ended the lease of \"it's me\""), "{said}");
    assert_eq!(on(&["acquire", "x", "--id", "it's me"]).0, Some(0));
    let (status, _, error) = pasted();
    assert_eq!(status, 1);
    assert!(
        error.contains("it is held by \"it's me\" until 20"),
        "{error}"
    );
    assert!(
        on(&["inspect", "x", "-o", "json"])
            .1
            .contains("\"held\":true")
    );
}

#[test]
#[ignore = "no cluster"]
fn the_right_that_breaking_needs_is_named() {
    let place = Place::new();
    assert_eq!(run(&place.user, &["acquire", "x", "--id", "a"]).0, Some(0));
    let verbs: Vec<&str> = VERBS.into_iter().filter(|verb| *verb != "update").collect();
    let reader = place.namespace.user("reader", &[("configmaps", &verbs)]);
    let (status, _, error) = run(&reader, &["break", "x", "--id", "a"]);
    assert_eq!(status, Some(13), "{error}");
    assert!(
        error.contains(r#"resources: ["configmaps"], verbs: ["update"]"#),
        "{error}"
    );
    assert_eq!(run(&reader, &["break", "x", "--id", "b"]).0, Some(1));
}
