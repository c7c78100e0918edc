//! The binary `exitdir` and the library, with real processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod beginnings;
mod clear;
mod demo;
mod directories;
mod endings;
mod follow;
mod leaders;
mod options;
mod quiet;
mod records;
mod refused;
mod stalled;
mod stopping;
mod strangers;
mod tokens;
mod traced;
mod turns;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use exitdir::{ExitDir, Watcher};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};

/// Longer than anything takes here on a loaded machine: a test that takes longer hangs.
const WATCHDOG: Duration = Duration::from_secs(120);

/// The bit of `O_TMPFILE` that no other flag has, `open(2)`.
const TMPFILE: u32 = 0o20_000_000;

/// A process that does not outlive its test, however the test ends.
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

    /// Whether it sleeps in a system call, `proc_pid_stat(5)`.
    fn is_asleep(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        stat.is_ok_and(|stat| stat.contains("(exitdir) S "))
    }

    /// Whether it has an inotify watch, `proc_pid_fdinfo(5)`. By then it has looked for the leader.
    /// Before it has its own name, it may still have this process's descriptors, `execve(2)`.
    fn watches(&self) -> bool {
        let named = fs::read_to_string(format!("/proc/{}/comm", self.pid()));
        let infos = fs::read_dir(format!("/proc/{}/fdinfo", self.pid()));
        let mut infos = infos.into_iter().flatten().flatten();
        let watches = |entry: fs::DirEntry| {
            fs::read_to_string(entry.path()).is_ok_and(|info| info.contains("inotify wd"))
        };
        named.is_ok_and(|name| name == "exitdir\n") && infos.any(watches)
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

/// Runs a command that ends by itself. Returns status, standard output and standard error.
fn run(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = exitdir(dir, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    manual::schema::assert_printed(env!("CARGO_MANIFEST_DIR"), arguments, &stdout);
    (output.status.code(), stdout, stderr)
}

/// The result of a command that succeeds and prints nothing.
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

/// Whether a process has exactly these arguments. Zombies have none.
fn runs(arguments: &[&str]) -> bool {
    let wanted = arguments.join("\0") + "\0";
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| line == wanted.as_bytes())
}

fn sleeps(seconds: &str) -> bool {
    runs(&["sleep", seconds])
}

/// A number of seconds to sleep that no other test uses, so that [`sleeps`] finds only this test's
/// processes.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}.{next}", 100_000 + std::process::id())
}

/// Whether a leader of the directory lives. It asks as a follower does, and takes no lock, which
/// could keep a leader out.
fn is_led(dir: &Path) -> bool {
    let mut watcher = Watcher::new(ExitDir::new(dir)).unwrap();
    let _ = watcher.check();
    watcher.saw_leader()
}

/// `unshare` with a mount namespace, for root and for other users.
fn unshare_mounts() -> Command {
    let mut command = Command::new("unshare");
    if !geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--mount").stdin(Stdio::null());
    command
}

/// Runs a script on its own file system, with the tool as `$0`. Returns what it prints.
fn on_own_filesystem(options: &str, script: &str) -> String {
    let place = tempfile::tempdir().unwrap();
    let mount = format!(
        "mount -t tmpfs -o {options} none {0} && cd {0} && mkdir d && export EXIT_DIR=$PWD/d",
        place.path().display()
    );
    let mut unshare = unshare_mounts();
    unshare.args([
        "sh",
        "-c",
        &format!("{mount}; {script}"),
        env!("CARGO_BIN_EXE_exitdir"),
    ]);
    let output = unshare.output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// Runs the tool as a user with the permissions of others. If the tests do not run as root, it runs
/// as the directory's owner, whom the mode binds, too.
fn run_as_reader(dir: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let tool = place.path().join("exitdir");
    testkit::process::copy_program(Path::new(env!("CARGO_BIN_EXE_exitdir")), &tool);
    let mut command = if geteuid().is_root() {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        setpriv.arg(&tool);
        setpriv
    } else {
        Command::new(&tool)
    };
    let output = command
        .args(arguments)
        .env("EXIT_DIR", dir)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}
