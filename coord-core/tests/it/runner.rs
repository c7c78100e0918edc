//! Exit statuses and messages.

use std::{
    fs,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Command, Stdio},
};

use coord_core::exit;

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
        let line = format!("statuses: {text} (os error {number})\n");
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
        stderr.contains(r#""soon" is not a duration: expected number at 0; write it like 500ms"#),
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
    let help = run(&["-h"]);
    let stdout = String::from_utf8(help.stdout).unwrap();
    assert_eq!((help.status.code(), help.stderr.len()), (Some(0), 0));
    assert!(stdout.ends_with(&format!("{}\n", exit::HELP)), "{stdout}");
    let long_help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    assert!(
        long_help.ends_with(&format!("{}\n", exit::HELP_WRAPPER)),
        "{long_help}"
    );
    let version = format!("coord-core {}\n", env!("CARGO_PKG_VERSION"));
    assert_output(&run(&["--version"]), 0, &version, "");
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
    let line = "statuses: cannot write to standard output: No space left on device (os error 28)\n";
    assert_output(&output, 28, "", line);
}

/// What this program becomes shows which streams it has.
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

/// Images such as distroless/base have the C library alone.
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
