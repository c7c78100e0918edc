//! Shared by the tests.

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

pub(crate) const SIPID: &str = env!("CARGO_BIN_EXE_sipid");

/// A child that is killed when the test ends.
pub(crate) struct Kept(pub(crate) Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Kept {
    pub(crate) fn pid(&self) -> String {
        self.0.id().to_string()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

pub(crate) fn sipid(args: &[&str]) -> Output {
    Command::new(SIPID).args(args).output().unwrap()
}

pub(crate) fn status_of(args: &[&str]) -> i32 {
    sipid(args).status.code().unwrap()
}

pub(crate) fn claim(pid: &str, file: &Path) -> i32 {
    status_of(&["claim", "--pid", pid, "--pid-file", file.to_str().unwrap()])
}

pub(crate) fn kill(file: &Path, more: &[&str]) -> Output {
    let mut args = vec!["kill", "--pid-file", file.to_str().unwrap()];
    args.extend(more);
    sipid(&args)
}

pub(crate) fn sleeper() -> Kept {
    Kept(Command::new("sleep").arg("1000").spawn().unwrap())
}

/// A shell script that is ready: it has printed a line.
pub(crate) fn ready_shell(script: &str) -> Kept {
    use std::io::BufRead;
    let mut child = Command::new("bash")
        .args(["-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    Kept(child)
}

/// Runs a script as PID 1 in its own PID and mount namespace. `$1` is sipid, and `$2` the
/// directory. Returns what it printed.
pub(crate) fn in_namespace(script: &str, directory: &Path) -> String {
    let root = nix::unistd::geteuid().is_root();
    let user: &[&str] = if root {
        &[]
    } else {
        &["--user", "--map-root-user"]
    };
    let output = Command::new("unshare")
        .args(user)
        .args([
            "--pid",
            "--mount",
            "--fork",
            "--mount-proc",
            "--kill-child",
            "bash",
            "-c",
            script,
            "bash",
            SIPID,
        ])
        .arg(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

pub(crate) fn eventually(what: &str, holds: impl FnMut() -> bool) {
    within(Duration::from_secs(60), what, holds);
}

pub(crate) fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A lock that is held until this is dropped.
pub(crate) struct Lock(
    #[allow(dead_code, reason = "its end is what counts")] nix::fcntl::Flock<std::fs::File>,
);

impl Lock {
    pub(crate) fn on(file: &Path) -> Self {
        let file = std::fs::File::open(file).unwrap();
        let lock = nix::fcntl::FlockArg::LockExclusive;
        Self(nix::fcntl::Flock::lock(file, lock).unwrap())
    }
}
