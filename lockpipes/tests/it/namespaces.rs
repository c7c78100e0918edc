//! File systems that are read-only, full or missing, in the test's own mount namespace.

use std::process::Output;

use crate::support::{Place, expect, unshare};

/// Runs a shell script. `$0` is the tool, and `$1` a directory to mount on.
fn in_mount_namespace(place: &Place, script: &str) -> Output {
    let mut command = unshare(&["--mount"]);
    command
        .args(["sh", "-euc", script, env!("CARGO_BIN_EXE_lockpipe")])
        .arg(place.path());
    command.output().unwrap()
}

#[test]
fn a_read_only_filesystem_is_30() {
    let place = Place::new();
    let output = in_mount_namespace(
        &place,
        r#"mount -t tmpfs -o ro none "$1"; exec "$0" create -p "$1/pipe""#,
    );
    assert!(expect(&output, 30).contains("Read-only file system"));
}

#[test]
fn a_pipe_on_a_read_only_filesystem_can_be_used() {
    let place = Place::new();
    let script = r#"mount -t tmpfs none "$1"; "$0" -qq create -p "$1/pipe"; mount -o remount,bind,ro "$1"
        "$0" -qq read -p "$1/pipe" & "$0" -qq write -p "$1/pipe"; wait $!; "$0" -qq create -p "$1/pipe"; "$0" delete -p "$1/pipe""#;
    assert!(expect(&in_mount_namespace(&place, script), 30).contains("cannot delete pipe"));
}

#[test]
fn no_space_for_an_inode_is_28() {
    let place = Place::new();
    let script = r#"mount -t tmpfs -o nr_inodes=2 none "$1"; "$0" -qq create -p "$1/one"; exec "$0" create -p "$1/two""#;
    assert!(expect(&in_mount_namespace(&place, script), 28).contains("No space left on device"));
}

#[test]
fn without_proc_the_pipe_is_opened_by_its_path() {
    let place = Place::with_pipe();
    let script = r#"mount -t tmpfs none /proc; "$0" -qq read -p "$1/example.pipe" & "$0" -qq write -p "$1/example.pipe"; wait $!
        "$0" -qq write --timeout 50ms -p "$1/example.pipe""#;
    assert!(expect(&in_mount_namespace(&place, script), 110).contains("no reader opened it"));
}
