//! A command that must succeed.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, PipeReader, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use coord_core::signal::{keep_sigpipe, sigpipe_was_ignored};
use nix::{
    poll::{PollFd, PollFlags},
    sys::signal::{Signal, killpg},
    unistd::{AccessFlags, Pid},
};
use rustix::{
    io::Errno,
    process::{PidfdFlags, pidfd_open},
};

use super::{
    reason::{Reason, phase},
    watch::Watch,
};

/// How often to check a command if there are no pidfds.
const GLANCE: Duration = Duration::from_millis(10);

/// How much of a command's output is kept, to say why it failed.
const MOST_KEPT: usize = 1024;

/// How many parts of the output are read at the end: as many as the largest pipe has room for, by
/// default, `pipe(7)`.
const PARTS: usize = 256;

/// A running command, in its own process group. If this is dropped before the command has ended,
/// the group is killed.
struct Running {
    child: Child,
    pidfd: Option<OwnedFd>,
    /// `None` once every writer has closed it.
    output: Option<PipeReader>,
    kept: Vec<u8>,
    is_over: bool,
}

/// Runs the command until it ends. It is killed when the time is over or the watched process has
/// ended.
pub(super) fn run(command: &[OsString], watch: &Watch, until: Instant) -> Result<(), Reason> {
    let mut running = Running::start(command)
        .map_err(|error| Reason::lacking(format!("run {:?}", command[0]), error))?;
    let status = running
        .wait(watch, until)
        .map_err(|error| Reason::lacking("wait for the command", error))?;
    match status {
        None => Err(Reason::Slow(phase::EXIT)),
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Reason::failed(&running.why(status))),
    }
}

/// Checks that the program can be run at all. It is searched for as in a shell: a directory of
/// `PATH` that may not be searched counts as one without it.
pub(super) fn check(program: &OsStr) -> io::Result<()> {
    if program.as_bytes().contains(&b'/') {
        return is_executable(Path::new(program));
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut last = Err(io::Error::from_raw_os_error(Errno::NOENT.raw_os_error()));
    for found in env::split_paths(&path).map(|directory| directory.join(program)) {
        if found.exists() {
            last = is_executable(&found);
        }
        if last.is_ok() {
            break;
        }
    }
    last
}

fn is_executable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::from_raw_os_error(Errno::ACCESS.raw_os_error()));
    }
    Ok(nix::unistd::access(path, AccessFlags::X_OK)?)
}

impl Running {
    /// The output goes only into the failure reason, not to our own output.
    fn start(command: &[OsString]) -> io::Result<Self> {
        let (output, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&output, true)?;
        let mut program = Command::new(&command[0]);
        program
            .args(&command[1..])
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0);
        // Only in this case, since code between fork and exec costs two more descriptors.
        if sigpipe_was_ignored() {
            let keep = || {
                keep_sigpipe();
                Ok(())
            };
            // SAFETY: it calls only functions that are async-signal-safe.
            unsafe { program.pre_exec(keep) };
        }
        let child = program.spawn()?;
        let pid = rustix::process::Pid::from_child(&child);
        Ok(Self {
            child,
            pidfd: pidfd_open(pid, PidfdFlags::empty()).ok(),
            output: Some(output),
            kept: Vec::new(),
            is_over: false,
        })
    }

    /// Returns `None` when the time is over, or the watched process has ended.
    fn wait(&mut self, watch: &Watch, until: Instant) -> io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.is_over = true;
                // Other processes may still write, endlessly.
                let _ = (0..PARTS).all(|_| self.read_output());
                return Ok(Some(status));
            }
            if Instant::now() >= until || watch.is_gone() {
                return Ok(None);
            }
            let glance = Instant::now() + GLANCE;
            let wake = self.pidfd.as_ref().map_or(until.min(glance), |_| until);
            let files = [
                self.output.as_ref().map(AsFd::as_fd),
                self.pidfd.as_ref().map(AsFd::as_fd),
            ];
            let files = files.into_iter().flatten();
            let files: Vec<_> = files
                .map(|file| PollFd::new(file, PollFlags::POLLIN))
                .collect();
            watch.wait(&files, wake);
            self.read_output();
        }
    }

    /// Reads a part of the output, and keeps the end of it. Returns false if there was nothing. It
    /// reads one part only, since a command that writes endlessly must not keep us from checking the
    /// time.
    fn read_output(&mut self) -> bool {
        let mut some = [0; 4096];
        let Some(output) = &mut self.output else {
            return false;
        };
        match output.read(&mut some) {
            Ok(0) => {
                self.output = None;
                false
            }
            Ok(count) => {
                self.kept.extend_from_slice(&some[..count]);
                let surplus = self.kept.len().saturating_sub(MOST_KEPT);
                self.kept.drain(..surplus);
                true
            }
            Err(_) => false,
        }
    }

    /// The status, and the last line of output.
    fn why(&self, status: ExitStatus) -> String {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("the command exits with status {code}"),
            (None, Some(signal)) => format!("the command was ended by signal {signal}"),
            (None, None) => "the command failed".to_owned(),
        };
        let output = String::from_utf8_lossy(&self.kept);
        match output.lines().map(str::trim).rfind(|line| !line.is_empty()) {
            Some(line) => format!("{how}: {line}"),
            None => how,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            // Not reaped yet, so no other group can have its number.
            if let Ok(leader) = self.child.id().try_into() {
                let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
            }
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::{eventually, process::is_alive};

    use super::*;

    #[test]
    fn the_last_line_of_much_output_is_told() {
        let script = "yes | head -c 6000; echo the last; exit 3";
        let mut running = Running::start(&["sh", "-c", script].map(OsString::from)).unwrap();
        let pid = running.child.id().try_into().unwrap();
        eventually("it has ended", || !is_alive(pid));
        let watch = Watch::new(None).unwrap();
        let status = running.wait(&watch, Instant::now()).unwrap().unwrap();
        assert_eq!(
            running.why(status),
            "the command exits with status 3: the last"
        );
    }
}
