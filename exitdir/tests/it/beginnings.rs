//! What a leader needs before it leads: a leader that could not signal at its end must not begin.

use std::{path::Path, process::Command, time::Duration};

use exitdir::{ExitDir, Watcher};
use nix::libc;
use tempfile::tempdir;
use testkit::refusal::{Call, refuse};

use crate::{TMPFILE, on_own_filesystem, unshare_mounts};

/// Set in a process in which a test runs again.
const INNER: &str = "EXITDIR_TEST_INNER";

/// Runs a script in a mount namespace, with the tool as `$0`. Returns its status and output.
fn beside(dir: &Path, script: &str, prepare: impl FnOnce(&mut Command)) -> String {
    let mut unshare = unshare_mounts();
    unshare.args(["sh", "-c", script, env!("CARGO_BIN_EXE_exitdir")]);
    prepare(unshare.env("EXIT_DIR", dir));
    let output = unshare.output().unwrap();
    let texts = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    format!("{:?} {}", output.status.code(), texts.concat())
}

#[test]
fn where_no_file_can_be_made_nobody_leads() {
    let lead = r#": > fill; "$0" lead -- echo ran; echo "status $?""#;
    let said = on_own_filesystem("nr_inodes=3", lead);
    assert!(said.starts_with("status 125\n"), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
}

#[test]
fn where_files_have_names_a_directory_that_cannot_be_written_is_an_error() {
    let dir = tempdir().unwrap();
    let script = r#"mount --bind "$EXIT_DIR" "$EXIT_DIR" && mount -o remount,bind,ro "$EXIT_DIR" &&
        exec "$0" lead -- echo ran"#;
    let nameless = Call::with_bits(libc::SYS_openat, 2, TMPFILE);
    let said = beside(dir.path(), script, |unshare| {
        refuse(unshare, nameless, libc::EOPNOTSUPP);
    });
    assert!(said.starts_with("Some(125) exitdir: "), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
}

/// A leader of the library. This test runs again in a process without `/proc`.
#[test]
fn without_proc_a_leader_is_known_by_its_lock() {
    if std::env::var_os(INNER).is_some() {
        let dir = || ExitDir::from_env().unwrap();
        let _leader = dir().lead().unwrap();
        assert_eq!(dir().lead().unwrap_err().errno(), exitdir::Errno::EBUSY);
        return;
    }
    let dir = tempdir().unwrap();
    let script = r#"mount -t tmpfs none /proc && exec "$INNER_TEST" --exact beginnings::without_proc_a_leader_is_known_by_its_lock"#;
    let said = beside(dir.path(), script, |unshare| {
        let this = std::env::current_exe().unwrap();
        unshare.env(INNER, "").env("INNER_TEST", this);
    });
    assert!(said.starts_with("Some(0) "), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

/// If a leader has too few descriptors to find its lock, it fails, instead of leading with less.
/// This test runs again in processes with few descriptors.
#[test]
fn with_few_descriptors_a_leader_is_known_by_all_it_has_or_fails() {
    if std::env::var_os(INNER).is_some() {
        ExitDir::from_env().unwrap().lead().unwrap();
        return;
    }
    let mut led = 0;
    for limit in 4..=16 {
        let dir = tempdir().unwrap();
        let mut lead = Command::new("prlimit");
        lead.arg(format!("--nofile={limit}"));
        lead.arg(std::env::current_exe().unwrap()).arg("--exact");
        lead.arg("beginnings::with_few_descriptors_a_leader_is_known_by_all_it_has_or_fails");
        lead.env(INNER, "").env("EXIT_DIR", dir.path());
        if !lead.output().unwrap().status.success() {
            continue;
        }
        let mut watcher = Watcher::new(ExitDir::new(dir.path())).unwrap();
        assert_eq!(watcher.check().unwrap(), None);
        // A leader that is known only by its lock on the directory is checked more often.
        assert!(
            watcher.pause().unwrap() > Duration::from_secs(1),
            "limit {limit}"
        );
        led += 1;
    }
    assert!(led > 0);
}
