//! Exit statuses and messages.

use std::{
    ffi::OsStr,
    fs,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, net::UnixDatagram, process::CommandExt},
    },
    process::{Command, Stdio},
};

use crate::{assert_output, run, statuses};

#[test]
fn yes_is_0_and_no_is_1() {
    assert_output(&run(&["yes"]), 0, "", "");
    assert_output(&run(&["no"]), 1, "", "");
}

#[test]
fn a_failure_ends_with_its_errno_and_one_line() {
    let expected = [
        (2, "No such file or directory"),
        (13, "Permission denied"),
        (17, "File exists"),
    ];
    for (number, text) in expected {
        let line = format!("statuses: {text}\n");
        assert_output(&run(&["errno", &number.to_string()]), number, "", &line);
    }
}

#[test]
fn errnos_that_would_read_as_something_else_are_moved() {
    assert_eq!(run(&["errno", "1"]).status.code(), Some(13));
    for number in ["64", "70", "126", "127", "130", "133", "4000"] {
        assert_eq!(
            run(&["errno", number]).status.code(),
            Some(5),
            "errno {number}"
        );
    }
}

#[test]
fn a_message_stays_on_one_line_whatever_it_contains() {
    let output = run(&["fail", "a\nb\u{1b}[31mc\té"]);
    assert_output(&output, 5, "", "statuses: a\\nb\\u{1b}[31mc\\té\n");
}

/// A datagram socket keeps each write apart.
#[test]
fn a_message_is_one_write() {
    for arguments in [&["errno", "2"][..], &["--no-such-flag"], &["panic"]] {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let mut child = statuses()
            .args(arguments)
            .stderr(OwnedFd::from(theirs))
            .spawn()
            .unwrap();
        let whole = run(arguments).stderr;
        let mut message = vec![0; whole.len() + 1];
        let length = ours.recv(&mut message).unwrap();
        assert_eq!(message[..length], whole);
        child.wait().unwrap();
    }
}

#[test]
fn wrong_usage_is_64() {
    for args in [
        &["--no-such-flag"][..],
        &["no-such-command"],
        &[],
        &["errno", "many"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{args:?}"
        );
    }
    assert_output(
        &run(&["usage"]),
        64,
        "",
        "statuses: these do not go together\n",
    );
}

#[test]
fn a_wrong_duration_is_named_with_an_example() {
    assert_output(&run(&["duration", "1m30s"]), 0, "90000000000\n", "");
    let output = run(&["duration", "soon"]);
    assert_eq!(output.status.code(), Some(64));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains(r#""soon" is not a duration: write it like 500ms"#),
        "{stderr}"
    );
}

#[test]
fn a_panic_is_70_with_its_place() {
    let output = run(&["panic"]);
    assert_eq!(output.status.code(), Some(70));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.starts_with(r#"statuses: bug: "on purpose\nin two lines" at "#),
        "{stderr}"
    );
    assert!(stderr.contains("statuses.rs:"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn a_wrapper_ends_with_its_own_statuses() {
    for status in [122, 124, 125, 126, 127] {
        assert_output(
            &run(&["wrapper", &status.to_string()]),
            status,
            "",
            "statuses: as asked\n",
        );
    }
}

#[test]
fn help_and_version_are_results() {
    let help = |args: &[&str]| {
        let output = run(args);
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
        String::from_utf8(output.stdout).unwrap()
    };
    let short = help(&["-h"]);
    assert!(short.contains("Logging:\n  -v, --verbose"), "{short}");
    assert!(!short.contains("Exit status:"), "{short}");
    let long = help(&["--help"]);
    let status = "\nExit status:\n  0      done\n  1      the answer is no\n  64     wrong usage\n";
    let example = "\nExamples:\n  Answer yes\n      statuses yes\n";
    assert!(long.contains(status) && long.ends_with(example), "{long}");
    let version = format!("statuses {}\n", env!("CARGO_PKG_VERSION"));
    assert_output(&run(&["--version"]), 0, &version, "");
}

#[test]
fn each_command_has_its_own_statuses_and_the_variables_of_all() {
    let long = String::from_utf8(run(&["exec", "--help"]).stdout).unwrap();
    assert_eq!(
        long,
        String::from_utf8(run(&["help", "exec"]).stdout).unwrap()
    );
    let rows = [
        "\nEnvironment:\n  STATUSES_ONE         is of this command\n",
        "  STATUSES_ALL         is of each command\n",
        "  STATUSES_LOG_FILTER  what is logged: ",
        "\nExit status:\n  0      the command has done it\n",
        "  125    this program itself failed\n",
        "  n      the command's own\n",
    ];
    for row in rows {
        assert!(long.contains(row), "{row:?} is not in {long}");
    }
}

#[test]
fn help_is_as_wide_as_columns_says_and_at_most_100() {
    for (columns, widest) in [("40", 40), ("60", 60), ("120", 100), ("no number", 80)] {
        let mut help = statuses();
        let help = help.env("COLUMNS", columns).arg("--help").output();
        let help = String::from_utf8(help.unwrap().stdout).unwrap();
        let longest = help.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(widest), "{help}");
        assert!(longest > Some(widest - 12), "{help}");
    }
}

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
fn a_closed_stdout_is_epipe_without_a_word() {
    for args in [&["print", "1"][..], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = statuses()
            .args(args)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output();
        assert_output(&child.unwrap(), 32, "", "");
    }
}

#[test]
fn a_full_disk_under_stdout_is_reported() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = statuses()
        .args(["print", "1"])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let line = "statuses: cannot write to standard output: No space left on device\n";
    assert_output(&output, 28, "", line);
}

/// The program executes a shell, which shows what its standard streams are.
#[test]
fn closed_standard_streams_are_null_devices() {
    let are_null = "for n in 0 1 2; do [ /proc/$$/fd/$n -ef /dev/null ] || exit 9$n; done";
    let status = Command::new("sh")
        .args(["-c", r#"exec "$@" <&- >&- 2>&-"#, "sh"])
        .arg(statuses().get_program())
        .args(["exec", "--", "sh", "-c", are_null])
        .status();
    assert_eq!(status.unwrap().code(), Some(0));
}

/// Images such as distroless/base contain no library but the C library.
#[test]
#[cfg(target_env = "gnu")]
fn a_binary_needs_no_library_but_the_c_library() {
    let compiler = Command::new("cc")
        .arg("-print-file-name=libgcc_eh.a")
        .output()
        .unwrap();
    assert!(
        compiler.stdout.starts_with(b"/"),
        "this C compiler has no static unwinder, so that binaries need libgcc_s.so.1"
    );
    let binary = fs::read(statuses().get_program()).unwrap();
    let name = b"libgcc_s.so.1";
    assert!(!binary.windows(name.len()).any(|bytes| bytes == name));
}

#[test]
fn a_plugin_of_kubectl_names_itself_as_it_is_called() {
    let plugin = |args: &[&str]| statuses().arg0("/bin/kubectl-statuses").args(args).output();
    let help = String::from_utf8(plugin(&["--help"]).unwrap().stdout).unwrap();
    assert!(help.contains("Usage: kubectl statuses"), "{help}");
    assert!(help.contains("      kubectl statuses yes"), "{help}");
    let missing = plugin(&["errno"]).unwrap();
    let line = "statuses: missing <NUMBER>: write kubectl statuses errno <NUMBER>\n";
    assert_output(&missing, 64, "", line);
    let unknown = plugin(&["exec", "--no-such", "--", "true"]).unwrap();
    let line = "statuses: unknown option --no-such (see kubectl statuses exec --help)\n";
    assert_output(&unknown, 64, "", line);
}
