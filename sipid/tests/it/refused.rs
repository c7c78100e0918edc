//! What a claim does if the directory, the kernel or another process is in its way.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use nix::{libc, sys::stat::Mode, unistd::mkfifo};
use sipid::{Pid, PidFile};
use testkit::refusal::{Call, refuse};

use crate::support::{SIPID, claim, in_namespace, sleeper};

/// The status and standard error of a claim that may not make this call.
fn refused(call: i64, pid: &str, file: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(SIPID);
    command
        .args(["claim", "--pid", pid, "--pid-file"])
        .arg(file);
    refuse(&mut command, Call::any(call), libc::EPERM);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

#[test]
fn a_lock_that_cannot_be_asked_for_is_not_one_that_somebody_holds() {
    let dir = tempfile::tempdir().unwrap();
    let (status, said) = refused(
        libc::SYS_flock,
        &Pid::own().to_string(),
        &dir.path().join("x"),
    );
    assert_eq!(status, Some(13), "{said}");
    assert!(said.contains("cannot lock"), "{said}");
}

/// A longer file is cut off last. Until then, its first line has only the new PID.
#[test]
fn a_longer_file_that_cannot_be_cut_off_has_the_pid_in_its_first_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x");
    fs::write(&file, "7".repeat(100)).unwrap();
    let process = sleeper();
    let (status, said) = refused(libc::SYS_ftruncate, &process.pid(), &file);
    assert_eq!(status, Some(13), "{said}");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().next(), Some(&*process.pid()));
}

#[test]
fn a_directory_that_is_a_link_to_nothing_is_no_claim_of_another() {
    let dir = tempfile::tempdir().unwrap();
    symlink("nowhere", dir.path().join("d")).unwrap();
    let file = dir.path().join("d/x");
    assert_eq!(claim(&Pid::own().to_string(), &file), libc::ENOTDIR);
    let nowhere = Path::new("/proc/nowhere/x");
    assert_eq!(claim(&Pid::own().to_string(), nowhere), libc::ENOENT);
}

#[test]
fn errors_say_what_is_no_pidfile() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("x");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    for (path, what) in [
        (&*fifo, "is a FIFO"),
        (Path::new("/dev/null"), "is a device"),
    ] {
        let error = PidFile::new(path).status().unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}

/// Without `/proc`, nobody can tell a process's name. That is an error, not a "no".
#[test]
fn without_proc_a_name_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let script = "cd $2; sleep 1000 & $1 claim --pid $! --pid-file x
        $1 status --pid-file x --name sleep >said; echo $?; mount -t tmpfs none /proc
        $1 status --pid-file x --name sleep 2>said; echo $?";
    assert_eq!(in_namespace(script, dir.path()), "0\n2\n");
}

/// A `/proc` of another PID namespace is not believed: its PIDs belong to other processes.
#[test]
fn a_proc_of_another_namespace_tells_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut unshare = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let script = r#"cd "$1"; sleep 1000 & "$0" claim --pid $! --pid-file x; echo $?
        "$0" status --pid-file x; kill $!; wait"#;
    unshare.args(["--pid", "--fork", "--kill-child", "sh", "-c", script, SIPID]);
    let output = unshare.arg(dir.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.stdout.starts_with(b"0\n"), "{said}");
    assert!(said.contains("/proc does not show process"), "{said}");
    assert!(!dir.path().join(".x.sipid").exists());
}

/// A file beside the pidfile does not count if it is not an identity that a claim wrote.
#[test]
fn what_stands_in_an_identitys_place_hangs_nobody_and_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (file, beside) = (dir.path().join("x"), dir.path().join(".x.sipid"));
    let process = sleeper();
    let identity = || PidFile::new(&file).status().unwrap().identity;
    assert_eq!(claim(&process.pid(), &file), 0);
    assert!(identity().is_some());
    let kept = fs::read_to_string(&beside).unwrap();
    let (line, place) = kept.split_at(kept.find(" dir=").unwrap());
    for (content, counts) in [
        (kept.clone(), true),
        // Earlier versions wrote it like this.
        (format!("{line}\n"), true),
        (format!("{line} more=1{place}"), false),
        (format!("{line} more=1\n"), false),
        (kept.trim_end().to_owned(), false),
    ] {
        fs::write(&beside, &content).unwrap();
        assert_eq!(identity().is_some(), counts, "{content:?}");
    }
    fs::write(dir.path().join("elsewhere"), kept).unwrap();
    fs::remove_file(&beside).unwrap();
    symlink("elsewhere", &beside).unwrap();
    assert_eq!(identity(), None);
    fs::remove_file(&beside).unwrap();
    mkfifo(&beside, Mode::S_IRWXU).unwrap();
    assert_eq!(identity(), None);
    fs::remove_file(&beside).unwrap();
    fs::create_dir(&beside).unwrap();
    assert_eq!(identity(), None);
}
