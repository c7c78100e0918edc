//! The exact log lines.

use std::fmt::Write;

use crate::support::{Place, expect, finish_with};

/// Turns pairs of level and message into log lines, as they are printed for this place's pipe.
fn lines(place: &Place, lines: &[(&str, &str)]) -> String {
    lines
        .iter()
        .fold(String::new(), |mut text, (level, message)| {
            writeln!(
                text,
                "[{level:<5} lockpipes] {message} at {:?}",
                place.pipe()
            )
            .unwrap();
            text
        })
}

#[track_caller]
fn logs(place: &Place, command: &[&str], status: i32, expected: &[(&str, &str)]) {
    let output = place
        .lockpipe()
        .args(command)
        .env("LOCKPIPE_LOG_FILTER", "debug")
        .output()
        .unwrap();
    let all = lines(place, expected);
    assert_eq!(expect(&output, status), all, "{command:?}");
}

#[test]
fn create_exists_and_delete() {
    let place = Place::new();
    logs(
        &place,
        &["exists"],
        1,
        &[
            ("DEBUG", "checking if pipe exists"),
            ("INFO", "pipe does not exist"),
        ],
    );
    logs(
        &place,
        &["create"],
        0,
        &[("DEBUG", "creating pipe"), ("INFO", "created pipe")],
    );
    logs(
        &place,
        &["create"],
        0,
        &[("DEBUG", "creating pipe"), ("WARN", "pipe already exists")],
    );
    logs(
        &place,
        &["exists"],
        0,
        &[
            ("DEBUG", "checking if pipe exists"),
            ("INFO", "pipe exists"),
        ],
    );
    logs(&place, &["delete"], 0, &[("INFO", "deleted pipe")]);
    logs(&place, &["delete"], 0, &[("WARN", "pipe does not exist")]);
}

#[test]
fn read_and_write_where_the_pipe_exists() {
    for (command, other, during, done) in [
        ("read", "write", "reading from pipe", "read from pipe"),
        ("write", "read", "writing to pipe", "wrote to pipe"),
    ] {
        let place = Place::with_pipe();
        let partner = place.start(&[other]);
        let expected = [
            ("DEBUG", "ensuring pipe exists"),
            ("INFO", "pipe exists"),
            ("DEBUG", during),
            ("INFO", done),
        ];
        logs(&place, &[command], 0, &expected);
        finish_with(partner, 0);
    }
}

#[test]
fn read_and_write_that_make_the_pipe() {
    for (command, during) in [("read", "reading from pipe"), ("write", "writing to pipe")] {
        let place = Place::new();
        let output = place
            .lockpipe()
            .args([command, "-v", "--timeout", "10ms"])
            .output()
            .unwrap();
        let stderr = expect(&output, 110);
        let expected = lines(
            &place,
            &[
                ("DEBUG", "ensuring pipe exists"),
                ("WARN", "pipe does not exist"),
                ("DEBUG", "creating pipe"),
                ("INFO", "created pipe"),
                ("DEBUG", during),
            ],
        );
        assert!(stderr.starts_with(&expected), "{stderr}");
        assert!(
            stderr[expected.len()..].starts_with("lockpipe: cannot "),
            "{stderr}"
        );
        assert!(stderr.ends_with("within 10ms\n"), "{stderr}");
    }
}

#[test]
fn the_default_level_is_info_and_the_environment_and_flags_change_it() {
    let place = Place::with_pipe();
    assert_eq!(
        place.run(&["exists"], 0),
        lines(&place, &[("INFO", "pipe exists")])
    );
    assert_eq!(place.run(&["exists", "-q"], 0), "");
    let output = place
        .lockpipe()
        .arg("exists")
        .env("LOCKPIPE_LOG_FILTER", "warn")
        .output()
        .unwrap();
    assert_eq!(expect(&output, 0), "");
    let output = place
        .lockpipe()
        .arg("exists")
        .env("LOCKPIPE_LOG_FILTER", "loud")
        .output()
        .unwrap();
    assert!(
        expect(&output, 64)
            .starts_with(r#"lockpipe: invalid value "loud" for LOCKPIPE_LOG_FILTER: use off, "#)
    );
}
