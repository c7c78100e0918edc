//! The place of one scenario: a directory of its own, and the tools.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testkit::{
    eventually,
    process::{Kept, is_alive, number_in, outcome},
};

pub(crate) struct Place {
    directory: PathBuf,
}

impl Place {
    pub(crate) fn new(directory: PathBuf) -> Self {
        fs::create_dir_all(&directory).unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn file_system(&self) -> &str {
        let mut parts = self.directory.iter().rev().skip(2);
        parts.next().unwrap().to_str().unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Any program, run in this directory. Each tool finds what it works on: the pipe `pipe`, the
    /// exit directory `exit`, the locks in `locks`.
    pub(crate) fn program(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .env("LOCKPIPE_PATH", self.path("pipe"))
            .env("EXIT_DIR", self.path("exit"))
            .env(
                "LOCKHEED_STORE",
                format!("dir:{}", self.path("locks").display()),
            );
        command
    }

    /// Starts a program, and keeps its output for [`Kept::finish`].
    pub(crate) fn start(&self, program: &str, arguments: &[&str]) -> Kept {
        let mut command = self.program(program, arguments);
        Kept::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    pub(crate) fn outcome(&self, program: &str, arguments: &[&str]) -> (i32, String, String) {
        outcome(&mut self.program(program, arguments))
    }

    /// Runs a program to its end, which must have this status. Returns what it printed.
    #[track_caller]
    pub(crate) fn expect(&self, program: &str, arguments: &[&str], status: i32) -> String {
        let (code, said, errors) = self.outcome(program, arguments);
        assert_eq!(code, status, "{program} {arguments:?}: {said}{errors}");
        said
    }

    /// The PID in a file, once a process of the scenario has written it.
    #[track_caller]
    pub(crate) fn pid(&self, name: &str) -> i32 {
        number_in(&self.path(name))
    }
}

/// Waits for the end, which must have this status. Returns what the process printed.
#[track_caller]
pub(crate) fn ends(process: Kept, status: i32) -> String {
    let (code, said, errors) = process.finish();
    assert_eq!(code, status, "{said}{errors}");
    said
}

#[track_caller]
pub(crate) fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// Waits until a process has ended. A zombie has ended, too.
#[track_caller]
pub(crate) fn goes(pid: i32) {
    eventually(&format!("process {pid} is gone"), || !is_alive(pid));
}

/// The child of a process, once it has one.
#[track_caller]
pub(crate) fn child_of(pid: i32) -> i32 {
    let mut child = None;
    eventually("there is a child", || {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        child = text
            .unwrap_or_default()
            .split(' ')
            .next()
            .and_then(|it| it.parse().ok());
        child.is_some()
    });
    child.unwrap()
}

/// How many of a process's descriptors refer to this file.
pub(crate) fn descriptors(pid: i32, file: &Path) -> usize {
    let links = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    links
        .filter(|link| fs::read_link(link.path()).is_ok_and(|it| it == file))
        .count()
}
