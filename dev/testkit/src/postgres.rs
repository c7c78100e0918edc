//! A PostgreSQL server from Debian's packages. It needs root, to run as the same user as there.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{
    eventually,
    process::{Kept, outcome},
};

/// The data directory of a server that listens on loopback and accepts everybody.
#[derive(Debug)]
pub struct Postgres {
    directory: TempDir,
    port: u16,
}

impl Postgres {
    /// Creates the data. No server runs yet.
    ///
    /// # Panics
    /// When it cannot be created.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // Every user may enter.
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), mode).expect("it is ours");
        let postgres = Self {
            directory,
            port: free_port(),
        };
        let data = postgres.data();
        run(Command::new("install")
            .args(["-d", "-o", "postgres"])
            .arg(&data));
        let mut initdb = as_postgres(&postgres.program("initdb"));
        run(initdb.args(["--no-sync", "--auth=trust", "-D"]).arg(&data));
        postgres
    }

    /// The directory for the data and everything that belongs to it. Every user may enter it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path of this program in the newest version that Debian has installed.
    ///
    /// # Panics
    /// When there is no version.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
        let newest = versions.flatten().map(|version| version.path()).max();
        newest.expect("a version").join("bin").join(name)
    }

    /// The command for the server, in the foreground. INT is a fast shutdown.
    #[must_use]
    pub fn server(&self) -> Command {
        let mut server = as_postgres(&self.program("postgres"));
        server.arg("-D").arg(self.data());
        server.args(["-c", "unix_socket_directories=", "-c", "fsync=off", "-p"]);
        server.arg(self.port.to_string());
        server
    }

    /// Starts the server, and returns when it answers. Dropping the result ends it.
    ///
    /// # Panics
    /// When it does not answer within two minutes.
    #[must_use]
    pub fn start(&self) -> Running {
        let log = fs::File::create(self.directory().join("log")).expect("a log");
        let running = Running(Kept::spawn(self.server().stderr(log)));
        eventually("the database answers", || {
            outcome(self.psql().args(["-c", "SELECT"])).0 == 0
        });
        running
    }

    /// The client, as the database's owner, with an environment that points to the server.
    #[must_use]
    pub fn psql(&self) -> Command {
        let mut psql = Command::new("psql");
        psql.arg("-X").envs(self.environment());
        psql
    }

    /// The environment variables that point a client to the server.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("PGHOST", "127.0.0.1".to_owned()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", "postgres".to_owned()),
        ]
    }
}

/// A running server.
#[derive(Debug)]
pub struct Running(Kept);

/// Does not use KILL, which would leave its shared memory behind.
impl Drop for Running {
    fn drop(&mut self) {
        self.0.signal(Signal::SIGQUIT);
        self.0.status();
    }
}

impl Default for Postgres {
    fn default() -> Self {
        Self::new()
    }
}

/// A port on loopback that nobody listens on.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it listens").port()
}

/// Runs as user postgres, who owns all of it.
fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    let user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];
    command.args(user).arg("--").arg(program);
    command
}

#[track_caller]
fn run(command: &mut Command) {
    let (status, said, error) = outcome(command);
    assert_eq!(status, 0, "{command:?}: {said}{error}");
}
