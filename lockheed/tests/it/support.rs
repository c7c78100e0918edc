//! What the tests share: a directory of locks, the binary, and waiting without fixed sleeps.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

/// Longer than anything here takes on a loaded machine: what is not over by then hangs.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(120);

pub(crate) const LOCKHEED: &str = env!("CARGO_BIN_EXE_lockheed");

/// A directory of locks, and one for what the tests write.
pub(crate) struct Place {
    root: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("locks")).unwrap();
        Self { root }
    }

    pub(crate) fn locks(&self) -> PathBuf {
        self.root.path().join("locks")
    }

    /// A path for something else than locks.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.root.path().join(file)
    }

    pub(crate) fn store(&self) -> String {
        format!("dir:{}", self.locks().display())
    }

    /// The file of a lock.
    pub(crate) fn file(&self, lock: &str) -> PathBuf {
        self.locks().join(format!("{lock}.json"))
    }

    pub(crate) fn lockheed(&self, arguments: &[&str]) -> Command {
        let mut command = lockheed(arguments);
        command.env("LOCKHEED_STORE", self.store());
        command
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Ended {
        let mut command = self.lockheed(arguments);
        Ended(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    /// Holds lock `x` until [`let_go`](Self::let_go), with a lease of so long; what it logs is in `stderr`. Returns when it holds.
    pub(crate) fn hold(&self, duration: &str) -> Ended {
        let (begun, end) = (self.path("begun"), self.path("end"));
        let wait = r#"echo >"$0"; while [ ! -e "$1" ]; do sleep 0.05; done"#;
        let mut command = self.lockheed(&["run", "x", "--duration", duration]);
        command.args(["--renew-interval", "200ms", "--request-timeout", "1s"]);
        command.args(["--", "sh", "-c", wait]).args([&begun, &end]);
        let log = fs::File::create(self.path("stderr")).unwrap();
        let holder = Ended(command.stderr(log).spawn().unwrap());
        content(&begun);
        holder
    }

    pub(crate) fn let_go(&self) {
        fs::write(self.path("end"), "").unwrap();
    }

    /// Keeps all others from writing, as long as it lives.
    pub(crate) fn guard(&self) -> Flock<fs::File> {
        let guard = fs::File::open(self.locks().join(".guard")).unwrap();
        Flock::lock(guard, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .unwrap()
    }

    /// Runs it to its end: status, standard output, standard error.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        outcome(self.lockheed(arguments).output().unwrap())
    }

    /// The same, when just the status matters.
    #[track_caller]
    pub(crate) fn expect(&self, arguments: &[&str], status: i32) -> String {
        let (code, stdout, stderr) = self.run(arguments);
        assert_eq!(code, status, "{arguments:?}: {stdout}{stderr}");
        stdout
    }

    pub(crate) fn write(&self, lock: &str, text: &str) {
        fs::write(self.file(lock), text).unwrap();
    }

    pub(crate) fn json(&self, lock: &str) -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(self.file(lock)).unwrap()).unwrap()
    }

    /// The IDs in the lock's map of leases.
    pub(crate) fn leases(&self, lock: &str) -> Vec<String> {
        let Ok(text) = fs::read_to_string(self.file(lock)) else {
            return Vec::new();
        };
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json["leases"]
            .as_object()
            .map(|leases| leases.keys().cloned().collect())
            .unwrap_or_default()
    }
}

/// A child that does not outlive its test, however that ends.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ended {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits for its end: the status (128 + n for a signal), and what it wrote. Its output must fit a pipe.
    #[track_caller]
    pub(crate) fn finish(mut self) -> (i32, String, String) {
        eventually("the process ends", || self.0.try_wait().unwrap().is_some());
        let status = self.0.wait().unwrap();
        let mut texts = [String::new(), String::new()];
        if let Some(mut stdout) = self.0.stdout.take() {
            std::io::Read::read_to_string(&mut stdout, &mut texts[0]).unwrap();
        }
        if let Some(mut stderr) = self.0.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut texts[1]).unwrap();
        }
        let [stdout, stderr] = texts;
        (code(status), stdout, stderr)
    }
}

pub(crate) fn lockheed(arguments: &[&str]) -> Command {
    let mut command = Command::new(LOCKHEED);
    for variable in [
        "LOCKHEED_STORE",
        "LOCKHEED_LOG_FILTER",
        "LOCKHEED_LOG_STYLE",
        "LOCKHEED_TOKEN",
    ] {
        command.env_remove(variable);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

pub(crate) fn outcome(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        code(output.status),
        text(output.stdout),
        text(output.stderr),
    )
}

fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap())
}

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

/// What a shell wrote into a file, once it has.
#[track_caller]
pub(crate) fn content(file: &Path) -> String {
    let mut text = String::new();
    eventually("the file is written", || {
        text = fs::read_to_string(file).unwrap_or_default();
        text.ends_with('\n')
    });
    text
}

/// Whether a process runs whose arguments contain this text; zombies have none.
pub(crate) fn runs(text: &str) -> bool {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| {
        String::from_utf8_lossy(&line)
            .split('\0')
            .any(|argument| argument == text)
    })
}

/// A number of seconds to sleep that no other test uses, so that `runs` finds just this test's processes.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}.{next}", 100_000 + std::process::id())
}
