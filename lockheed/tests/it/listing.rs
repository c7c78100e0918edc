//! The output of `list` and `inspect`, which stays the same.

use std::fs;

use serde_json::Value;
use testkit::{eventually, process::Kept};

use crate::support::Place;

#[test]
fn list_shows_who_holds_what() {
    let place = Place::new();
    assert_eq!(place.expect(&["list", "-o", "name"], 0), "");
    place.expect(
        &[
            "acquire",
            "b",
            "--id",
            "holder",
            "--duration",
            "1h",
            "--tag",
            "t",
            "--tag",
            "u",
        ],
        0,
    );
    place.expect(&["run", "a", "--", "true"], 0);
    assert_eq!(place.expect(&["list", "-o", "name"], 0), "a\nb\n");
    assert_eq!(
        place.expect(
            &["list", "-o", "name", "--where", "acquired equals true"],
            0
        ),
        "b\n"
    );
    assert_eq!(
        place.expect(
            &[
                "list",
                "-o",
                "name",
                "--where",
                r#"{"Operation":"contains","Field":"tags","Value":"x"}"#
            ],
            0
        ),
        ""
    );
    let table = place.expect(&["list"], 0);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["NAME", "HOLDER", "EXPIRES", "IN", "TAGS", "KEY"]);
    assert_eq!(rows[1], ["a", "-", "-"]);
    assert_eq!(
        (rows[2][..2].to_vec(), *rows[2].last().unwrap()),
        (vec!["b", "holder"], "t,u")
    );
}

#[test]
fn json_has_its_documented_fields() {
    let place = Place::new();
    place.expect(
        &[
            "acquire",
            "x",
            "--id",
            "a",
            "--duration",
            "1h",
            "--tag",
            "t",
        ],
        0,
    );
    let list: Value = serde_json::from_str(&place.expect(&["list", "-o", "json"], 0)).unwrap();
    let one: Value =
        serde_json::from_str(&place.expect(&["inspect", "x", "-o", "json"], 0)).unwrap();
    for lock in [&list[0], &one] {
        assert_eq!(
            (&lock["name"], &lock["held"], &lock["tags"]),
            (&"x".into(), &true.into(), &serde_json::json!(["t"]))
        );
        assert!(lock["version"].is_string());
        let holder = &lock["holders"][0];
        assert_eq!(
            (&holder["id"], &holder["durationSeconds"]),
            (&"a".into(), &3600.0.into())
        );
        assert!(
            holder["expires"]
                .as_str()
                .unwrap()
                .parse::<lockheed::Timestamp>()
                .is_ok()
        );
        let left = holder["expiresInSeconds"].as_f64().unwrap();
        assert!(left > 3000.0 && left <= 3600.0, "{left}");
    }
    assert_eq!(one["record"]["leases"]["a"]["instanceID"], "a");
    place.expect(&["acquire", "y", "--id", "a", "--duration", "0"], 0);
    let one: Value =
        serde_json::from_str(&place.expect(&["inspect", "y", "-o", "json"], 0)).unwrap();
    assert_eq!(one["holders"][0]["expiresInSeconds"], Value::Null);
    assert_eq!(place.run(&["inspect", "z"]).0, 2);
}

#[test]
fn list_watch_prints_each_change() {
    let place = Place::new();
    place.expect(&["run", "a", "--", "true"], 0);
    let log = place.path("log");
    let mut command = place.lockheed(&["list", "--watch", "-o", "json"]);
    let _watcher = Kept(
        command
            .stdout(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap(),
    );
    let seen = |holder: &str| {
        let text = fs::read_to_string(&log).unwrap();
        text.lines().any(|line| line.contains(holder))
    };
    eventually("what there is is printed", || seen(r#""name":"a""#));
    place.expect(&["acquire", "b", "--id", "someone"], 0);
    eventually("a change is printed", || seen("someone"));
    for line in fs::read_to_string(&log).unwrap().lines() {
        manual::schema::assert_fits(env!("CARGO_MANIFEST_DIR"), "lock", line);
    }
}

/// Texts that others write into locks are escaped for the terminal.
#[test]
fn control_characters_are_escaped_in_every_format() {
    let place = Place::new();
    let bad = "\u{1b}[31mred\u{9b}1m\u{202e}\u{7f}\r\n";
    let lease = serde_json::json!({"instanceID": bad, "expires": "9999-12-31T23:59:59Z"});
    place.expect(&["run", "x", "--", "true"], 0);
    let mut file = place.json("x");
    file["leases"] = serde_json::json!({ bad: lease });
    file["tags"] = serde_json::json!([bad, "plain"]);
    place.write("x", &file.to_string());
    let is_safe = |text: &str| text.chars().all(|c| c == '\n' || (' '..='~').contains(&c));
    for format in ["table", "wide", "json", "yaml", "name"] {
        let list = place.expect(&["list", "-o", format], 0);
        assert!(is_safe(&list), "{list:?}");
    }
    for format in ["text", "json", "yaml", "wide"] {
        let shown = place.expect(&["inspect", "x", "--output", format], 0);
        assert!(is_safe(&shown) && shown.contains("[31mred"), "{shown:?}");
    }
    let table = place.expect(&["list"], 0);
    assert_eq!(table.lines().count(), 2, "{table}");
    let (_, _, error) = place.run(&["acquire", "x", "--no-wait"]);
    assert!(is_safe(&error) && error.contains("[31mred"), "{error:?}");
}
