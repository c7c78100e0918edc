//! A command that runs, from the client's side.

use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, OnceLock},
    time::Duration,
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
    unistd::Pid,
};

use super::{
    End, Ender, Error, Exit, Guard, Outcome, Reason, boottime,
    error::Kind,
    signals::{self, Caught},
    terminal::Terminal,
    tree,
    wire::{Cause, Order, Report},
};

/// What a caller waits for beside CMD, see [`Running::wait_until`].
pub trait Condition {
    /// The descriptors that become readable when there is something to check.
    fn fds(&self) -> Vec<BorrowedFd<'_>>;

    /// How soon to check again although nothing is readable; none when events alone will do.
    fn timeout(&self) -> Option<Duration>;

    /// Why CMD is to end now, if it is. It must not block. It is called before the first wait and after each wake, until it has a reason.
    fn check(&mut self) -> Option<Reason>;
}

/// A command that runs. Dropping it ends the command's tree, and waits until it is gone.
#[derive(Debug)]
pub struct Running {
    guard: Guard,
    cmd: Pid,
    caught: Caught,
    terminal: Terminal,
    reason: Arc<OnceLock<Reason>>,
    over: bool,
}

impl Running {
    pub(crate) fn new(guard: Guard, cmd: Pid, caught: Caught) -> Self {
        Self {
            guard,
            cmd,
            caught,
            terminal: Terminal::open(),
            reason: Arc::default(),
            over: false,
        }
    }

    /// What ends the command, or moves its deadline, from another thread.
    #[must_use]
    pub fn ender(&self) -> Ender {
        Ender {
            process: self.guard.process.clone(),
            reason: self.reason.clone(),
        }
    }

    /// CMD's process ID, which is also its group's.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.cmd.as_raw()
    }

    /// Waits until CMD and all it has started are gone, passing signals on meanwhile. To be called once.
    ///
    /// Until this value is dropped, the signals that were passed on do not end this process either: there is time to give back what
    /// CMD was run under.
    ///
    /// # Errors
    /// `ESRCH` when the guard was killed; the tree has been ended then.
    pub fn wait(&mut self) -> Result<Outcome, Error> {
        self.wait_beside(None)
    }

    /// Waits as [`wait`](Self::wait) does, and ends CMD when the condition says so: without a thread that waits for it.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_until(&mut self, condition: &mut dyn Condition) -> Result<Outcome, Error> {
        self.wait_beside(Some(condition))
    }

    fn wait_beside(&mut self, mut condition: Option<&mut dyn Condition>) -> Result<Outcome, Error> {
        loop {
            if let Some(reason) = condition.as_mut().and_then(|condition| condition.check()) {
                self.ender().end(reason);
                condition = None;
            }
            let reported = self.sleep(condition.as_deref())?;
            while let Some((signal, from_terminal)) = self.caught.next() {
                self.pass_on(signal, from_terminal);
            }
            if !reported {
                continue;
            }
            match self.guard.process.next_report()? {
                Some(Report::Stopped(signal)) => self.stop_too(signal),
                Some(Report::Over(exit, cause)) => return Ok(self.finish(exit, cause)),
                Some(_) => {}
                None => {
                    self.over = true;
                    self.guard.end_the_rest();
                    return Err(Kind::GuardDied.into());
                }
            }
        }
    }

    /// True when the guard has something to say.
    fn sleep(&self, condition: Option<&dyn Condition>) -> Result<bool, Error> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut polled = vec![
            readable(self.caught.as_fd()),
            readable(self.guard.process.as_fd()),
        ];
        polled.extend(condition.iter().flat_map(|it| it.fds()).map(readable));
        let next_check = condition.and_then(Condition::timeout);
        let timeout = self.patience().into_iter().chain(next_check).min();
        match poll(&mut polled, in_millis(timeout)) {
            Ok(0) => self.guard.process.wake(),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(Kind::io("wait")(error)),
        }
        Ok(polled[1].any().unwrap_or(false))
    }

    /// When to see to it that the guard is not stopped: it has to act one grace period before the deadline, and at it.
    fn patience(&self) -> Option<Duration> {
        let deadline = self.guard.process.deadline()?;
        let now = boottime();
        let term = deadline.saturating_sub(self.guard.plan.grace);
        let left = [term, deadline]
            .into_iter()
            .map(|at| at.saturating_sub(now))
            .find(|left| !left.is_zero());
        // A millisecond more, so that the guard's own timer comes first.
        Some(left.map_or(tree::AGAIN, |left| left + Duration::from_millis(1)))
    }

    /// What the terminal sends is for the whole group, and so is job control; the rest is for CMD, as it would be without us.
    fn pass_on(&self, signal: Signal, from_terminal: bool) {
        let job_control = matches!(signal, Signal::SIGTSTP | Signal::SIGCONT | Signal::SIGWINCH);
        match signal {
            Signal::SIGCHLD => return tree::reap_strangers(),
            Signal::SIGCONT => self.terminal.give(self.cmd),
            _ => {}
        }
        self.send(signal, from_terminal || job_control);
    }

    fn send(&self, signal: Signal, group: bool) {
        let number = signal as i32;
        // It fails only when the guard is gone, and CMD with it.
        let _ = self.guard.process.order(&Order::Signal { number, group });
    }

    /// CMD was stopped: by its terminal, then our job is stopped, and both continue together; or by somebody, who will know.
    fn stop_too(&self, signal: i32) {
        let by_terminal = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal);
        if by_terminal && self.terminal.is_there() {
            signals::stop_ourselves();
            self.terminal.give(self.cmd);
            self.send(Signal::SIGCONT, true);
        }
    }

    fn finish(&mut self, exit: Exit, cause: Cause) -> Outcome {
        self.over = true;
        let end = match (cause, self.reason.get()) {
            (Cause::Asked, Some(reason)) => End::Asked(*reason),
            (Cause::Deadline, _) => End::Deadline,
            _ => End::Own,
        };
        Outcome { exit, end }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            let _ = self.guard.process.order(&Order::End);
        }
        while !self.over {
            match self.guard.process.next_report() {
                Ok(Some(Report::Over(..))) => self.over = true,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    self.over = true;
                    self.guard.end_the_rest();
                }
            }
        }
        self.terminal.take_back(self.cmd);
    }
}

/// Rounded up, so that a wait is not shorter than was asked for.
fn in_millis(timeout: Option<Duration>) -> PollTimeout {
    timeout.map_or(PollTimeout::NONE, |timeout| {
        let millis = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).ok();
        let timeout = millis.and_then(|millis| PollTimeout::try_from(millis).ok());
        timeout.unwrap_or(PollTimeout::MAX)
    })
}
