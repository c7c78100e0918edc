//! Shared by the tests: a directory of their own, the tool, and waiting without fixed sleeps.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    libc,
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use tempfile::TempDir;

/// Longer than anything takes here on a loaded machine: a test that takes longer hangs.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(120);

/// A directory that anybody may enter, and a path for a pipe in it.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    /// A place with a FIFO at [`pipe`](Self::pipe).
    pub(crate) fn with_pipe() -> Self {
        let place = Self::new();
        place.run(&["-qq", "create"], 0);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn pipe(&self) -> PathBuf {
        self.path().join("example.pipe")
    }

    /// `lockpipe --path <pipe>`, without a command yet.
    pub(crate) fn lockpipe(&self) -> Command {
        let mut command = lockpipe();
        command.arg("--path").arg(self.pipe());
        command
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.lockpipe()
            .arg("-qq")
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs a command on the pipe. Its standard output must be empty. Returns its standard error.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str], status: i32) -> String {
        expect(&self.lockpipe().args(args).output().unwrap(), status)
    }
}

pub(crate) fn lockpipe() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockpipe"));
    for variable in ["LOCKPIPE_PATH", "LOCKPIPE_LOG_FILTER", "LOCKPIPE_LOG_STYLE"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

/// Checks the status, and that standard output is empty. Returns standard error.
#[track_caller]
pub(crate) fn expect(output: &Output, status: i32) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    assert_eq!(output.stdout, b"", "{stderr}");
    stderr
}

/// Waits until a condition is true. Panics if the watchdog's time is over.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(
            started.elapsed() < WATCHDOG,
            "{what}: not so after {WATCHDOG:?}"
        );
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for the end of a process that must not hang.
#[track_caller]
pub(crate) fn finish(mut child: Child) -> (ExitStatus, String) {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > WATCHDOG {
            child.kill().unwrap();
            panic!("lockpipe hangs: {:?}", child.wait_with_output().unwrap());
        }
        thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().unwrap();
    (output.status, String::from_utf8(output.stderr).unwrap())
}

#[track_caller]
pub(crate) fn finish_with(child: Child, status: i32) -> String {
    let (ended, stderr) = finish(child);
    assert_eq!(ended.code(), Some(status), "{stderr}");
    stderr
}

pub(crate) fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap())
}

pub(crate) fn send(child: &Child, signal: Signal) {
    kill(pid(child), signal).unwrap();
}

/// Waits until a `read` has opened the pipe: once to find it, and once to read it.
#[track_caller]
pub(crate) fn await_reader(reader: Pid, pipe: &Path) {
    let descriptors = format!("/proc/{reader}/fd");
    eventually("the reader has the pipe open", || {
        let links = fs::read_dir(&descriptors).into_iter().flatten().flatten();
        links
            .filter(|link| fs::read_link(link.path()).is_ok_and(|target| target == pipe))
            .count()
            == 2
    });
}

/// Waits until a thread of a `write` blocks in its open, `proc_pid_syscall(5)`.
#[track_caller]
pub(crate) fn await_writer(writer: Pid) {
    let tasks = format!("/proc/{writer}/task");
    eventually("the writer blocks in open", || {
        let mut threads = fs::read_dir(&tasks).into_iter().flatten().flatten();
        let opening = |task: fs::DirEntry| {
            let named = fs::read_to_string(task.path().join("comm"))
                .is_ok_and(|name| name == "fifo open\n");
            named
                && fs::read_to_string(task.path().join("syscall")).is_ok_and(|call| is_open(&call))
        };
        threads.any(opening)
    });
}

/// glibc opens with `openat`, and musl with `open` if the architecture has it.
fn is_open(call: &str) -> bool {
    let number = call
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    #[cfg(target_arch = "x86_64")]
    let also = number == Some(libc::SYS_open);
    #[cfg(not(target_arch = "x86_64"))]
    let also = false;
    also || number == Some(libc::SYS_openat)
}

/// `unshare`, with the options that make it work for root and for other users.
pub(crate) fn unshare(namespaces: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    if !geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(namespaces).stdin(Stdio::null());
    command
}
