//! Wrong arguments, and variables of options.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use crate::{assert_output, run, statuses};

/// Each says what is wrong, and what would be right.
#[test]
fn wrong_usage_is_one_line() {
    let wrong: &[(&[&str], &str)] = &[
        (&["yess"], "unknown command \"yess\": did you mean yes?"),
        (
            &["--verbos", "yes"],
            "unknown option --verbos: did you mean --verbose?",
        ),
        (
            &["--no-colour", "yes"],
            "unknown option --no-colour (see statuses yes --help)",
        ),
        (
            &["yes", "-x"],
            "unknown option -x (see statuses yes --help)",
        ),
        (
            &["yes", "no"],
            "unexpected argument \"no\": write statuses yes [OPTIONS]",
        ),
        (
            &["errno"],
            "missing <NUMBER>: write statuses errno <NUMBER>",
        ),
        (
            &["errno", "many"],
            "invalid value \"many\" for <NUMBER>: write a whole number",
        ),
        (
            &["errno", "--limit", "-1"],
            "invalid value \"-1\" for --limit <LIMIT>: write a number from 0 to 255",
        ),
        (
            &["errno", "--limit", "-5m"],
            "invalid value \"-5m\" for --limit <LIMIT>: write a whole number",
        ),
        (
            &["limit", "--note", "-1"],
            "--note needs a value: if \"-1\" is meant, write --note=-1",
        ),
        (
            &["limit", "-n", "-1"],
            "-n needs a value: if \"-1\" is meant, write -n=-1",
        ),
        (
            &["errno", "--limit", "300", "1"],
            "invalid value \"300\" for --limit <LIMIT>: write a number from 0 to 255",
        ),
        (
            &["duration", "1\u{1b}[31m\n"],
            "<DURATION>: \"1\\u{1b}[31m\\n\" is not a duration: write it like 500ms, 5s, 1m30s or 1.5h",
        ),
    ];
    for (arguments, line) in wrong {
        assert_output(&run(arguments), 64, "", &format!("statuses: {line}\n"));
    }
    let none = String::from_utf8(run(&[]).stderr).unwrap();
    assert!(
        none.starts_with("statuses: no command given: use yes, no, ")
            && none.ends_with(" or duration (see statuses --help)\n"),
        "{none}"
    );
}

/// Paths may be of any bytes, beside a value that must be text.
#[test]
fn an_argument_that_is_not_text_is_named() {
    let wrong: &[(&[&[u8]], &str)] = &[
        (&[b"fail", b"\xff\n"], r#"argument "\xFF\n""#),
        (
            &[b"limit", b"--note", b"a\xff"],
            r#"value "a\xFF" for --note <NOTE>"#,
        ),
        (
            &[b"limit", b"-n", b"\xff"],
            r#"value "\xFF" for --note <NOTE>"#,
        ),
        (&[b"--note=\xff", b"limit"], r#"value "\xFF" for --note"#),
        (
            &[b"exec", b"--note", b"\xff", b"--", b"\xfe"],
            r#"value "\xFF" for --note <NOTE>"#,
        ),
    ];
    for (arguments, what) in wrong {
        let words = arguments.iter().map(|word| OsStr::from_bytes(word));
        let line = format!("statuses: invalid {what}: it is not UTF-8 text\n");
        assert_output(&statuses().args(words).output().unwrap(), 64, "", &line);
    }
}

#[test]
fn usage_shows_no_option_that_only_the_environment_gives() {
    let missing = statuses().env("STATUSES_LIMIT", "5").arg("errno").output();
    let line = "statuses: missing <NUMBER>: write statuses errno <NUMBER>\n";
    assert_output(&missing.unwrap(), 64, "", line);
}

#[test]
fn a_variable_counts_only_where_its_option_is_not_given() {
    let limit = |variable: &[u8], args: &[&str]| {
        let variable = OsStr::from_bytes(variable);
        let tool = statuses()
            .args(args)
            .env("STATUSES_LIMIT", variable)
            .output();
        tool.unwrap()
    };
    assert_output(&limit(b"5", &["limit"]), 0, "Some(5)\n", "");
    assert_output(&limit(b"", &["limit"]), 0, "None\n", "");
    for variable in [&b""[..], b"5", b"many", b"-1", b"\xff"] {
        for args in [
            &["limit", "--limit", "7"][..],
            &["--limit", "7", "limit"],
            &["limit", "--limit=7"],
        ] {
            assert_output(&limit(variable, args), 0, "Some(7)\n", "");
        }
    }
    let many = "invalid value \"many\" for STATUSES_LIMIT: write a whole number";
    let most = "invalid value \"300\" for STATUSES_LIMIT: write a number from 0 to 255";
    let bytes = r#"invalid value "\xFF" for STATUSES_LIMIT: it is not UTF-8 text"#;
    for (variable, line) in [(&b"many"[..], many), (b"300", most), (b"\xff", bytes)] {
        let line = format!("statuses: {line}\n");
        for command in ["limit", "yes"] {
            assert_output(&limit(variable, &[command]), 64, "", &line);
        }
    }
}

#[test]
fn a_separator_that_was_forgotten_is_named() {
    let wrong: &[(&[&str], &str)] = &[
        (
            &["exec", "-v", "sh", "-c", "of a secret"],
            "\"--\" is missing before the command to run: write statuses exec ... -- sh ...",
        ),
        (
            &["exec", "-c"],
            "unknown option -c (see statuses exec --help): put options of the command to run after \"--\"",
        ),
        (
            &["exec", "--bogus", "--", "timeout", "--note", "--bogus"],
            "unknown option --bogus (see statuses exec --help)",
        ),
        (
            &["exec"],
            "\"--\" is missing before the command to run: write statuses exec [OPTIONS] -- <CMD>...",
        ),
        (
            &["exec", "--"],
            "no command is given after \"--\": write statuses exec [OPTIONS] -- <CMD>...",
        ),
        (
            &["exec", "true", "--", "true"],
            "unexpected argument \"true\": write statuses exec [OPTIONS] -- <CMD>...",
        ),
        (
            &["exec", "--quite", "--", "true"],
            "unknown option --quite: did you mean --quiet?",
        ),
    ];
    for (arguments, line) in wrong {
        assert_output(&run(arguments), 64, "", &format!("statuses: {line}\n"));
    }
}

#[test]
fn a_password_in_a_wrong_argument_is_masked() {
    let commands: &[&[&str]] = &[
        &[],
        &["errno"],
        &["errno", "1"],
        &["limit", "--limit"],
        &["exec"],
        &["exec", "-v"],
        // Its parser names what it cannot read.
        &["duration"],
    ];
    let urls = [
        &b"http://me:secret@h/"[..],
        b"me:secret@h/",
        b"http://me:secret\xff@h/",
    ];
    for (command, url) in commands.iter().flat_map(|it| urls.map(|url| (it, url))) {
        for rest in [&[][..], &["--", "true"]] {
            let mut tool = statuses();
            tool.args(*command).arg(OsStr::from_bytes(url)).args(rest);
            let output = tool.output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(64), "{tool:?}: {said}");
            assert!(!said.contains("secret"), "{tool:?}: {said}");
            // With more behind it, something else may be wrong, too.
            let is_named = said.contains("***@h") || url.contains(&0xff);
            assert!(is_named || !rest.is_empty(), "{tool:?}: {said}");
        }
    }
    let flag = run(&["exec", "--verbose=http://me:secret@h/", "--", "true"]);
    let line = "statuses: unexpected value \"http://***@h/\" for --verbose...\n";
    assert_output(&flag, 64, "", line);
}
