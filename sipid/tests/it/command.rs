//! What a claim prints and leaves behind, and the command that it becomes.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use crate::support::{Kept, Lock, SIPID, claim, eventually, kill, sipid, sleeper, status_of};

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    (dir, file)
}

fn claim_says(pid: &str, file: &Path) -> (i32, String) {
    let output = sipid(&["claim", "--pid", pid, "--pid-file", file.to_str().unwrap()]);
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), said)
}

fn claim_and_run(file: &Path, command: &[&str]) -> Output {
    let args = ["claim", "--pid-file", file.to_str().unwrap(), "--"];
    sipid(&[&args, command].concat())
}

// Holds sipid-6.
#[test]
fn a_claim_leaves_the_pid_alone_for_its_owner_only() {
    let (dir, _) = place();
    let file = dir.path().join("new/deep/x.pid");
    let process = sleeper();
    assert_eq!(claim_says(&process.pid(), &file), (0, String::new()));
    assert_eq!(fs::read_to_string(&file).unwrap(), process.pid());
    let mode = |name: &str| {
        let metadata = fs::metadata(dir.path().join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!((mode("new"), mode("new/deep")), (0o700, 0o700));
    assert_eq!(
        (mode("new/deep/x.pid"), mode("new/deep/.x.pid.sipid")),
        (0o600, 0o600)
    );
}

#[test]
fn a_claim_that_loses_says_to_whom() {
    let (_dir, file) = place();
    let (first, second) = (sleeper(), sleeper());
    assert_eq!(claim(&first.pid(), &file), 0);
    let pid = first.pid();
    let exists = format!("sipid: cannot claim {file:?}: process {pid} is already running\n");
    assert_eq!(claim_says(&second.pid(), &file), (17, exists));
    let already =
        format!("sipid: cannot claim {file:?}: it is already claimed for process {pid}\n");
    assert_eq!(claim_says(&pid, &file), (17, already));
    fs::write(&file, "").unwrap();
    let _lock = Lock::on(&file);
    let locking = format!("sipid: another process has locked {file:?}\n");
    assert_eq!(claim_says(&second.pid(), &file), (11, locking));
}

#[test]
fn what_is_replaced_is_quoted_unless_it_is_nothing() {
    let (_dir, file) = place();
    let quoted = [
        ("", ""),
        (" \n", ""),
        ("12abc\n", "12abc\\n"),
        ("-1", "-1"),
        ("\0", ""),
        ("\0x", "\\x00x"),
    ];
    for (content, shown) in quoted {
        let process = sleeper();
        fs::write(&file, content).unwrap();
        let (code, said) = claim_says(&process.pid(), &file);
        let expected = if shown.is_empty() {
            String::new()
        } else {
            format!("[WARN  sipid] replacing \"{shown}\" in {file:?}, which is not a valid PID\n")
        };
        assert_eq!((code, said), (0, expected), "{content:?}");
    }
}

/// The status 17 is reserved for a running process.
#[test]
fn a_file_in_place_of_the_directory_is_no_running_process() {
    let (_dir, file) = place();
    fs::write(&file, "").unwrap();
    let process = sleeper();
    assert_eq!(claim(&process.pid(), &file.join("x")), 20);
    assert_eq!(claim(&process.pid(), &file.join("deep/x")), 20);
}

#[test]
fn without_an_identity_a_live_pid_counts_as_the_process() {
    let (_dir, file) = place();
    let (mut process, other) = (sleeper(), sleeper());
    fs::write(&file, format!("  {}\n", process.pid())).unwrap();
    assert_eq!(claim(&other.pid(), &file), 17);
    assert!(kill(&file, &[]).status.success());
    assert!(!process.is_alive() && !file.exists());
}

// Holds sipid-2.
#[test]
fn a_claim_of_another_boot_is_over() {
    let (dir, file) = place();
    let (mut first, second) = (sleeper(), sleeper());
    assert_eq!(claim(&first.pid(), &file), 0);
    let path = dir.path().join(".x.pid.sipid");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let identity = fs::read_to_string(&path).unwrap();
    let other = identity.replace(boot.trim(), "00000000-0000-0000-0000-000000000000");
    assert_ne!(identity, other);
    fs::write(&path, other).unwrap();
    assert_eq!(
        status_of(&["status", "--pid-file", file.to_str().unwrap()]),
        1
    );
    assert_eq!(claim(&second.pid(), &file), 0);
    assert!(first.is_alive());
}

#[test]
fn the_command_ends_with_its_own_status() {
    let (_dir, file) = place();
    let said = claim_and_run(&file, &["sh", "-c", "echo out; echo err >&2; exit 42"]);
    assert_eq!(said.status.code(), Some(42));
    assert_eq!(
        (&*said.stdout, &*said.stderr),
        (&b"out\n"[..], &b"err\n"[..])
    );
    let shown = claim_and_run(
        &file,
        &["sh", "-c", "echo $$; cat \"$0\"", file.to_str().unwrap()],
    );
    let text = String::from_utf8(shown.stdout).unwrap();
    let (own, in_file) = text.split_once('\n').unwrap();
    assert_eq!(
        own, in_file,
        "it claimed for the process that the command is"
    );
}

#[test]
fn a_command_that_cannot_start_leaves_nothing() {
    let (dir, file) = place();
    let missing = claim_and_run(&file, &["./no-such-command"]);
    assert_eq!(missing.status.code(), Some(127), "{missing:?}");
    let directory = claim_and_run(&file, &["/"]);
    assert_eq!(directory.status.code(), Some(126), "{directory:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let nothing = sipid(&["claim", "--pid-file", file.to_str().unwrap(), "--"]);
    assert_eq!(nothing.status.code(), Some(64));
    let both = ["claim", "--pid", "1", "--pid-file", "x", "--", "true"];
    assert_eq!(status_of(&both), 64);
}

/// The lock is held for a while after the claim has opened the file, as by a status or a kill. Of
/// many claims, at least one must be fast enough to get the lock before it gives up.
#[test]
fn a_passing_lock_does_not_fail_a_claim() {
    let (_dir, file) = place();
    fs::write(&file, "").unwrap();
    let won = (0..50).any(|_| {
        let process = sleeper();
        let lock = Lock::on(&file);
        let mut command = Command::new(SIPID);
        command
            .args(["claim", "--pid", &process.pid(), "--pid-file"])
            .arg(&file);
        let mut claim = Kept(command.spawn().unwrap());
        eventually("it has opened the file, or is over", || {
            has_open(&claim, &file) || !claim.is_alive()
        });
        std::thread::sleep(Duration::from_millis(20));
        drop(lock);
        claim.0.wait().unwrap().success()
    });
    assert!(won);
}

/// If somebody holds the lock forever, the claim gives up.
#[test]
fn a_lasting_lock_fails_a_claim_after_a_moment() {
    let (_dir, file) = place();
    fs::write(&file, "").unwrap();
    let _lock = Lock::on(&file);
    let process = sleeper();
    let started = Instant::now();
    assert_eq!(claim(&process.pid(), &file), 11);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(200), "{took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
}

fn has_open(process: &Kept, file: &Path) -> bool {
    let links = fs::read_dir(format!("/proc/{}/fd", process.pid()));
    let mut links = links.into_iter().flatten().flatten();
    links.any(|link| fs::read_link(link.path()).is_ok_and(|target| target == file))
}

#[test]
fn a_claim_that_is_given_up_takes_only_its_own_file() {
    let (dir, file) = place();
    let pidfile = sipid::PidFile::new(&file);
    pidfile.claim_and_hold().unwrap().release().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let claim = pidfile.claim_and_hold().unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, "another's").unwrap();
    claim.release().unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "another's");
}
