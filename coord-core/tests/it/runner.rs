//! Exit statuses and messages.

use std::{
    fs,
    os::{
        fd::OwnedFd,
        unix::{net::UnixDatagram, process::CommandExt},
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
