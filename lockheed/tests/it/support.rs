//! Shared by the tests: a directory of locks, the binary, and waiting without fixed sleeps.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;
use testkit::{
    eventually,
    process::{Kept, outcome},
};

/// Longer than anything takes here on a loaded machine: a test that takes longer hangs.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(120);

pub(crate) const LOCKHEED: &str = env!("CARGO_BIN_EXE_lockheed");

/// A directory of locks, and a directory for the tests' own files.
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

    /// A path outside the directory of locks.
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

    pub(crate) fn start(&self, arguments: &[&str]) -> Kept {
        let mut command = self.lockheed(arguments);
        Kept(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    /// Holds lock `x` with a lease of this length until [`let_go`](Self::let_go); its log is in
    /// `stderr`. Returns once it holds the lock.
    pub(crate) fn hold(&self, duration: &str) -> Kept {
        let (begun, end) = (self.path("begun"), self.path("end"));
        let wait = r#"echo >"$0"; while [ ! -e "$1" ]; do sleep 0.05; done"#;
        let mut command = self.lockheed(&["run", "x", "--duration", duration]);
        command.args(["--renew-interval", "200ms", "--request-timeout", "1s"]);
        command.args(["--", "sh", "-c", wait]).args([&begun, &end]);
        let log = fs::File::create(self.path("stderr")).unwrap();
        let holder = Kept(command.stderr(log).spawn().unwrap());
        content(&begun);
        holder
    }

    pub(crate) fn let_go(&self) {
        fs::write(self.path("end"), "").unwrap();
    }

    /// Keeps everybody else from writing while it exists.
    pub(crate) fn guard(&self) -> Flock<fs::File> {
        let guard = fs::File::open(self.locks().join(".guard")).unwrap();
        Flock::lock(guard, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .unwrap()
    }

    /// Runs it to its end and returns status, standard output and standard error.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let done = outcome(&mut self.lockheed(arguments));
        manual::schema::assert_printed(env!("CARGO_MANIFEST_DIR"), arguments, &done.1);
        done
    }

    /// The same, if only the status matters.
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

/// An ordinary user, when the tests run as root.
pub(crate) struct User {
    number: u32,
    groups: String,
    root: PathBuf,
}

impl User {
    /// A user who may only read what others allow. None when the tests run as an ordinary user, who
    /// cannot become another one.
    pub(crate) fn nobody(place: &Place) -> Option<Self> {
        Self::new(place, 65_534, &[])
    }

    /// A user who is in these groups in addition to its own.
    pub(crate) fn new(place: &Place, number: u32, groups: &[u32]) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            return None;
        }
        let root = place.root.path().to_owned();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        let groups: Vec<_> = groups.iter().map(ToString::to_string).collect();
        let groups = groups.join(",");
        Some(Self {
            number,
            groups,
            root,
        })
    }

    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        let (user, group) = (
            format!("--reuid={}", self.number),
            format!("--regid={}", self.number),
        );
        command.args([user, group]).stdin(Stdio::null());
        if self.groups.is_empty() {
            command.arg("--clear-groups");
        } else {
            command.args(["--groups", &self.groups]);
        }
        command.arg(program);
        command
    }

    /// A copy of a program, because this user may not be able to reach the original.
    pub(crate) fn command_at(&self, program: &Path, name: &str) -> Command {
        let copy = self.root.join(name);
        if !copy.exists() {
            // Another process copies it: nobody can execute a file that this one has open for
            // writing.
            let copied = Command::new("install").arg(program).arg(&copy).status();
            assert!(copied.unwrap().success());
        }
        self.command(copy)
    }

    pub(crate) fn lockheed(&self, place: &Place, arguments: &[&str]) -> Command {
        let mut command = self.command_at(Path::new(LOCKHEED), "lockheed");
        command.args(arguments).env("LOCKHEED_STORE", place.store());
        command
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

/// Whether a process with this argument runs. Zombies have none, and a shell's child has none
/// before it executes its program.
pub(crate) fn runs(text: &str) -> bool {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| {
        String::from_utf8_lossy(&line)
            .split('\0')
            .any(|argument| argument == text)
    })
}

/// A number of seconds to sleep that no other test uses, so that `runs` finds only this test's
/// processes.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}.{next}", 100_000 + std::process::id())
}
