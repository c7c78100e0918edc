//! Each command's exit statuses.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use nix::unistd::geteuid;
use testkit::process::copy_program;

use crate::support::{Place, expect, lockpipe};

#[test]
fn create_makes_a_fifo_with_the_mode_asked_for() {
    for (args, mode) in [
        (&["create"][..], 0o600),
        (&["create", "--mode", "0666"], 0o666),
        (&["c", "--mode=640"], 0o640),
    ] {
        let place = Place::new();
        place.run(args, 0);
        let metadata = fs::metadata(place.pipe()).unwrap();
        assert!(metadata.file_type().is_fifo());
        assert_eq!(metadata.mode() & 0o7777, mode);
    }
}

#[test]
fn create_again_is_0_with_a_warning() {
    let place = Place::with_pipe();
    let inode = fs::metadata(place.pipe()).unwrap().ino();
    let warning = format!(
        "[WARN  lockpipes] pipe already exists at {:?}\n",
        place.pipe()
    );
    assert_eq!(place.run(&["create"], 0), warning);
    assert_eq!(fs::metadata(place.pipe()).unwrap().ino(), inode);
}

#[test]
fn an_empty_variable_counts_as_none() {
    let place = Place::new();
    let mut create = lockpipe();
    create.env("LOCKPIPE_PATH", "").arg("create");
    expect(&create.arg("--path").arg(place.pipe()).output().unwrap(), 0);
    let at_default = |variable: &str| {
        let mut exists = lockpipe();
        let exists = exists.arg("exists").env("LOCKPIPE_PATH", variable);
        exists.output().unwrap().status
    };
    assert_eq!(at_default(""), at_default("/run/forever"));
}

fn create_at(path: &Path, status: i32) {
    let stderr = expect(
        &lockpipe()
            .arg("create")
            .arg("--path")
            .arg(path)
            .output()
            .unwrap(),
        status,
    );
    assert!(
        stderr.starts_with(&format!("lockpipe: cannot create pipe at {path:?}: ")),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn create_below_what_is_no_directory() {
    let place = Place::new();
    fs::write(place.path().join("file"), "").unwrap();
    symlink("loop", place.path().join("loop")).unwrap();
    create_at(&place.path().join("missing/pipe"), 2);
    create_at(&place.path().join("file/pipe"), 20);
    create_at(&place.path().join("loop/pipe"), 40);
    create_at(&place.path().join("loop"), 40);
    create_at(&place.path().join("n".repeat(256)), 36);
}

#[test]
fn create_without_the_right_to() {
    let place = Place::new();
    // An unprivileged user may not be able to reach the build directory.
    let program = place.path().join("lockpipe");
    copy_program(Path::new(env!("CARGO_BIN_EXE_lockpipe")), &program);
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = Command::new(program);
    if geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let stderr = expect(
        &command
            .arg("create")
            .arg("-p")
            .arg(place.pipe())
            .output()
            .unwrap(),
        13,
    );
    assert!(stderr.contains("Permission denied"), "{stderr}");
    assert!(!place.pipe().exists());
}

#[test]
fn exists_is_0_1_or_17() {
    let place = Place::new();
    place.run(&["exists"], 1);
    place.run(&["create"], 0);
    place.run(&["exists"], 0);
    place.run(&["delete"], 0);
    place.run(&["exists"], 1);
    fs::write(place.pipe(), "").unwrap();
    place.run(&["exists"], 17);
    let below_a_file = place.pipe().join("pipe");
    expect(
        &lockpipe()
            .arg("exists")
            .arg("-p")
            .arg(below_a_file)
            .output()
            .unwrap(),
        20,
    );
}

#[test]
fn delete_is_0_also_when_nothing_is_there() {
    let place = Place::with_pipe();
    assert_eq!(
        place.run(&["delete"], 0),
        format!("[INFO  lockpipes] deleted pipe at {:?}\n", place.pipe())
    );
    assert!(!place.pipe().exists());
    let warning = format!(
        "[WARN  lockpipes] pipe does not exist at {:?}\n",
        place.pipe()
    );
    assert_eq!(place.run(&["delete"], 0), warning);
}

// Holds lockpipes-2.
#[test]
fn a_link_to_a_fifo_is_used_and_never_deleted() {
    let place = Place::new();
    let target = place.path().join("target");
    expect(
        &lockpipe()
            .arg("create")
            .arg("-p")
            .arg(&target)
            .output()
            .unwrap(),
        0,
    );
    symlink(&target, place.pipe()).unwrap();
    place.run(&["exists"], 0);
    place.run(&["create"], 0);
    assert!(
        place
            .run(&["delete"], 17)
            .contains("a symbolic link is there")
    );
    assert!(target.exists() && place.pipe().is_symlink());
    fs::remove_file(&target).unwrap();
    for command in ["create", "exists", "read", "write", "delete"] {
        assert!(
            place
                .run(&[command], 17)
                .contains("a dangling symbolic link is there"),
            "{command}"
        );
    }
}

#[test]
fn the_path_stands_before_or_after_the_command_or_in_the_environment() {
    let place = Place::with_pipe();
    let pipe = place.pipe();
    expect(
        &lockpipe()
            .arg("--path")
            .arg(&pipe)
            .arg("exists")
            .output()
            .unwrap(),
        0,
    );
    expect(
        &lockpipe()
            .arg("exists")
            .arg("--path")
            .arg(&pipe)
            .output()
            .unwrap(),
        0,
    );
    expect(
        &lockpipe().arg("-p").arg(&pipe).arg("e").output().unwrap(),
        0,
    );
    expect(
        &lockpipe()
            .arg("e")
            .env("LOCKPIPE_PATH", &pipe)
            .output()
            .unwrap(),
        0,
    );
    let overridden = lockpipe()
        .arg("e")
        .arg("-p")
        .arg(&pipe)
        .env("LOCKPIPE_PATH", "/no/such")
        .output()
        .unwrap();
    expect(&overridden, 0);
}

#[test]
fn the_default_path_is_run_forever() {
    let help = String::from_utf8(lockpipe().arg("--help").output().unwrap().stdout).unwrap();
    assert!(help.contains("[default: /run/forever]"), "{help}");
    for alias in [
        "[alias: c]",
        "[alias: r]",
        "[alias: w]",
        "[alias: e]",
        "[alias: d]",
    ] {
        assert!(help.contains(alias), "{help}");
    }
}

#[test]
fn wrong_usage_is_64() {
    let place = Place::new();
    let wrong: [&[&str]; 10] = [
        &[],
        &["sleep"],
        &["read", "--timeout", "5x"],
        &["read", "--timeout", "-5s"],
        &["write", "--timeout", "0"],
        &["create", "--mode", "rw"],
        &["create", "--mode", "01777"],
        &["create", "--mode", "+600"],
        &["exists", "--timeout", "5s"],
        &["exists", "--path", ""],
    ];
    for args in wrong {
        assert!(!place.run(args, 64).is_empty(), "{args:?}");
    }
    assert!(!place.pipe().exists());
}
