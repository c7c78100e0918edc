//! Directories that are not what they should be, and a kernel that has no more to give.

use std::{fs, os::unix::fs::PermissionsExt, process::Command, thread};

use tempfile::tempdir;
use tokio_util::sync::CancellationToken;

use crate::{code, exitdir, run, until};

fn watches(pid: u32) -> bool {
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo"))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .any(|info| info.contains("inotify wd"))
}

#[test]
fn a_directory_that_is_removed_or_replaced_is_reported() {
    let outer = tempdir().unwrap();
    let dir = outer.path().join("dir");
    assert_eq!(run(&dir, &["wait"]).0, Some(2));
    fs::write(&dir, "").unwrap();
    assert_eq!(run(&dir, &["wait"]).0, Some(20));
    fs::remove_file(&dir).unwrap();
    for replace in [false, true] {
        fs::create_dir(&dir).unwrap();
        let waiter = exitdir(&dir, &["wait"]).spawn().unwrap();
        until("it watches", || watches(waiter.id()));
        fs::remove_dir(&dir).unwrap();
        if replace {
            fs::write(&dir, "").unwrap();
        }
        assert_eq!(code(waiter), Some(if replace { 20 } else { 2 }));
    }
}

#[test]
fn a_directory_made_again_is_followed() {
    let outer = tempdir().unwrap();
    let dir = outer.path().join("dir");
    fs::create_dir(&dir).unwrap();
    let waiter = exitdir(&dir, &["wait"]).spawn().unwrap();
    until("it watches", || watches(waiter.id()));
    fs::create_dir(outer.path().join("new")).unwrap();
    fs::remove_dir(&dir).unwrap();
    fs::rename(outer.path().join("new"), &dir).unwrap();
    assert_eq!(run(&dir, &["exit"]).0, Some(0));
    assert_eq!(code(waiter), Some(0));
}

#[test]
fn an_unreadable_directory_is_an_error() {
    let dir = tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let status = Command::new("setpriv")
        .args([
            "--reuid",
            "65534",
            "--clear-groups",
            "--inh-caps=-all",
            env!("CARGO_BIN_EXE_exitdir"),
            "wait",
        ])
        .env("EXIT_DIR", dir.path())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(13));
}

#[test]
fn without_inotify_it_looks_and_says_so() {
    let dir = tempdir().unwrap();
    let script = "echo 0 > /proc/sys/user/max_inotify_instances || exit 99; exec \"$0\" wait";
    let waiter = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "sh",
            "-c",
            script,
            env!("CARGO_BIN_EXE_exitdir"),
        ])
        .env("EXIT_DIR", dir.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Not before it has looked: it would have no need to watch.
    until("it runs", || {
        fs::read_to_string(format!("/proc/{}/comm", waiter.id()))
            .is_ok_and(|name| name == "exitdir\n")
    });
    thread::sleep(std::time::Duration::from_millis(300));
    run(dir.path(), &["exit"]);
    let output = waiter.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("four times a second"),
        "{output:?}"
    );
}

#[test]
fn polling_needs_no_events() {
    let dir = tempdir().unwrap();
    let waiter = exitdir(dir.path(), &["wait", "--poll", "20ms"])
        .spawn()
        .unwrap();
    run(dir.path(), &["exit"]);
    assert_eq!(code(waiter), Some(0));
}

#[test]
fn tokens_end_with_their_parent_and_nothing_else_without_a_directory() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let parent = CancellationToken::new();
        let token = exitdir::aware(&parent);
        assert!(!token.is_cancelled());
        parent.cancel();
        token.cancelled().await;
    });
    thread::yield_now();
}
