//! What each command answers about holders, broken leases and missing locks.

use std::{os::unix::process::CommandExt as _, process::Command};

use testkit::{eventually, process::outcome};

use crate::support::{LOCKHEED, Place};

/// The situations in which a lock may be.
const SITUATIONS: [&str; 6] = ["none", "free", "other", "ours", "over", "broken"];

impl Place {
    /// A directory whose lock `x` is in this situation for the holder `us`.
    fn with(situation: &str) -> Self {
        let place = Self::new();
        let acquire = |id: &str, duration: &str| {
            let lease = ["--id", id, "--duration", duration, "--tag", "t"];
            place.expect(&[&["acquire", "x"][..], &lease].concat(), 0);
        };
        match situation {
            "none" => {}
            "free" => place.expect(&["run", "x", "--", "true"], 0).clear(),
            "other" => acquire("other", "1h"),
            "ours" => acquire("us", "1h"),
            "over" => {
                acquire("us", "1s");
                eventually("the lease is over", || {
                    place.expect(&["inspect", "x"], 0).contains("expired")
                });
            }
            "broken" => {
                acquire("us", "1h");
                let mut command = place.lockheed(&["break", "x", "--yes"]);
                command.env_remove("SUDO_USER").env("USER", "admin");
                assert!(command.status().unwrap().success());
            }
            other => panic!("{other}"),
        }
        place
    }
}

/// The status, and words in standard output and standard error; none if nothing may be said.
type Answer = (i32, &'static [&'static str]);

const NO_LOCK: Answer = (2, &["lockheed: lock x does not exist\n"]);
const SILENT: Answer = (0, &[]);

/// A command and its answer in each situation.
fn answers(arguments: &[&str], expected: [Answer; 6]) {
    for (situation, (status, words)) in SITUATIONS.into_iter().zip(expected) {
        let place = Place::with(situation);
        let (code, stdout, stderr) = place.run(arguments);
        let said = format!("{stdout}{stderr}");
        assert_eq!(code, status, "{arguments:?}, {situation}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?}, {situation}: {said}");
        }
        assert!(
            !words.is_empty() || said.is_empty(),
            "{arguments:?}, {situation}: {said}"
        );
        assert!(said.lines().count() <= 6, "{said}");
    }
}

#[test]
fn renew_says_who_holds_the_lock_and_who_ended_the_lease() {
    answers(
        &["renew", "x", "--id", "us"],
        [
            NO_LOCK,
            (116, &["lock x is not held by \"us\": nobody holds it\n"]),
            (
                116,
                &["lock x is not held by \"us\": it is held by \"other\" until 20"],
            ),
            SILENT,
            (116, &["lock x was lost: it expired\n"]),
            (
                116,
                &[
                    "lock x is not held by \"us\": admin@",
                    " ended its lease with `break` at 20",
                    "Z; nobody holds it\n",
                ],
            ),
        ],
    );
}

#[test]
fn release_succeeds_and_names_another_holder() {
    answers(
        &["release", "x", "--id", "us"],
        [
            SILENT,
            SILENT,
            (
                0,
                &["lock x: nothing to release: it is held by \"other\", not by \"us\"\n"],
            ),
            SILENT,
            SILENT,
            SILENT,
        ],
    );
}

#[test]
fn break_says_whose_lease_it_ends() {
    let nobody: Answer = (
        0,
        &["lock x: nobody holds it, and there is nothing to break"],
    );
    const WOULD: &str = "would have lasted until 20";
    answers(
        &["break", "x", "--yes"],
        [
            NO_LOCK,
            nobody,
            (0, &["ended the lease of \"other\", which ", WOULD]),
            (0, &["ended the lease of \"us\", which ", WOULD]),
            (0, &["ended the lease of \"us\", which expired ", "s ago\n"]),
            nobody,
        ],
    );
    answers(
        &["break", "x"],
        [
            NO_LOCK,
            nobody,
            (
                64,
                &["lock x is held by \"other\": to end its lease, repeat with --yes\n"],
            ),
            (64, &["lock x is held by \"us\": "]),
            (
                64,
                &[
                    "the lease of \"us\" on lock x expired ",
                    "s ago: to end it, repeat",
                ],
            ),
            nobody,
        ],
    );
}

#[test]
fn break_only_asks_where_its_condition_holds() {
    for state in ["other", "free"] {
        let place = Place::with(state);
        let condition = r#"tags contains "no""#;
        let (code, _, _) = place.run(&["break", "x", "--if", condition]);
        assert_eq!(code, 1, "{state}");
    }
}

#[test]
fn a_lease_that_is_over_by_its_own_word_is_ended_by_break() {
    let place = Place::with("over");
    assert_eq!(place.leases("x"), ["us"]);
    place.expect(&["break", "x", "--yes"], 0);
    assert!(place.leases("x").is_empty());
    let (code, _, stderr) = place.run(&["renew", "x", "--id", "us"]);
    assert_eq!(code, 116);
    assert!(stderr.contains("ended its lease with `break`"), "{stderr}");
    // A holder that acquires the lock again has not lost it.
    place.expect(&["acquire", "x", "--id", "us"], 0);
    place.expect(&["release", "x", "--id", "us"], 0);
    let (_, _, stderr) = place.run(&["renew", "x", "--id", "us"]);
    assert!(stderr.ends_with("\"us\": nobody holds it\n"), "{stderr}");
}

#[test]
fn delete_names_who_holds_the_lock() {
    answers(
        &["delete", "x"],
        [
            NO_LOCK,
            SILENT,
            (16, &["lock x is held by \"other\" until 20"]),
            (16, &["lock x is held by \"us\" until 20"]),
            // In a directory there is only one clock.
            SILENT,
            SILENT,
        ],
    );
}

#[test]
fn inspect_says_what_is_known() {
    let free: Answer = (0, &["name     x\n", "free\n"]);
    answers(
        &["inspect", "x"],
        [
            NO_LOCK,
            free,
            (0, &["held     by \"other\" until 20", "(59m "]),
            (0, &["held     by \"us\" until 20"]),
            (0, &["over     the lease of \"us\" expired ", "s ago\n"]),
            free,
        ],
    );
}

#[test]
fn inspect_has_a_row_of_tags_only_where_there_are_some() {
    for (situation, rows) in [("free", 0), ("ours", 1)] {
        let inspected = Place::with(situation).expect(&["inspect", "x"], 0);
        assert_eq!(inspected.matches("\ntags ").count(), rows, "{inspected}");
    }
}

#[test]
fn acquire_and_run_name_the_holder() {
    let held: Answer = (16, &["lock x is held by \"other\" until 20"]);
    let acquire = ["acquire", "x", "--id", "new", "--no-wait"];
    let token: Answer = (0, &["\n"]);
    answers(
        &acquire,
        [
            token,
            token,
            held,
            (16, &["lock x is held by \"us\""]),
            token,
            token,
        ],
    );
    let held: Answer = (124, &["lock x is held by \"other\" until 20"]);
    answers(
        &["run", "x", "--no-wait", "--", "true"],
        [
            SILENT,
            SILENT,
            held,
            (124, &["lock x is held by \"us\""]),
            SILENT,
            SILENT,
        ],
    );
}

#[test]
fn list_shows_a_lease_that_is_over_as_that() {
    let place = Place::with("over");
    let table = place.expect(&["list"], 0);
    let row = table.lines().nth(1).unwrap();
    assert!(row.starts_with("x ") && row.contains(" us "), "{table}");
    assert!(row.contains(" expired "), "{table}");
    // Wider cells would move what is behind them.
    let tags = row.find(" t").map(|at| at + 1);
    assert_eq!(tags, table.find("TAGS"), "{table}");
    for arguments in [&["list", "-o", "json"][..], &["inspect", "x", "-o", "json"]] {
        let json: serde_json::Value = serde_json::from_str(&place.expect(arguments, 0)).unwrap();
        let lock = json.get(0).unwrap_or(&json);
        assert_eq!(lock["held"], false, "{lock}");
        assert_eq!(lock["holders"], serde_json::json!([]), "{lock}");
        let over = &lock["expired"][0];
        assert_eq!(over["id"], "us", "{lock}");
        assert_eq!(over["durationSeconds"], 1.0, "{lock}");
        assert!(over["expiredSecondsAgo"].as_f64().unwrap() >= 0.0, "{lock}");
    }
    let free = Place::with("free").expect(&["list", "-o", "json"], 0);
    assert!(free.contains("\"expired\":[]"), "{free}");
}

/// Every command on a missing directory, and on a lock that cannot be read.
#[test]
fn what_is_missing_or_spoilt_is_named() {
    let place = Place::new();
    let missing = format!("dir:{}", place.path("none").display());
    place.write("x", "{");
    for arguments in [
        &["renew", "x", "--id", "us"][..],
        &["release", "x", "--id", "us"],
        &["break", "x", "--yes"],
        &["delete", "x"],
        &["inspect", "x"],
    ] {
        let (code, _, stderr) = place.run(arguments);
        assert_eq!(code, 22, "{arguments:?}: {stderr}");
        assert!(stderr.contains("lock x cannot be read: "), "{stderr}");
        let mut command = place.lockheed(arguments);
        command.env("LOCKHEED_STORE", &missing);
        let (code, _, stderr) = testkit::process::outcome(&mut command);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        let line = "/none\" does not exist: run or acquire creates it\n";
        assert!(
            stderr.starts_with("lockheed: store \"") && stderr.ends_with(line),
            "{stderr}"
        );
    }
    for arguments in [&["list"][..], &["check"]] {
        let mut command = place.lockheed(arguments);
        command.env("LOCKHEED_STORE", &missing);
        let (code, _, stderr) = testkit::process::outcome(&mut command);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(stderr.contains("/none\" does not exist: "), "{stderr}");
    }
}

#[test]
fn the_variable_of_the_store_counts_only_without_the_option() {
    let place = Place::new();
    let store = place.store();
    let with_variable = |variable: &str, arguments: &[&str]| {
        let mut command = Command::new(LOCKHEED);
        outcome(command.args(arguments).env("LOCKHEED_STORE", variable))
    };
    for variable in ["", "foo", "dir:"] {
        for arguments in [&["--store", &store, "list"], &["list", "--store", &store]] {
            let (code, _, stderr) = with_variable(variable, arguments);
            assert_eq!(code, 0, "{variable:?}, {arguments:?}: {stderr}");
        }
    }
    let (code, _, stderr) = with_variable("foo", &["list"]);
    let line = "lockheed: invalid value \"foo\" for LOCKHEED_STORE: write kube, lease or dir:PATH";
    assert!(code == 64 && stderr.starts_with(line), "{stderr}");
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
        &["inspect", "x"][..],
        &["break", "x", "--yes"],
        &["delete", "x"],
        &["list"],
        &["check"],
        &["acquire", "x", "--wait", "1s"],
    ] {
        let mut command = crate::support::lockheed(arguments);
        command.args(["--server", &server, "-n", "default"]);
        command.env("KUBECONFIG", "/dev/null");
        let (code, _, stderr) = testkit::process::outcome(&mut command);
        let away = [111, 110].contains(&code);
        assert!(away, "{arguments:?}: {code}: {stderr}");
        assert!(stderr.contains(&port.to_string()), "{stderr}");
        assert!(!stderr.contains("cancelled"), "{stderr}");
    }
}

#[test]
fn a_run_that_lost_its_lock_says_by_whom() {
    let place = Place::new();
    let force = ["--id", "thief", "--force", "acquired equals true"];
    for (robbed, named) in [
        (&["break", "x", "--yes"][..], "admin@"),
        (
            &[&["acquire", "x"], &force[..]].concat(),
            "it is held by \"thief\" until 20",
        ),
    ] {
        let holder = place.hold("1h");
        let mut command = place.lockheed(robbed);
        command.env_remove("SUDO_USER").env("USER", "admin");
        assert!(command.status().unwrap().success());
        assert_eq!(holder.finish().0, 122);
        let log = std::fs::read_to_string(place.path("stderr")).unwrap();
        assert!(log.contains("lock x: lost: somebody else took it"), "{log}");
        assert!(log.contains(named), "{log}");
        std::fs::remove_file(place.path("begun")).unwrap();
    }
}

#[test]
fn usage_that_is_written_by_hand_names_kubectls_plugin_too() {
    let plugin = |arguments: &[&str]| {
        let mut plugin = Command::new(LOCKHEED);
        outcome(plugin.arg0("/bin/kubectl-lockheed").args(arguments))
    };
    let (status, help, _) = plugin(&["run", "--help"]);
    assert_eq!(status, 0);
    assert!(
        help.contains("Usage: kubectl lockheed run [OPTIONS] <NAME>..."),
        "{help}"
    );
    assert!(
        help.contains("kubectl lockheed run [OPTIONS] --key"),
        "{help}"
    );
    let (status, _, error) = plugin(&["run", "x", "true"]);
    assert_eq!(status, 64);
    assert!(error.contains("kubectl lockheed run"), "{error}");
}
