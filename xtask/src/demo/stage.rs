//! The place where the tools are shown: a temporary directory, in which each printed command can be
//! typed.

use std::{
    env,
    ffi::OsString,
    io::stdout,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use testkit::process::code;

use crate::{Result, process};

/// How long any step may take.
const BOUND: Duration = Duration::from_secs(10);

pub(super) struct Stage {
    directory: TempDir,
    binaries: PathBuf,
    environment: Vec<(String, OsString)>,
}

/// A command in the background. It does not outlive the demo, however the demo ends.
pub(super) struct Started {
    child: Child,
    line: String,
}

impl Stage {
    pub(super) fn set_up() -> Result<Self> {
        // The tools' standard error is part of the story, so it goes into the same stream.
        nix::unistd::dup2_stderr(stdout().as_fd())?;
        let mut stage = Self {
            directory: tempfile::tempdir()?,
            binaries: process::target().join("debug"),
            environment: Vec::new(),
        };
        println!("\n$ cd \"$(mktemp -d)\"");
        let path = env::var_os("PATH").unwrap_or_default();
        let mut with_tools = stage.binaries.clone().into_os_string();
        with_tools.push(":");
        with_tools.push(path);
        println!("$ export PATH={:?}:$PATH", stage.binaries);
        stage.environment.push(("PATH".to_owned(), with_tools));
        Ok(stage)
    }

    /// The directory of the tools.
    pub(super) fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// The current directory of all commands.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Sets a variable for the commands that follow.
    pub(super) fn export(&mut self, name: &str, value: &str) {
        println!("$ export {name}={value}");
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Runs a command, and fails unless it exits with this status.
    pub(super) fn run(&self, line: &str, expected: i32) -> Result {
        println!("$ {line}");
        let status = self.command(line).status()?;
        if status.code() != Some(expected) {
            return Err(format!("{line}: {status}, and not {expected}").into());
        }
        if expected != 0 {
            println!("  (status {expected})");
        }
        Ok(())
    }

    /// Starts a command in the background.
    pub(super) fn start(&self, line: &str) -> Result<Started> {
        println!("$ {line} &");
        Ok(Started {
            child: self.command(line).spawn()?,
            line: line.to_owned(),
        })
    }

    /// The output of a command, which is not shown.
    pub(super) fn output(&self, line: &str) -> Result<String> {
        let output = self.command(line).stderr(Stdio::null()).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, line: &str) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("exec {line}")])
            .stdin(Stdio::null())
            .current_dir(self.directory())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        shell
    }
}

impl Started {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, and fails unless it has this status, 128 + n for signal n.
    pub(super) fn ends(mut self, expected: i32) -> Result {
        let mut status = None;
        eventually(&format!("{} ends", self.line), || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        })?;
        match status.map(code) {
            Some(status) if status == expected => Ok(()),
            status => Err(format!("{}: {status:?}, and not {expected}", self.line).into()),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The heading of one tool's story.
pub(super) fn title(text: &str) {
    println!("\n== {text}");
}

/// A remark between the commands' output.
pub(super) fn remark(text: &str) {
    println!("  ({text})");
}

/// The time since a moment, in words.
pub(super) fn since(moment: Instant) -> String {
    format!("{} ms", moment.elapsed().as_millis())
}

/// Waits until a condition is true.
pub(super) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> Result {
    let started = Instant::now();
    while !is_so() {
        if started.elapsed() > BOUND {
            return Err(format!("not so after {BOUND:?}: {what}").into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
