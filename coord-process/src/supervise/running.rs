//! A running command, from the client's side.

use std::{
    collections::VecDeque,
    iter,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, OnceLock},
    time::Duration,
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{Pid, getpid},
};

use super::{
    End, Ender, Error, Exit, Guard, Outcome, Reason, boottime,
    error::Kind,
    reap,
    signals::{self, Caught, Signal},
    terminal::Terminal,
    wire::{Cause, Order, Report},
};

/// How long a stopped guard has after the grace period, and how often we check it then.
const PATIENCE: Duration = Duration::from_secs(1);

/// How soon we resend an order that the guard had no room for.
const RESEND: Duration = Duration::from_millis(100);

/// Gives the guard's own timer time to fire first.
const AFTER: Duration = Duration::from_millis(1);

/// Something a caller waits for beside CMD, see [`Running::wait_until`].
pub trait Condition {
    /// The descriptors that become readable when there is something to check.
    fn fds(&self) -> Vec<BorrowedFd<'_>>;

    /// How soon to check again if nothing is readable; `None` if events are enough.
    fn timeout(&self) -> Option<Duration>;

    /// Returns a reason if CMD must end now. It must not block. It is called before the first wait
    /// and after each wake, until it returns a reason.
    fn check(&mut self) -> Option<Reason>;
}

/// A running command. Dropping it ends the command's tree and waits until the tree is gone.
#[derive(Debug)]
pub struct Running {
    guard: Guard,
    cmd: Pid,
    caught: Caught,
    terminal: Terminal,
    reason: Arc<OnceLock<Reason>>,
    /// When CMD was first sent a signal that asks it to end.
    stopping: Option<Duration>,
    /// The signals that could not be passed on, since CMD had ended.
    unsent: VecDeque<i32>,
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
            stopping: None,
            unsent: VecDeque::new(),
            over: false,
        }
    }

    /// A handle for other threads that can end the command or move its deadline.
    #[must_use]
    pub fn ender(&self) -> Ender {
        Ender {
            process: self.guard.process.clone(),
            reason: self.reason.clone(),
        }
    }

    /// CMD's process ID, which is also its process group's ID.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.cmd.as_raw()
    }

    /// Waits until CMD and everything that it started have ended, and forwards signals meanwhile.
    /// Call it once.
    ///
    /// Until this value is dropped, forwarded signals do not end this process either. That leaves
    /// time to release what CMD ran under, such as a lock.
    ///
    /// # Errors
    /// `ESRCH` when the guard was killed; by then the tree has been ended.
    pub fn wait(&mut self) -> Result<Outcome, Error> {
        self.wait_beside(None)
    }

    /// Waits as [`wait`](Self::wait) does, and ends CMD when the condition gives a reason. This
    /// needs no extra thread.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_until(&mut self, condition: &mut dyn Condition) -> Result<Outcome, Error> {
        self.wait_beside(Some(condition))
    }

    /// The descriptors to poll for reading, for a caller with its own loop. Call
    /// [`step`](Self::step) when one is readable, and after [`timeout`](Self::timeout).
    #[must_use]
    pub fn fds(&self) -> [BorrowedFd<'_>; 2] {
        [self.caught.as_fd(), self.guard.process.as_fd()]
    }

    /// How long there is nothing to do if no descriptor becomes readable; `None` means for ever.
    /// [`Ender`] can change it, and then makes a descriptor readable.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        let now = boottime();
        let next = self.moments().into_iter().filter(|at| *at > now).min();
        let left = next.map(|at| at.saturating_sub(now));
        let late = self.overdue().filter(|at| *at <= now).map(|_| PATIENCE);
        let resend = self.guard.process.has_unsent().then_some(RESEND);
        [left, late, resend].into_iter().flatten().min()
    }

    /// Does what is due: forwards signals, and makes sure that the guard does its part. Returns the
    /// outcome when CMD and everything that it started have ended.
    ///
    /// It blocks only while this process's job is stopped, and while it ends the tree of a guard
    /// that was killed.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn step(&mut self) -> Result<Option<Outcome>, Error> {
        while let Some(signal) = self.caught.next() {
            self.pass_on(signal);
        }
        self.guard.process.flush();
        while let Some(heard) = self.guard.process.try_next_report() {
            match heard? {
                Some(Report::Stopped(signal)) => self.stop_too(signal),
                Some(Report::Unsent(number)) => self.note_unsent(number),
                Some(Report::Over(exit, cause)) => return Ok(Some(self.finish(exit, cause))),
                Some(_) => {}
                None => return Err(self.lose_guard()),
            }
        }
        Ok(self.take_over_if_late())
    }

    /// Whether CMD was sent a signal that asks it to end: TERM, INT, or the plan's own.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// The next signal that was not forwarded because CMD had already ended, by its number in
    /// `signal(7)`. Only signals that ask CMD to end, HUP and QUIT are returned.
    pub fn next_unsent(&mut self) -> Option<i32> {
        let ends = |number: i32| {
            self.guard.plan.is_asked_by(number) || [libc::SIGHUP, libc::SIGQUIT].contains(&number)
        };
        let caught = || self.caught.next().map(|signal| signal.number);
        let mut unsent = iter::from_fn(|| self.unsent.pop_front().or_else(caught));
        unsent.find(|number| ends(*number))
    }

    fn wait_beside(&mut self, mut condition: Option<&mut dyn Condition>) -> Result<Outcome, Error> {
        loop {
            if let Some(reason) = condition.as_mut().and_then(|condition| condition.check()) {
                self.ender().end(reason);
                condition = None;
            }
            if let Some(outcome) = self.step()? {
                return Ok(outcome);
            }
            self.sleep(condition.as_deref())?;
        }
    }

    fn sleep(&self, condition: Option<&dyn Condition>) -> Result<(), Error> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let fds = self.fds().into_iter();
        let fds = fds.chain(condition.iter().flat_map(|it| it.fds()));
        let mut polled: Vec<_> = fds.map(readable).collect();
        let next_check = condition.and_then(Condition::timeout);
        let timeout = self.timeout().into_iter().chain(next_check).min();
        match poll(&mut polled, in_millis(timeout)) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(error) => Err(Kind::io("wait (poll)")(error)),
        }
    }

    /// The times at which the guard must act, so it must not be stopped, and when it is late.
    fn moments(&self) -> Vec<Duration> {
        let plan = &self.guard.plan;
        let deadline = self.guard.process.deadline();
        let before = |time: Duration| deadline.map(|at| at.saturating_sub(time) + AFTER);
        let own = [
            before(plan.notice()),
            before(plan.margin),
            before(Duration::ZERO),
            self.grace_over(),
        ];
        own.into_iter().flatten().chain(self.overdue()).collect()
    }

    /// When the grace period of the tree ends.
    fn grace_over(&self) -> Option<Duration> {
        let plan = &self.guard.plan;
        let asked = self.guard.process.asked().map(|at| at + plan.grace);
        let stopping = self.stopping.map(|at| at + plan.signal_grace);
        let first = [asked, stopping].into_iter().flatten().min();
        first.map(|at| at + AFTER)
    }

    /// When the guard is late: half of the margin before a deadline, and well after a grace period.
    fn overdue(&self) -> Option<Duration> {
        let margin = self.guard.plan.margin;
        let deadline = self.guard.process.deadline();
        let deadline = deadline.map(|at| at.saturating_sub(margin / 2) + AFTER);
        let grace_over = self.grace_over().map(|at| at + PATIENCE);
        [deadline, grace_over].into_iter().flatten().min()
    }

    /// Continues a late guard, in case somebody stopped it. If it cannot be continued, for example
    /// because it is traced, we end the tree ourselves. A guard that is busy with a large tree does
    /// that better, so we leave it alone until the deadline.
    fn take_over_if_late(&mut self) -> Option<Outcome> {
        let now = boottime();
        if !self.moments().into_iter().any(|at| at <= now) {
            return None;
        }
        self.guard.process.wake();
        self.overdue().filter(|at| *at <= now)?;
        let margin = self.guard.plan.margin / 2;
        let deadline = self.guard.process.deadline();
        let is_past = |margin| deadline.is_some_and(|at| at.saturating_sub(margin) <= now);
        if !is_past(Duration::ZERO) && !self.guard.process.is_stopped() {
            return None;
        }
        let is_deadline = is_past(margin);
        self.guard.take_over();
        // It is dead now. It may have reported the end while this process did not run.
        while let Some(Ok(Some(report))) = self.guard.process.try_next_report() {
            match report {
                Report::Unsent(number) => self.note_unsent(number),
                Report::Over(exit, cause) => return Some(self.finish(exit, cause)),
                _ => {}
            }
        }
        let cause = match self.guard.process.asked() {
            Some(_) => Cause::Asked,
            None if is_deadline => Cause::Deadline,
            None => Cause::Own,
        };
        Some(self.finish(Exit::Signal(libc::SIGKILL), cause))
    }

    fn lose_guard(&mut self) -> Error {
        self.over = true;
        self.guard.end_the_rest(boottime() + self.guard.plan.grace);
        Kind::GuardDied.into()
    }

    /// Signals from the terminal go to the whole group, and so does job control. The others go only
    /// to CMD, as they would without us.
    fn pass_on(&mut self, signal: Signal) {
        let Signal {
            number,
            from_kernel,
        } = signal;
        match number {
            libc::SIGCHLD if from_kernel => {
                // A stopped guard cannot report CMD's end.
                self.guard.process.wake();
                if getpid().as_raw() == 1 {
                    reap::strangers();
                }
                return;
            }
            libc::SIGCONT => self.terminal.give(self.cmd),
            _ => {}
        }
        let passed = self.guard.plan.rewritten(number);
        let job_control = [libc::SIGTSTP, libc::SIGCONT, libc::SIGWINCH].contains(&passed);
        let from_terminal = from_kernel && is_of_terminals(number);
        let ends = self.guard.plan.is_asked_by(number);
        if ends {
            self.stopping.get_or_insert_with(boottime);
        }
        if !self.send(passed, from_terminal || job_control, ends) {
            self.unsent.push_back(number);
        }
    }

    /// The guard knows the signal as it was to be passed on. Of those that are rewritten, only HUP
    /// and QUIT matter here.
    fn note_unsent(&mut self, passed: i32) {
        let mut from = [libc::SIGHUP, libc::SIGQUIT].into_iter();
        let from = from.find(|from| self.guard.plan.rewritten(*from) == passed);
        self.unsent.push_back(from.unwrap_or(passed));
    }

    /// Returns false when the guard is gone, and CMD with it.
    fn send(&self, number: i32, group: bool, ends: bool) -> bool {
        let signal = Order::Signal {
            number,
            group,
            ends,
        };
        self.guard.process.order(&signal).is_ok()
    }

    /// CMD was stopped. If its terminal stopped it, we stop our job, and both continue together. If
    /// somebody else stopped it, we leave it to them.
    fn stop_too(&self, signal: i32) {
        let by_terminal = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal);
        if by_terminal && self.terminal.is_there() {
            signals::stop_ourselves();
            self.terminal.give(self.cmd);
            self.send(libc::SIGCONT, true, false);
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
            self.guard.process.end();
            let _ = self.wait();
        }
        if !self.over {
            // Waiting is no longer possible.
            self.guard.take_over();
        }
        self.terminal.take_back(self.cmd);
    }
}

/// Whether a terminal, or the kernel on its behalf, sends this signal, `termios(3)`.
fn is_of_terminals(number: i32) -> bool {
    [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGCONT,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
        libc::SIGWINCH,
    ]
    .contains(&number)
}

/// Rounded up, so that a wait is never shorter than requested.
pub(super) fn in_millis(timeout: Option<Duration>) -> PollTimeout {
    timeout.map_or(PollTimeout::NONE, |timeout| {
        let millis = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).ok();
        let timeout = millis.and_then(|millis| PollTimeout::try_from(millis).ok());
        timeout.unwrap_or(PollTimeout::MAX)
    })
}

#[cfg(test)]
mod tests;
