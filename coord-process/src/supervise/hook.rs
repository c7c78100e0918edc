//! A short script beside the command: in a process group of its own, which is ended when its time
//! is over.
//!
//! The script is a child of the client, and so is what it leaves behind, as long as the client is a
//! child subreaper; what goes into a session of its own is let be.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Seek, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Command, Stdio},
};

use coord_core::signal_name;
use nix::{
    errno::Errno,
    libc,
    sys::{
        memfd::{MFdFlags, memfd_create},
        signal::SigSet,
    },
};

use super::{Exit, reap};

/// A script that was started, by the ID of its process and its process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook(i32);

/// What has become of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookState {
    /// It runs, or something that it has started does.
    Runs,
    /// It has ended like this; what it has started may still run.
    Ended(Exit),
    /// Nothing of it is left.
    Gone,
}

impl Hook {
    /// Runs `sh -c SCRIPT` with this on its standard input, and with our standard error as its
    /// output. No signal is blocked or ignored in it.
    ///
    /// # Errors
    /// Those of `memfd_create(2)`, `write(2)`, `fork(2)` and `execve(2)`.
    pub fn start(script: &OsStr, input: &[u8]) -> io::Result<Self> {
        // Dead processes that earlier ones have left in sessions of their own.
        reap::strangers();
        // A file, and not a pipe, which a script that does not read could fill.
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

    /// The one of this ID, which an earlier program of this process has started.
    #[must_use]
    pub const fn of(id: i32) -> Self {
        Self(id)
    }

    /// Its ID.
    #[must_use]
    pub const fn id(self) -> i32 {
        self.0
    }

    /// Looks what has become of it, and reaps what has ended. It does not wait.
    #[must_use]
    pub fn look(self) -> HookState {
        let mut status = 0;
        loop {
            // SAFETY: `status` is a valid place for the answer.
            let pid = unsafe { libc::waitpid(-self.0, &raw mut status, libc::WNOHANG) };
            match (pid, Errno::last()) {
                (0, _) => return HookState::Runs,
                (-1, Errno::EINTR) => {}
                (-1, _) => return HookState::Gone,
                (pid, _) if pid == self.0 => return HookState::Ended(reap::exit(status)),
                _ => {}
            }
        }
    }

    /// Sends a signal to its process group, which cannot be another's while [`look`](Self::look)
    /// has not said that nothing is left.
    pub fn signal(self, number: i32) {
        // SAFETY: kill takes any numbers.
        unsafe { libc::kill(-self.0, number) };
    }
}

/// No signal is blocked, and each does what it does by default.
fn forget_handling() -> io::Result<()> {
    SigSet::empty().thread_set_mask()?;
    for number in 1..=signal_name::LAST {
        // SAFETY: no handler is installed. It fails for those that have one way of handling.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    Ok(())
}
