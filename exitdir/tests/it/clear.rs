//! What `clear` and `lead --clear` remove, and what they leave alone.

use std::{fs, path::Path};

use tempfile::tempdir;

use crate::{done, run};

/// A directory like a home directory, in which an exit was signalled.
fn home() -> tempfile::TempDir {
    let dir = tempdir().unwrap();
    run(dir.path(), &["exit"]);
    fs::create_dir_all(dir.path().join("Documents/letters")).unwrap();
    for name in ["a", "b\n", "z"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    dir
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn other_entries_are_named_and_nothing_is_removed() {
    for command in [&["clear"][..], &["lead", "--clear", "--", "true"]] {
        let dir = home();
        let before = names(dir.path());
        let (code, stdout, stderr) = run(dir.path(), command);
        let status = if command.len() == 1 { 39 } else { 125 };
        assert_eq!((code, stdout), (Some(status), String::new()));
        let text = format!(
            "exitdir: exit directory {:?} has entries that exitdir did not create: ",
            dir.path()
        );
        assert!(stderr.starts_with(&text), "{stderr}");
        assert!(
            stderr.ends_with(" and 1 more; to remove these too, repeat with --yes\n"),
            "{stderr}"
        );
        assert!(!stderr.contains("exitFile"), "{stderr}");
        assert_eq!(names(dir.path()), before);
    }
}

#[test]
fn with_yes_everything_goes() {
    let dir = home();
    assert_eq!(run(dir.path(), &["clear", "--yes"]), done());
    assert!(names(dir.path()).is_empty());
    let dir = home();
    assert_eq!(
        run(
            dir.path(),
            &["lead", "--clear", "--yes", "--", "sh", "-c", "exit 4"]
        )
        .0,
        Some(4)
    );
    assert_eq!(names(dir.path()), ["exitFile"]);
    assert_eq!(
        run(dir.path(), &["lead", "--yes", "--", "true"]).0,
        Some(64)
    );
}

#[test]
fn what_signalling_leaves_goes_without_being_asked_for() {
    let dir = tempdir().unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    run(dir.path(), &["exit"]);
    assert_eq!(run(dir.path(), &["clear"]), done());
    assert_eq!(run(dir.path(), &["clear"]), done());
    assert_eq!(names(dir.path()), ["lost+found"]);
    // Signalling does not leave a directory with anything in it, whatever its name.
    fs::create_dir_all(dir.path().join("exitFile/more")).unwrap();
    let (code, _, stderr) = run(dir.path(), &["clear"]);
    assert_eq!(code, Some(39));
    assert!(stderr.contains("did not create: \"exitFile\""), "{stderr}");
    assert!(dir.path().join("exitFile/more").exists());
}

#[test]
fn a_refusal_says_which_entries_signal() {
    let dir = home();
    let (code, _, stderr) = run(dir.path(), &["lead", "--", "true"]);
    assert_eq!(code, Some(125));
    assert!(
        stderr.contains("already contains an exit signal (\""),
        "{stderr}"
    );
    assert!(
        stderr.ends_with(" and 2 more); if this is the right directory, empty it\n"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1);
}

/// Nobody leads meanwhile, and followers do not believe that a leader died.
#[test]
fn followers_take_no_notice_of_clear() {
    let dir = tempdir().unwrap();
    let mut watcher = exitdir::Watcher::new(exitdir::ExitDir::new(dir.path())).unwrap();
    assert_eq!(run(dir.path(), &["clear"]), done());
    watcher
        .wait_timeout(std::time::Duration::from_millis(300))
        .unwrap_err();
}
