//! When the leader's work is done, its status is not lost, whatever has happened to the directory.

use std::{fs, os::unix::fs::PermissionsExt};

use tempfile::tempdir;

use crate::{on_own_filesystem, run, run_as_reader};

// Holds exitdir-4.
#[test]
fn what_keeps_a_leader_from_signalling_is_found_before_its_command_starts() {
    let place = tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let dir = place.path().join("dir");
    fs::create_dir(&dir).unwrap();
    let ran = place.path().join("ran");
    let script = format!(": > {}", ran.display());
    let lead = ["lead", "--", "sh", "-c", &script];
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o555)).unwrap();
    let (code, stderr) = run_as_reader(&dir, &lead);
    assert_eq!(code, Some(125));
    let end = format!("cannot write to exit directory {dir:?}: Permission denied\n");
    assert!(stderr.ends_with(&end), "{stderr}");
    let (code, _, stderr) = run(&place.path().join("none"), &lead);
    assert_eq!(code, Some(125));
    assert!(
        stderr.ends_with(": No such file or directory\n"),
        "{stderr}"
    );
    assert!(!ran.exists());
    let said = on_own_filesystem(
        "size=32k",
        r#"mount -o remount,bind,ro .; "$0" lead -- touch /tmp/.never; echo "status $?""#,
    );
    assert!(said.starts_with("status 125\n"), "{said}");
    assert!(said.ends_with(": Read-only file system\n"), "{said}");
}

// Holds exitdir-4.
#[test]
fn on_a_disk_that_fills_up_an_empty_file_stands_in_for_the_record() {
    let fill = "head -c 64k /dev/zero > fill 2>/dev/null; exit 7";
    let script = format!(
        r#""$0" lead -- sh -c '{fill}'; echo "status $?"; wc -c d/exitFile; "$0" wait; echo "wait $?""#
    );
    let said = on_own_filesystem("size=32k", &script);
    assert!(
        said.starts_with("status 7\n0 d/exitFile\nwait 0\n"),
        "{said}"
    );
    assert!(
        said.contains("No space left on device; an empty exitFile stands in"),
        "{said}"
    );
}

// Holds exitdir-4.
#[test]
fn a_limit_of_the_size_of_files_costs_no_status() {
    let said = on_own_filesystem(
        "size=32k",
        r#"ulimit -f 0; "$0" lead -- sh -c 'exit 7' 2>&1; echo "status $?"; ls d; "$0" clear; "$0" exit 2>&1; echo "status $?""#,
    );
    let lines: Vec<_> = said.lines().collect();
    assert!(
        lines[0].contains("File too large; an empty exitFile stands in"),
        "{said}"
    );
    assert_eq!(lines[1..3], ["status 7", "exitFile"], "{said}");
    assert_eq!(lines[4..], ["status 27"], "{said}");
}

// Holds exitdir-4.
#[test]
fn a_directory_that_goes_while_the_command_runs_costs_no_status() {
    let outer = tempdir().unwrap();
    let dir = outer.path().join("dir");
    for (change, reason) in [
        ("rmdir \"$EXIT_DIR\"", "No such file or directory"),
        ("rmdir \"$EXIT_DIR\"; : > \"$EXIT_DIR\"", "Not a directory"),
    ] {
        let _ = fs::remove_file(&dir);
        fs::create_dir(&dir).unwrap();
        let (code, _, stderr) = run(
            &dir,
            &["lead", "--", "sh", "-c", &format!("{change}; exit 7")],
        );
        assert_eq!(code, Some(7), "{stderr}");
        let end = format!("{reason}; followers will see that the leader died\n");
        assert!(stderr.ends_with(&end), "{stderr}");
        assert_eq!(stderr.lines().count(), 1);
    }
}

/// With too little memory, the command does not start, and an error says why. With enough memory,
/// the status is the command's.
#[test]
fn memory_runs_out_before_the_command_starts() {
    for arguments in [&["lead", "--clear"][..], &["follow"]] {
        let dir = tempdir().unwrap();
        let command = ["--", "sh", "-c", "echo ran; exit 7"];
        let command = crate::exitdir(dir.path(), &[arguments, &command].concat());
        let outcomes = testkit::process::run_with_little_memory(&command, 16_000);
        for (status, said, error) in &outcomes {
            if said == "ran\n" {
                assert_eq!(*status, Some(7), "{arguments:?}: {error}");
            } else {
                // The loader exits with 127, for the tool as for the shell.
                let is_known = matches!(status, Some(125..=127) | None);
                assert!(is_known, "{arguments:?}: {status:?}, {error}");
                assert!(
                    !error.is_empty() || status.is_none(),
                    "{arguments:?}: {status:?}"
                );
            }
        }
        assert_eq!(outcomes.last().unwrap().1, "ran\n", "{arguments:?}");
    }
}
