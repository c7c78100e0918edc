//! The controlling terminal, and which process group may read from it.

use std::{fs::File, os::unix::fs::OpenOptionsExt};

use nix::{
    errno::Errno,
    libc,
    sys::signal::{SigSet, SigmaskHow, Signal, killpg, sigprocmask},
    unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp},
};

/// This process's terminal. All calls do nothing for a process without one.
#[derive(Debug)]
pub(crate) struct Terminal(Option<File>);

impl Terminal {
    pub(crate) fn open() -> Self {
        let tty = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open("/dev/tty");
        Self(tty.ok())
    }

    pub(crate) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Makes `to` the foreground group, if `from` is it now.
    pub(crate) fn pass(&self, from: Pid, to: Pid) {
        let Some(tty) = &self.0 else { return };
        if tcgetpgrp(tty) == Ok(from) {
            // In the background, the change itself would stop us, tcsetpgrp(3).
            let ttou = SigSet::from(Signal::SIGTTOU);
            let mut before = SigSet::empty();
            let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&ttou), Some(&mut before));
            let _ = tcsetpgrp(tty, to);
            let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
        }
    }

    /// Gives CMD's group the terminal, if we have it.
    pub(crate) fn give(&self, to: Pid) {
        self.pass(getpgrp(), to);
    }

    /// Takes the terminal back from CMD's group, or from a group of CMD's that ended without
    /// returning it.
    pub(crate) fn take_back(&self, from: Pid) {
        let Some(tty) = &self.0 else { return };
        let gone = |group| killpg(group, None) == Err(Errno::ESRCH);
        if let Ok(group) = tcgetpgrp(tty)
            && (group == from || gone(group))
        {
            self.pass(group, getpgrp());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use nix::pty::openpty;

    use super::*;
    use crate::supervise::alone::{alone, family};

    #[test]
    fn a_terminal_is_taken_back_from_the_command_and_from_nobody_else() {
        alone(|| {
            let pty = openpty(None, None).unwrap();
            // SAFETY: it is a terminal, and the request takes a number.
            let taken = unsafe { libc::ioctl(pty.slave.as_raw_fd(), libc::TIOCSCTTY, 0) };
            assert_eq!(taken, 0);
            let terminal = Terminal::open();
            let [command, other] = [(); 2].map(|()| Pid::from_raw(family(0).0));
            terminal.give(other);
            terminal.take_back(command);
            assert_eq!(tcgetpgrp(&pty.slave), Ok(other));
            terminal.pass(other, command);
            terminal.take_back(command);
            assert_eq!(tcgetpgrp(&pty.slave), Ok(getpgrp()));
            // Its end would be a SIGHUP.
            std::mem::forget(pty);
        });
    }
}
