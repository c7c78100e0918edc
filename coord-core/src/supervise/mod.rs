//! Running another command so that it cannot outlive what it was run under.
//!
//! ```no_run
//! use coord_core::{Status, supervise::{Guard, Plan, Reason}};
//!
//! # fn main() -> Result<(), coord_core::supervise::Error> {
//! // First of all, before the process has threads:
//! let guard = Guard::start(Plan::new(["sh", "-c", "work"]))?;
//! // ... wait for the lock ...
//! let running = guard.spawn([("LOCK_TOKEN", "7")])?;
//! let ender = running.ender();
//! std::thread::spawn(move || ender.end(Reason::new("the lock was lost", Status::LOST)));
//! let outcome = running.wait()?;
//! std::process::exit(outcome.status().code().into());
//! # }
//! ```
//!
//! CMD is not our child but a guard's, a small process forked first. The guard is a child subreaper, so that all that CMD starts stays
//! below it; it ends that tree when it is asked to, when a deadline is near, and when the client (this process) dies, and says so only
//! when the tree is gone. Should the guard be killed, CMD dies with it (`PR_SET_PDEATHSIG`), and the client, a subreaper too, ends the
//! rest. When both are killed in the same instant, CMD dies and what it had started stays: nobody is left to end it.
//!
//! Ending is TERM to each process of the tree, and KILL after the grace period. A process that this user may not signal is waited for.
//! `/proc` is needed to find them.

mod error;
mod guard;
mod signals;
mod terminal;
mod tree;
mod wire;

use std::{
    collections::HashSet,
    ffi::OsString,
    fs,
    os::fd::{AsFd, BorrowedFd},
    process,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{prctl, signal::Signal, wait::waitpid},
    unistd::{ForkResult, Pid, fork, getpid},
};
use rustix::process::{PidfdFlags, pidfd_open};

pub use error::Error;
use error::Kind;
use signals::Caught;
use terminal::Terminal;
use wire::{Cause, Link, Order, Report};

use crate::Status;

/// What to run, and how to end it.
#[derive(Clone, Debug)]
pub struct Plan {
    command: Vec<OsString>,
    grace: Duration,
    signal: Signal,
    orphans: Orphans,
}

/// What happens to the processes that CMD leaves behind when it exits by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orphans {
    /// They are ended, as CMD would be.
    #[default]
    End,
    /// They are waited for.
    Wait,
    /// They are let be.
    Leave,
}

/// Why a caller ends CMD, and the status that its process then exits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    text: &'static str,
    status: Status,
}

/// How CMD itself ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(u8),
    /// By this signal.
    Signal(i32),
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, or by a signal of somebody else.
    Own,
    /// [`Ender::end`] asked for it.
    Asked(Reason),
    /// The deadline was near.
    Deadline,
}

/// CMD and all it had started are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How CMD ended.
    pub exit: Exit,
    /// Why it ended.
    pub end: End,
}

/// The guard process, before CMD is started. Dropping it ends the guard.
#[derive(Debug)]
pub struct Guard {
    link: Arc<Link>,
    process: Pid,
    plan: Plan,
    deadline: Arc<Mutex<Option<Duration>>>,
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

/// Ends the command, or moves its deadline, from any thread.
#[derive(Clone, Debug)]
pub struct Ender {
    link: Arc<Link>,
    reason: Arc<OnceLock<Reason>>,
    deadline: Arc<Mutex<Option<Duration>>>,
}

pub use crate::boottime::boottime;

impl Plan {
    /// A program and its arguments; TERM and ten seconds of grace, nothing is left behind.
    pub fn new(command: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            grace: Duration::from_secs(10),
            signal: Signal::SIGTERM,
            orphans: Orphans::End,
        }
    }

    /// How long after the first signal the tree is killed.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The signal that asks the tree to end, by its number. Numbers that are not signals are left unused.
    #[must_use]
    pub fn signal(mut self, number: i32) -> Self {
        self.signal = Signal::try_from(number).unwrap_or(self.signal);
        self
    }

    /// What happens to what CMD leaves behind.
    #[must_use]
    pub fn orphans(mut self, orphans: Orphans) -> Self {
        self.orphans = orphans;
        self
    }
}

impl Reason {
    /// A reason in words, and the status that stands for it.
    #[must_use]
    pub const fn new(text: &'static str, status: Status) -> Self {
        Self { text, status }
    }

    /// The reason in words.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        self.text
    }
}

impl Outcome {
    /// The exit status of a wrapper: CMD's own, the reason's when it was ended for one, 122 when the deadline ended it.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.end {
            End::Own => self.exit.status(),
            End::Asked(reason) => reason.status,
            End::Deadline => Status::LOST,
        }
    }
}

impl Exit {
    /// The status itself, or 128 and the signal's number.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Code(code) => Status::from_code(code),
            Self::Signal(number) => Status::from_signal(number),
        }
    }

    fn from_wait(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Code(status.to_be_bytes()[2]),
            signal => Self::Signal(signal),
        }
    }
}

impl Guard {
    /// Forks the guard. Descriptors opened before this stay open in it until the tree is gone, those opened later do not.
    ///
    /// # Errors
    /// `EBUSY` when the process has threads already; those of `fork(2)`, `socketpair(2)` and `prctl(2)`.
    pub fn start(plan: Plan) -> Result<Self, Error> {
        let threads = fs::read_dir("/proc/self/task").map_err(Kind::io("read /proc"))?;
        if threads.count() > 1 {
            return Err(Kind::Threads.into());
        }
        prctl::set_child_subreaper(true).map_err(Kind::io("become a subreaper"))?;
        let (ours, theirs) = Link::pair().map_err(Kind::io("open a socket pair"))?;
        let client = getpid();
        let client_died = rustix::process::Pid::from_raw(client.as_raw())
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        // SAFETY: this process has one thread, so that no lock can be held for ever in the child.
        match unsafe { fork() }.map_err(Kind::io("fork the guard"))? {
            ForkResult::Parent { child } => Ok(Self {
                link: Arc::new(ours),
                process: child,
                plan,
                deadline: Arc::default(),
            }),
            ForkResult::Child => {
                drop(ours);
                guard(plan, theirs, client, client_died)
            }
        }
    }

    /// Lets the guard hold this descriptor, with the kernel lock on it, until the tree is gone.
    ///
    /// # Errors
    /// Those of `sendmsg(2)`.
    pub fn keep(&self, fd: BorrowedFd<'_>) -> Result<(), Error> {
        let fd = fd
            .try_clone_to_owned()
            .map_err(Kind::io("copy a descriptor"))?;
        self.link
            .order(&Order::Keep(fd))
            .map_err(Kind::io("reach the guard"))
    }

    /// Sets the `CLOCK_BOOTTIME` by which the tree must be gone, see [`Ender::set_deadline`].
    ///
    /// # Errors
    /// Those of `sendmsg(2)`.
    pub fn set_deadline(&self, at: Option<Duration>) -> Result<(), Error> {
        send_deadline(&self.link, &self.deadline, at)
    }

    /// Starts CMD with these variables beside the environment. From here on, signals are passed on to it.
    ///
    /// # Errors
    /// Those of `execve(2)`, for which [`Error::status`] is 126 or 127; 125 when the guard cannot be reached.
    pub fn spawn<K: Into<OsString>, V: Into<OsString>>(
        self,
        vars: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Running, Error> {
        let vars = vars
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let caught = Caught::new()?;
        self.link
            .order(&Order::Start(vars))
            .map_err(Kind::io("reach the guard"))?;
        match self
            .link
            .next_report()
            .map_err(Kind::io("hear the guard"))?
        {
            Some(Report::Started(pid)) => Ok(Running {
                guard: self,
                cmd: Pid::from_raw(pid),
                caught,
                terminal: Terminal::open(),
                reason: Arc::default(),
                over: false,
            }),
            Some(Report::NotStarted(errno)) => {
                let program = self.plan.command.first().cloned().unwrap_or_default();
                Err(Kind::Exec(program, std::io::Error::from_raw_os_error(errno)).into())
            }
            _ => Err(Kind::GuardDied.into()),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The guard takes the closed link for our death; an Ender may still have it open.
        let _ = nix::sys::socket::shutdown(
            std::os::fd::AsRawFd::as_raw_fd(&self.link.as_fd()),
            nix::sys::socket::Shutdown::Both,
        );
        while waitpid(self.process, None) == Err(nix::Error::EINTR) {}
    }
}

impl Running {
    /// What ends the command, or moves its deadline, from another thread.
    #[must_use]
    pub fn ender(&self) -> Ender {
        Ender {
            link: self.guard.link.clone(),
            reason: self.reason.clone(),
            deadline: self.guard.deadline.clone(),
        }
    }

    /// CMD's process ID, which is also its group's.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.cmd.as_raw()
    }

    /// Waits until CMD and all it has started are gone, passing signals on meanwhile.
    ///
    /// # Errors
    /// `ESRCH` when the guard was killed; the tree has been ended then.
    pub fn wait(mut self) -> Result<Outcome, Error> {
        loop {
            self.sleep()?;
            while let Some((signal, from_terminal)) = self.caught.next() {
                self.pass_on(signal, from_terminal);
            }
            if !self.link_is_ready()? {
                continue;
            }
            match self
                .guard
                .link
                .next_report()
                .map_err(Kind::io("hear the guard"))?
            {
                Some(Report::Stopped(signal)) => self.stop_too(signal),
                Some(Report::Over(status, cause)) => return Ok(self.finish(status, cause)),
                Some(_) => {}
                None => return Err(self.end_the_rest()),
            }
        }
    }

    fn sleep(&self) -> Result<(), Error> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut polled = [
            readable(self.caught.as_fd()),
            readable(self.guard.link.as_fd()),
        ];
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(error) => Err(Kind::io("wait")(error)),
        }
    }

    fn link_is_ready(&self) -> Result<bool, Error> {
        let mut polled = [PollFd::new(self.guard.link.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, PollTimeout::ZERO) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::Error::EINTR) => Ok(false),
            Err(error) => Err(Kind::io("wait")(error)),
        }
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
        let _ = self.guard.link.order(&Order::Signal {
            number: signal as i32,
            group,
        });
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

    fn finish(&mut self, status: i32, cause: Cause) -> Outcome {
        self.over = true;
        let reason = self.reason.get().copied();
        let end = match (cause, reason) {
            (Cause::Asked, Some(reason)) => End::Asked(reason),
            (Cause::Deadline, _) => End::Deadline,
            _ => End::Own,
        };
        Outcome {
            exit: Exit::from_wait(status),
            end,
        }
    }

    /// The guard is dead, and what it had below it comes to us: only after the link has closed, so that the tree is gone
    /// when the kernel says that we have no child, the guard included, and not when we see none.
    fn end_the_rest(&mut self) -> Error {
        self.over = true;
        let grace_over = boottime() + self.guard.plan.grace;
        let deadline = *self
            .guard
            .deadline
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let kill_at = deadline.map_or(grace_over, |deadline| deadline.min(grace_over));
        let mut asked = HashSet::new();
        while tree::reap_all() {
            let left = kill_at.saturating_sub(boottime());
            if left.is_zero() {
                tree::signal_all(libc::SIGKILL, &mut HashSet::new());
            } else {
                tree::signal_all(self.guard.plan.signal as i32, &mut asked);
            }
            tree::await_child(left.clamp(Duration::from_millis(1), tree::AGAIN));
        }
        Kind::GuardDied.into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            let _ = self.guard.link.order(&Order::End);
            while !matches!(
                self.guard.link.next_report(),
                Ok(None | Some(Report::Over(..))) | Err(_)
            ) {}
        }
        self.terminal.take_back(self.cmd);
    }
}

impl Ender {
    /// Ends CMD and all it has started: the plan's signal, and KILL after the grace period. The first reason counts.
    /// A command that is over already keeps its own status.
    pub fn end(&self, reason: Reason) {
        let _ = self.reason.set(reason);
        let _ = self.link.order(&Order::End);
    }

    /// Sets the `CLOCK_BOOTTIME` by which the tree must be gone: it is asked to end one grace period before and killed then,
    /// whether this process lives, is stopped, or is dead. `None` lifts the deadline.
    ///
    /// # Errors
    /// Those of `sendmsg(2)`; `EAGAIN` when the guard does not read, because somebody has stopped it.
    pub fn set_deadline(&self, at: Option<Duration>) -> Result<(), Error> {
        send_deadline(&self.link, &self.deadline, at)
    }
}

/// The deadline is kept here too, for the case that the guard is killed.
fn send_deadline(
    link: &Link,
    kept: &Mutex<Option<Duration>>,
    at: Option<Duration>,
) -> Result<(), Error> {
    *kept.lock().unwrap_or_else(PoisonError::into_inner) = at;
    link.order(&Order::Deadline(at))
        .map_err(Kind::io("reach the guard"))
}

/// The guard's whole life. It never returns into the caller's code, whatever happens.
fn guard(plan: Plan, link: Link, client: Pid, client_died: Option<std::os::fd::OwnedFd>) -> ! {
    let run = || guard::Warden::new(plan, link, client, client_died).and_then(guard::Warden::run);
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    let status = i32::from(!matches!(done, Ok(Ok(()))));
    // SAFETY: _exit takes any number; the caller's exit handlers are not ours to run.
    unsafe { libc::_exit(status) };
    #[allow(unreachable_code)]
    process::abort()
}
