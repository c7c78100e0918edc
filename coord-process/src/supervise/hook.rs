//! A short script beside the command. It runs in its own process group, which is ended when its
//! time is over.
//!
//! The script is a child of the client. If the client is a child subreaper, so is everything that
//! the script leaves behind. Processes that start a session of their own are left alone.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Seek, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Command, Stdio},
};

use coord_core::signal_name;
use nix::{
    libc,
    sys::{
        memfd::{MFdFlags, memfd_create},
        signal::SigSet,
    },
};

use super::{Exit, reap};

/// A script that was started, identified by its process ID, which is also its process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook(i32);

/// The state of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookState {
    /// The script is running, or something that it started is.
    Runs,
    /// The script has ended with this status; processes that it started may still run.
    Ended(Exit),
    /// Nothing of it is left.
    Gone,
}

impl Hook {
    /// Runs `sh -c SCRIPT` with `input` on its standard input and our standard error as its output.
    /// In the script no signal is blocked or ignored.
    ///
    /// # Errors
    /// Those of `memfd_create(2)`, `write(2)`, `fork(2)` and `execve(2)`.
    pub fn start(script: &OsStr, input: &[u8]) -> io::Result<Self> {
        // Reaps dead processes that earlier scripts left in sessions of their own.
        reap::strangers();
        // A file instead of a pipe: a script that does not read could fill a pipe.
        let mut file = File::from(memfd_create(c"hook", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(input)?;
        file.rewind()?;
        let output = io::stderr().as_fd().try_clone_to_owned()?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).process_group(0);
        command.stdin(file).stdout(Stdio::from(output));
        // SAFETY: `forget_handling` calls only functions that are async-signal-safe.
        unsafe { command.pre_exec(forget_handling) };
        let child = command.spawn()?;
        Ok(Self(child.id().cast_signed()))
    }

    /// The script with this ID, which an earlier program in this process started.
    #[must_use]
    pub const fn of(id: i32) -> Self {
        Self(id)
    }

    /// The script's ID.
    #[must_use]
    pub const fn id(self) -> i32 {
        self.0
    }

    /// Checks its state and reaps what has ended. It does not wait.
    #[must_use]
    pub fn look(self) -> HookState {
        let mut status = 0;
        loop {
            // SAFETY: `status` is a valid place for the result.
            let pid = unsafe { libc::waitpid(-self.0, &raw mut status, libc::WNOHANG) };
            match pid {
                0 => return HookState::Runs,
                -1 => return HookState::Gone,
                pid if pid == self.0 => return HookState::Ended(reap::exit(status)),
                _ => {}
            }
        }
    }

    /// Sends a signal to its process group. No other group can have its number until
    /// [`look`](Self::look) has said that nothing is left.
    pub fn signal(self, number: i32) {
        // SAFETY: kill takes any numbers.
        unsafe { libc::kill(-self.0, number) };
    }
}

/// Unblocks all signals and gives each its default action.
fn forget_handling() -> io::Result<()> {
    SigSet::empty().thread_set_mask()?;
    for number in 1..=signal_name::LAST {
        // SAFETY: no handler is installed. It fails for signals whose action cannot be changed.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use nix::unistd::dup2_stderr;
    use testkit::{eventually, process::number_in};

    use super::*;
    use crate::supervise::{alone::alone, reexec::SignalMask};

    fn ended(hook: Hook) -> Exit {
        let mut exit = None;
        eventually("the script ends", || {
            if let HookState::Ended(how) = hook.look() {
                exit = Some(how);
            }
            exit.is_some()
        });
        exit.unwrap()
    }

    #[test]
    fn a_script_runs_as_if_nothing_were_blocked_or_ignored() {
        let place = tempfile::tempdir().unwrap();
        let output = place.path().join("output");
        alone(|| {
            dup2_stderr(fs::File::create(&output).unwrap()).unwrap();
            SignalMask::block_all();
            // SAFETY: no handler is installed.
            unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
            let script = "cat; echo $$; kill -HUP $$; exit 3";
            let hook = Hook::start(script.as_ref(), b"input\n").unwrap();
            assert_eq!(ended(hook), Exit::Signal(libc::SIGHUP));
            let expected = format!("input\n{}\n", hook.id());
            assert_eq!(fs::read_to_string(&output).unwrap(), expected);
        });
    }

    #[test]
    fn what_a_script_leaves_behind_is_of_it_until_it_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("pid");
        alone(|| {
            let script = format!(
                "sleep 1000 & sleep 1000 & echo $! >{}; exit 3",
                file.display()
            );
            let hook = Hook::start(script.as_ref(), b"").unwrap();
            assert_eq!(ended(hook), Exit::Code(3));
            let one = number_in(&file);
            // SAFETY: the arguments are numbers.
            unsafe { libc::kill(one, libc::SIGKILL) };
            eventually("one is reaped", || {
                assert_eq!(hook.look(), HookState::Runs);
                !Path::new(&format!("/proc/{one}")).exists()
            });
            hook.signal(libc::SIGKILL);
            eventually("all are gone", || hook.look() == HookState::Gone);
        });
    }
}
