//! The binary `exitdir` and the library, with real processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod demo;
mod directories;
mod follow;
mod leaders;
mod records;
mod tokens;

use std::{
    fs,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};

/// Longer than anything here takes on a loaded machine: what is not over by then hangs.
const WATCHDOG: Duration = Duration::from_secs(120);

/// A process that does not outlive its test, however that ends.
struct Process(Child);

impl Process {
    #[track_caller]
    fn finish(mut self) -> ExitStatus {
        let mut status = None;
        eventually("the process ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    #[track_caller]
    fn code(self) -> Option<i32> {
        self.finish().code()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().try_into().unwrap())
    }

    fn send(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Whether it has a watch of inotify, `proc_pid_fdinfo(5)`. It has looked for the leader by then.
    fn watches(&self) -> bool {
        let infos = fs::read_dir(format!("/proc/{}/fdinfo", self.pid()));
        infos.into_iter().flatten().flatten().any(|entry| {
            fs::read_to_string(entry.path()).is_ok_and(|info| info.contains("inotify wd"))
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn exitdir(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exitdir"));
    command.args(arguments).stdin(Stdio::null());
    for variable in ["EXITDIR_LOG_FILTER", "EXITDIR_LOG_STYLE"] {
        command.env_remove(variable);
    }
    command.env("EXIT_DIR", dir);
    command
}

fn start(dir: &Path, arguments: &[&str]) -> Process {
    Process(exitdir(dir, arguments).spawn().unwrap())
}

/// Status, standard output and standard error of a command that ends by itself.
fn run(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = exitdir(dir, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// What a command that succeeds and says nothing gives.
fn done() -> (Option<i32>, String, String) {
    (Some(0), String::new(), String::new())
}

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < WATCHDOG, "not in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process has just these arguments; zombies have none.
fn runs(arguments: &[&str]) -> bool {
    let wanted = arguments.join("\0") + "\0";
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| line == wanted.as_bytes())
}

fn sleeps(seconds: &str) -> bool {
    runs(&["sleep", seconds])
}

/// A number of seconds to sleep that no other test uses, so that [`sleeps`] finds just this test's processes.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}.{next}", 100_000 + std::process::id())
}

/// Whether a leader of the directory lives, asked as a follower asks: no lock is taken, which could keep a leader out.
fn is_led(dir: &Path) -> bool {
    let mut lock = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).unwrap(),
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let dir = fs::File::open(dir).unwrap();
    fcntl(dir, FcntlArg::F_OFD_GETLK(&mut lock)).unwrap();
    i32::from(lock.l_type) != libc::F_UNLCK
}

/// `unshare` with a mount namespace, for root and for others alike.
fn unshare_mounts() -> Command {
    let mut command = Command::new("unshare");
    if !geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--mount").stdin(Stdio::null());
    command
}
