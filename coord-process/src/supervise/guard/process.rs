//! The guard process: CMD's parent and subreaper, which ends the whole tree below it.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use nix::{
    libc,
    poll::{PollFd, PollFlags},
    unistd::Pid,
};

use super::{kill::Kill, tools::Tools};
use crate::supervise::{
    Exit, KillMode, Orphans, Plan, boottime,
    hunt::{self, Hunt},
    priority,
    reap::{self, Reaped},
    spawn, tree,
    wire::{Cause, Link, Order, Report},
};

/// How often the tree is searched again while it is being ended.
pub(super) const AGAIN: Duration = Duration::from_millis(100);

/// Everything the guard knows.
pub(crate) struct Process {
    plan: Plan,
    link: Link,
    client: Pid,
    /// Readable when the client has died. `None` if the kernel has no pidfds; then the end of the
    /// link shows it.
    client_died: Option<OwnedFd>,
    tools: Tools,
    kept: Vec<OwnedFd>,
    cmd: Option<Cmd>,
    deadline: Option<Duration>,
    /// CMD was sent a signal that asks it to end, and has until this time.
    stop_by: Option<Duration>,
    ending: Option<Ending>,
    client_gone: bool,
    /// The tree is gone, and no order counts any more.
    is_over: bool,
}

/// The command.
struct Cmd {
    pid: i32,
    pidfd: Option<OwnedFd>,
    /// Set once CMD is reaped; then another process may have its ID.
    exit: Option<Exit>,
}

/// How the tree is being ended.
struct Ending {
    cause: Cause,
    kill_at: Duration,
    hunt: Hunt,
    /// Set once it is being killed.
    killing: Option<Kill>,
}

impl Process {
    pub(crate) fn new(
        plan: Plan,
        link: Link,
        client: Pid,
        client_died: Option<OwnedFd>,
        tools: Tools,
    ) -> Self {
        Self {
            plan,
            link,
            client,
            client_died,
            tools,
            kept: Vec::new(),
            cmd: None,
            deadline: None,
            stop_by: None,
            ending: None,
            client_gone: false,
            is_over: false,
        }
    }

    /// Runs until the tree is gone.
    pub(crate) fn run(mut self) -> io::Result<()> {
        while !(self.client_gone && self.cmd.is_none()) {
            let (asked, died) = self.sleep()?;
            // A CMD that ends later has ended after this time.
            let now = boottime();
            let childless = self.reap()?;
            if let Some(exit) = self.exit()
                && (childless || self.leaves_orphans())
            {
                return self.report_the_end(exit);
            }
            if died {
                self.lose_client();
            } else if asked {
                self.obey()?;
            }
            self.keep_time(now);
        }
        Ok(())
    }

    /// Sleeps until something happens. Returns whether an order came, and whether the client died;
    /// everything else is checked every time.
    fn sleep(&self) -> io::Result<(bool, bool)> {
        let mut polled = Vec::new();
        if !self.client_gone {
            let mut wanted = PollFlags::empty();
            wanted.set(PollFlags::POLLIN, !self.is_over);
            wanted.set(PollFlags::POLLOUT, self.link.has_unsent());
            polled.push(PollFd::new(self.link.as_fd(), wanted));
            let died = self.client_died.as_ref();
            polled.extend(died.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        }
        let known = polled.len();
        self.tools.alarm.sleep(&mut polled, self.next_wake())?;
        let happened = |at: usize| {
            let events = polled.get(at).filter(|_| at < known);
            events
                .and_then(PollFd::revents)
                .unwrap_or(PollFlags::empty())
        };
        if happened(0).contains(PollFlags::POLLOUT) {
            // A dead client is noticed by its pidfd or the end of the link.
            let _ = self.link.flush();
        }
        let asked = happened(0).difference(PollFlags::POLLOUT);
        Ok((!asked.is_empty(), !happened(1).is_empty()))
    }

    fn next_wake(&self) -> Option<Duration> {
        self.cmd.as_ref()?;
        let now = boottime();
        match &self.ending {
            Some(ending) => Some(match &ending.killing {
                Some(kill) => kill.next,
                None => self.kill_at().map_or(now, |at| at.min(now + AGAIN)),
            }),
            None => {
                let notice = self.plan.notice();
                let deadline = self.deadline.map(|at| at.saturating_sub(notice));
                deadline.into_iter().chain(self.stop_by).min()
            }
        }
    }

    fn obey(&mut self) -> io::Result<()> {
        match self.link.next_order()? {
            None => self.lose_client(),
            Some(Order::Start(vars)) => self.start(vars)?,
            Some(Order::End) => self.end(Cause::Asked),
            Some(Order::Deadline(at)) => self.deadline = at,
            Some(Order::Signal {
                number,
                group,
                ends,
            }) => self.signal(number, group, ends),
            Some(Order::Keep(fd)) => self.kept.push(fd),
        }
        Ok(())
    }

    fn start(&mut self, vars: Vec<(OsString, OsString)>) -> io::Result<()> {
        let descriptors = self.tools.descriptors;
        let mask = self.plan.mask.unwrap_or(self.tools.mask);
        let report = match spawn::start(&self.plan, vars, self.client, descriptors, mask) {
            Ok(pid) => {
                self.cmd = Some(Cmd {
                    pid,
                    pidfd: tree::open(pid),
                    exit: None,
                });
                Report::Started(pid)
            }
            Err(report) => report,
        };
        self.link.report(&report).or(Ok(()))
    }

    /// Sends a signal to CMD. While its status is unknown, CMD has not been reaped, so nobody else
    /// can have its ID.
    ///
    /// After CMD has exited, the signals that end a program end what it left behind.
    fn signal(&mut self, number: i32, group: bool, ends: bool) {
        let Some(cmd) = &self.cmd else { return };
        if cmd.exit.is_none() {
            let to = if group { -cmd.pid } else { cmd.pid };
            // SAFETY: kill takes any numbers.
            unsafe { libc::kill(to, number) };
        } else {
            // A dead client does not receive it.
            let _ = self.link.report(&Report::Unsent(number));
            if ends || [libc::SIGHUP, libc::SIGQUIT].contains(&number) {
                return self.end(Cause::Own);
            }
        }
        if ends {
            let by = boottime() + self.plan.signal_grace;
            self.stop_by = Some(self.stop_by.map_or(by, |before| before.min(by)));
        }
    }

    fn lose_client(&mut self) {
        self.client_gone = true;
        self.end(Cause::Asked);
    }

    /// Starts to end the tree; the first cause counts.
    fn end(&mut self, cause: Cause) {
        if self.ending.is_some() || self.cmd.is_none() {
            return;
        }
        let cause = if self.exit().is_some() {
            Cause::Own
        } else {
            cause
        };
        self.ending = Some(Ending {
            cause,
            kill_at: boottime() + self.plan.grace,
            hunt: Hunt::new(self.tools.descriptors.room()),
            killing: None,
        });
        priority::raise();
    }

    fn keep_time(&mut self, now: Duration) {
        if self.cmd.is_none() {
            return;
        }
        let is_time = |at: Duration| now >= at;
        let notice = self.plan.notice();
        if self
            .deadline
            .is_some_and(|at| is_time(at.saturating_sub(notice)))
        {
            self.end(Cause::Deadline);
        }
        if self.kill_at().is_some_and(is_time) {
            self.end(Cause::Own);
            self.kill();
        } else {
            self.ask();
        }
    }

    /// When the time to end is over and KILL is due.
    fn kill_at(&self) -> Option<Duration> {
        let ending = self.ending.as_ref();
        let lead = ending.map_or(Duration::ZERO, |ending| ending.hunt.lead());
        let lead = lead.max(self.plan.margin);
        let deadline = self.deadline.map(|at| at.saturating_sub(lead));
        let grace_over = ending.map(|ending| ending.kill_at);
        [deadline, grace_over, self.stop_by]
            .into_iter()
            .flatten()
            .min()
    }

    /// Searches once for processes that have not been asked yet.
    fn ask(&mut self) {
        let until = self.kill_at().unwrap_or(Duration::MAX);
        let (Some(ending), Some(cmd)) = (&mut self.ending, &self.cmd) else {
            return;
        };
        let only = (self.plan.kill_mode == KillMode::Main).then_some(cmd.pid);
        ending.hunt.ask(self.plan.signal, only, until);
    }

    /// Kills first those we can reach without a search, then those that a search finds. The killed
    /// processes need the processor to end, so the pause after each part is as long as the part
    /// took.
    fn kill(&mut self) {
        let (Some(ending), Some(cmd)) = (&mut self.ending, &self.cmd) else {
            return;
        };
        let started = boottime();
        let kill = ending.killing.get_or_insert_with(|| {
            cmd.kill_group();
            ending.hunt.kill_known();
            Kill::begin(started)
        });
        if kill.next <= started {
            kill.go_on();
        }
    }

    /// Reaps what can be reaped. Returns true when no child is left.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            match reap::next()? {
                Reaped::Ended(pid, exit) => self.note_end(pid, exit),
                Reaped::Stopped(pid, signal) => self.note_stop(pid, signal),
                Reaped::Nothing => break,
                Reaped::NoChild => return Ok(true),
            }
        }
        if self.exit().is_some() && self.plan.orphans == Orphans::End {
            self.end(Cause::Own);
        }
        Ok(false)
    }

    fn note_end(&mut self, pid: i32, exit: Exit) {
        if let Some(cmd) = self.cmd.as_mut().filter(|cmd| cmd.pid == pid) {
            cmd.exit = Some(exit);
        }
    }

    fn note_stop(&self, pid: i32, signal: i32) {
        if self.cmd.as_ref().is_some_and(|cmd| cmd.pid == pid) {
            // A dead client does not receive it.
            let _ = self.link.report(&Report::Stopped(signal));
        }
    }

    fn exit(&self) -> Option<Exit> {
        self.cmd.as_ref()?.exit
    }

    fn leaves_orphans(&self) -> bool {
        self.plan.orphans == Orphans::Leave && self.ending.is_none()
    }

    /// Returns only when the client has room for it, or has died.
    fn report_the_end(mut self, exit: Exit) -> io::Result<()> {
        let cause = self
            .ending
            .as_ref()
            .map_or(Cause::Own, |ending| ending.cause);
        // Nothing is left that the descriptors must be kept for.
        self.kept.clear();
        self.cmd = None;
        self.is_over = true;
        self.link.refuse_orders();
        while let Ok(Some(order)) = self.link.try_next_order() {
            if let Order::Signal { number, .. } = order {
                let _ = self.link.report(&Report::Unsent(number));
            }
        }
        let mut reported = self.link.report(&Report::Over(exit, cause));
        while reported.is_ok() && self.link.has_unsent() && !self.client_gone {
            let (_, died) = self.sleep()?;
            self.client_gone |= died;
            reported = self.link.flush();
        }
        Ok(())
    }
}

impl Cmd {
    /// While CMD has not been reaped, no other group can have its number. Afterwards the kernel can
    /// still find the group by the pidfd.
    fn kill_group(&self) {
        let killed = self.pidfd.as_ref().is_some_and(hunt::kill_group);
        if !killed && self.exit.is_none() {
            // SAFETY: kill takes any numbers.
            unsafe { libc::kill(-self.pid, libc::SIGKILL) };
        }
    }
}

#[cfg(test)]
mod tests;
