//! Signals that a program which uses the library must handle itself.

use std::{io, os::unix::process::CommandExt, process::Command};

use coord_core::signal::keep_sigpipe;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// What was done on SIGXFSZ, which a write beyond `RLIMIT_FSIZE` brings, `setrlimit(2)`.
#[derive(Clone, Copy)]
pub(super) struct FileSizeSignal(Option<SigAction>);

impl FileSizeSignal {
    /// Ignores it from now on: the write is an error then, which is dealt with, rather than our end
    /// in the middle of a claim.
    pub(super) fn ignore() -> Self {
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // SAFETY: no handler is installed.
        Self(unsafe { sigaction(Signal::SIGXFSZ, &ignore) }.ok())
    }

    /// Lets the command find it, and SIGPIPE, as we found them.
    pub(super) fn restore_for(self, command: &mut Command) {
        let restore = move || {
            keep_sigpipe();
            if let Some(before) = self.0 {
                // SAFETY: no handler of ours is installed; this action was there when we started.
                unsafe { sigaction(Signal::SIGXFSZ, &before) }.map_err(io::Error::from)?;
            }
            Ok(())
        };
        // SAFETY: nothing is forked, and both calls are also safe in a signal handler.
        unsafe { command.pre_exec(restore) };
    }
}
