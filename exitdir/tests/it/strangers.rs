//! A user who may only read the directory disturbs neither leaders nor followers.

use std::{
    fs::{self, File},
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use exitdir::{Ended, ExitDir, Watcher};
use nix::{
    fcntl::{FcntlArg, Flock, FlockArg, fcntl},
    libc,
    sys::signal::Signal,
};
use rustix::fs::{XattrFlags, setxattr};
use tempfile::tempdir;

use crate::{Process, eventually, is_led, run, run_as_reader, sleeps, start, unique};

/// A read lock of an open file description. The right to read a directory is enough for it.
fn read_lock(dir: &Path) -> File {
    let dir = File::open(dir).unwrap();
    lock(&dir, libc::F_RDLCK, 0, 0);
    dir
}

/// A length of 0 means all of the file.
fn lock(file: &File, kind: i32, start: libc::off_t, length: libc::off_t) {
    let lock = libc::flock {
        l_type: i16::try_from(kind).unwrap(),
        l_whence: 0,
        l_start: start,
        l_len: length,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
}

pub(crate) fn exclusive_lock(dir: &Path) -> Flock<File> {
    Flock::lock(File::open(dir).unwrap(), FlockArg::LockExclusive).unwrap()
}

fn led(dir: &Path) -> Process {
    let leader = start(dir, &["lead", "--", "sleep", &unique()]);
    eventually("the leader lives", || is_led(dir));
    leader
}

// Holds exitdir-3.
#[test]
fn a_lock_that_comes_and_goes_is_no_leader_that_died() {
    let dir = tempdir().unwrap();
    let mut waiting = Watcher::new(ExitDir::new(dir.path())).unwrap();
    let locks = (read_lock(dir.path()), exclusive_lock(dir.path()));
    let mut started_later = Watcher::new(ExitDir::new(dir.path())).unwrap();
    let every = Duration::from_millis(20);
    let mut polling = Watcher::polling(ExitDir::new(dir.path()), every).unwrap();
    let mut all = [&mut waiting, &mut started_later, &mut polling];
    for watcher in &mut all {
        watcher.wait_timeout(every).unwrap_err();
    }
    drop(locks);
    for watcher in &mut all {
        let error = watcher
            .wait_timeout(Duration::from_millis(300))
            .unwrap_err();
        assert!(error.to_string().contains("within 300ms"), "{error}");
    }
}

// Holds exitdir-3.
#[test]
fn locks_keep_no_leader_out_and_leaders_still_keep_out_each_other() {
    let dir = tempdir().unwrap();
    let _locks = (read_lock(dir.path()), exclusive_lock(dir.path()));
    let started = Instant::now();
    let (code, _, stderr) = run(dir.path(), &["lead", "--", "sh", "-c", "exit 4"]);
    assert_eq!(code, Some(4), "{stderr}");
    assert!(
        stderr.contains("a process that does not lead has locked"),
        "{stderr}"
    );
    // Another leader that is just beginning has time to say so.
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert_eq!(run(dir.path(), &["-q", "clear"]).0, Some(0));

    let _leader = start(dir.path(), &["-q", "lead", "--", "sleep", &unique()]);
    let mut watcher = Watcher::new(ExitDir::new(dir.path())).unwrap();
    eventually("the leader is seen", || {
        watcher.wait_timeout(Duration::from_millis(5)).unwrap_err();
        watcher.saw_leader()
    });
    let refused = format!(
        "exitdir: exit directory {:?} already has a running leader\n",
        dir.path()
    );
    assert_eq!(
        run(dir.path(), &["lead", "--", "true"]),
        (Some(125), String::new(), refused)
    );
    assert_eq!(run(dir.path(), &["clear"]).0, Some(16));
}

// Holds exitdir-3.
#[test]
fn a_lock_hides_no_leaders_death() {
    let dir = tempdir().unwrap();
    let leader = led(dir.path());
    let _lock = read_lock(dir.path());
    let waiters = [&["wait"][..], &["wait", "--poll", "20ms"]];
    let waiters = waiters.map(|arguments| start(dir.path(), arguments));
    eventually("the follower watches", || waiters[0].watches());
    eventually("the other one looks", || waiters[1].is_asleep());
    leader.send(Signal::SIGKILL);
    for waiter in waiters {
        assert_eq!(waiter.code(), Some(3));
    }
}

/// A file elsewhere may get the number of a dead leader's. Who may not read the directory cannot
/// lock it.
// Holds exitdir-3.
#[test]
fn a_lock_on_a_file_with_the_leaders_number_is_not_enough() {
    let (dir, file) = (tempdir().unwrap(), tempfile::tempfile().unwrap());
    lock(&file, libc::F_WRLCK, 7, 1);
    let info = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let info = fs::read_to_string(info).unwrap();
    let shown = info.lines().find(|line| line.starts_with("lock:")).unwrap();
    let named = format!("{} 7", shown.split_whitespace().nth(6).unwrap());
    let attribute = "user.exitdir.leader";
    setxattr(dir.path(), attribute, named.as_bytes(), XattrFlags::CREATE).unwrap();
    assert!(!is_led(dir.path()));
    let opened = File::open(dir.path()).unwrap();
    lock(&opened, libc::F_RDLCK, 7, 1);
    assert!(is_led(dir.path()));
}

#[test]
fn a_leader_that_ends_too_soon_to_be_seen_is_not_missed() {
    let dir = tempdir().unwrap();
    let mut watcher = Watcher::new(ExitDir::new(dir.path())).unwrap();
    let every = Duration::from_millis(20);
    let mut polling = Watcher::polling(ExitDir::new(dir.path()), every).unwrap();
    drop(ExitDir::new(dir.path()).lead().unwrap());
    assert_eq!(watcher.wait().unwrap(), Ended::LeaderDied);
    assert_eq!(polling.wait().unwrap(), Ended::LeaderDied);
}

/// Starts eight leaders at once, and returns how many of them lead.
fn leaders_at_once(dir: &Path) -> usize {
    std::thread::scope(|scope| {
        let lead = || ExitDir::new(dir).lead().ok();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(lead)).collect();
        let led = threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap());
        // All are kept until the last one has tried.
        led.collect::<Vec<_>>().len()
    })
}

/// Of leaders that start at once, exactly one leads. Each round has its own directory: a child that
/// another test has just forked keeps an earlier leader's descriptors until it executes its
/// program.
// Holds exitdir-10.
#[test]
fn one_of_many_leaders_leads() {
    for _ in 0..10 {
        let dir = tempdir().unwrap();
        assert_eq!(leaders_at_once(dir.path()), 1);
    }
}

/// The same if a stranger has the lock that keeps leaders apart.
// Holds exitdir-3, exitdir-10.
#[test]
fn one_of_many_leaders_leads_beside_a_lock() {
    for _ in 0..10 {
        let dir = tempdir().unwrap();
        let _lock = exclusive_lock(dir.path());
        assert_eq!(leaders_at_once(dir.path()), 1);
    }
}

/// In a sticky directory, others may not set attributes, so only the lock on the directory shows a
/// leader. A stranger's read lock keeps no leader out; a leader keeps out the next one.
#[test]
fn in_a_sticky_directory_a_leader_is_known_by_its_lock() {
    let dir = tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let lock = read_lock(dir.path());
    let leader = ExitDir::new(dir.path()).lead().unwrap();
    let refused = ExitDir::new(dir.path()).lead().unwrap_err();
    assert_eq!(refused.errno(), exitdir::Errno::EBUSY);
    drop(lock);
    let mut watcher = Watcher::new(ExitDir::new(dir.path())).unwrap();
    watcher.wait_timeout(Duration::from_millis(1)).unwrap_err();
    assert!(watcher.saw_leader());
    assert!(watcher.pause().unwrap() <= Duration::from_millis(250));
    drop(leader);
    assert_eq!(watcher.wait().unwrap(), Ended::LeaderDied);
}

mod needs_root {
    use super::*;

    // Holds exitdir-3.
    #[test]
    #[ignore = "needs root"]
    fn another_user_who_may_only_look_signals_nobody_and_keeps_nobody_out() {
        let dir = tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let waiter = start(dir.path(), &["wait"]);
        eventually("the follower watches", || waiter.watches());
        assert_eq!(run_as_reader(dir.path(), &["exit"]).0, Some(13));
        let (code, stderr) = run_as_reader(dir.path(), &["lead", "--", "true"]);
        assert_eq!(code, Some(125), "{stderr}");
        assert!(stderr.contains("Permission denied"), "{stderr}");
        let seconds = unique();
        let mut lock = Command::new("setpriv");
        lock.args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "flock",
        ]);
        let _lock = Process(
            lock.arg("--no-fork")
                .arg(dir.path())
                .args(["sleep", &seconds])
                .spawn()
                .unwrap(),
        );
        eventually("it is locked", || sleeps(&seconds));
        assert_eq!(run(dir.path(), &["status"]).0, Some(1));
        assert_eq!(
            run(dir.path(), &["-q", "lead", "--", "sh", "-c", "exit 4"]).0,
            Some(4)
        );
        assert_eq!(waiter.code(), Some(0));
        assert_eq!(run_as_reader(dir.path(), &["clear"]).0, Some(13));
        assert_eq!(run_as_reader(dir.path(), &["status"]).0, Some(0));
    }
}
