//! What each command answers about holders, expired locks and missing locks.

use serde_json::json;

use crate::support::Place;

/// The situations in which Pod `a` may find a lock.
const SITUATIONS: [&str; 6] = ["none", "over", "gone", "other", "ours", "spoilt"];

/// The status, and words in standard output and standard error; none if nothing may be printed.
type Answer = (i32, &'static [&'static str]);

const SILENT: Answer = (0, &[]);
const SPOILT: Answer = (
    22,
    &[
        "ConfigMap \"x\" exists but is not a cmlock lock (",
        "); leaving it unchanged\n",
    ],
);

fn put(place: &Place, situation: &str) {
    match situation {
        "none" => {}
        "over" => place.put("x", "b", Some(1)),
        "gone" => {
            place.pod("c");
            place.put("x", "c", None);
            place.delete_pod("c");
        }
        "other" => place.put("x", "b", None),
        "ours" => place.put("x", "a", None),
        "spoilt" => place.namespace.apply(
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"expiresAt": "soon"}}),
        ),
        other => panic!("{other}"),
    }
}

/// Runs a command as Pod `a`, and checks its answer in each situation.
fn answers(arguments: &[&str], expected: [Answer; 6]) {
    let place = Place::with_pods(&["a", "b"]);
    for (situation, (status, words)) in SITUATIONS.into_iter().zip(expected) {
        put(&place, situation);
        let (code, stdout, stderr) = place.run("a", arguments);
        let said = format!("{stdout}{stderr}");
        assert_eq!(code, status, "{arguments:?}, {situation}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?}, {situation}: {said}");
        }
        let is_silent = !words.is_empty() || said.is_empty();
        assert!(is_silent, "{arguments:?}, {situation}: {said}");
        let gone = ["delete", "configmap", "x", "--ignore-not-found"];
        place.namespace.kubectl(&gone, None);
    }
}

const OTHER: &str = "lock x: it is held by Pod \"b\", without expiry";
const OURS: &str = "lock x: it is held by Pod \"a\", without expiry";

#[test]
#[ignore = "no cluster"]
fn status_says_who_holds_a_lock_or_why_nobody_does() {
    answers(
        &["status", "x"],
        [
            (1, &["lock x is free\n"]),
            (1, &["lock x is free: it expired at 1970-01-01T00:00:01Z\n"]),
            (1, &["lock x is free: its Pod \"c\" is gone\n"]),
            (0, &["lock x is held by Pod \"b\", without expiry\n"]),
            (0, &["lock x is held by Pod \"a\", without expiry\n"]),
            SPOILT,
        ],
    );
}

// Holds cmlock-6.
#[test]
#[ignore = "no cluster"]
fn release_names_another_holder_and_has_nothing_to_do_where_there_is_none() {
    let other: Answer = (16, &[OTHER]);
    answers(
        &["release", "x"],
        [SILENT, SILENT, SILENT, other, SILENT, SPOILT],
    );
    let ours: Answer = (16, &[OURS]);
    answers(
        &["release", "x", "--holder", "another"],
        [SILENT, SILENT, SILENT, other, ours, SPOILT],
    );
}

#[test]
#[ignore = "no cluster"]
fn acquire_and_run_name_the_holder() {
    let id: Answer = (0, &["\n"]);
    answers(
        &["acquire", "x", "--no-wait"],
        [
            id,
            id,
            id,
            (16, &[OTHER]),
            (16, &[OURS, "`cmlock release`"]),
            SPOILT,
        ],
    );
    answers(
        &["run", "x", "--no-wait", "--", "true"],
        [
            SILENT,
            SILENT,
            SILENT,
            (124, &[OTHER]),
            (124, &[OURS, "`cmlock release`"]),
            (125, SPOILT.1),
        ],
    );
}

/// A server that is unreachable is reported as that, whatever was asked.
#[test]
fn an_api_server_that_is_away_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Nobody listens there any more; the name has to be looked up.
    drop(listener);
    let server = format!("http://localhost:{port}");
    for arguments in [
        &["status", "x"][..],
        &["release", "x"],
        &["list"],
        &["check"],
        &["acquire", "x", "--wait", "1s"],
    ] {
        let mut command = crate::support::cmlock("/dev/null".as_ref());
        command.args(["--server", &server, "-n", "default", "--pod", "a"]);
        let (code, _, stderr) = testkit::process::outcome(command.args(arguments));
        assert!(
            [111, 110].contains(&code),
            "{arguments:?}: {code}: {stderr}"
        );
        assert!(stderr.contains(&port.to_string()), "{stderr}");
        assert!(!stderr.contains("cancelled"), "{stderr}");
    }
}
