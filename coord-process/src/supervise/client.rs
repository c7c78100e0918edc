//! The client's hold on the guard process: before CMD runs, and from any thread while it does.

use std::{
    ffi::OsString,
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use nix::{
    libc,
    sys::{
        prctl,
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork, getpid},
};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

use super::{
    Error, Plan, Reason, Running, boottime,
    error::Kind,
    signals::{self, Caught},
    tree,
    warden::Warden,
    wire::{Link, Order, Report},
};

/// The guard process, before CMD is started. Dropping it ends the guard.
#[derive(Debug)]
pub struct Guard {
    pub(crate) process: Arc<Process>,
    pub(crate) plan: Plan,
}

/// Ends the command, or moves its deadline, from any thread.
#[derive(Clone, Debug)]
pub struct Ender {
    pub(crate) process: Arc<Process>,
    pub(crate) reason: Arc<OnceLock<Reason>>,
}

/// The guard process as it is reached from here.
#[derive(Debug)]
pub(crate) struct Process {
    link: Link,
    pid: Pid,
    /// None where the kernel or a filter has no pidfd: then a stopped guard stays stopped.
    pidfd: Option<OwnedFd>,
    /// Kept here too, for the case that the guard is killed.
    deadline: Mutex<Option<Duration>>,
}

impl Guard {
    /// Forks the guard. Descriptors opened before this stay open in it until the tree is gone, those opened later do not.
    /// This process becomes a child subreaper, and its SIGCHLD is set to the default if it was ignored.
    ///
    /// # Errors
    /// `EBUSY` when the process has threads already; those of `fork(2)`, `socketpair(2)` and `prctl(2)`.
    pub fn start(plan: Plan) -> Result<Self, Error> {
        let threads = fs::read_dir("/proc/self/task").map_err(Kind::io("read /proc"))?;
        if threads.count() > 1 {
            return Err(Kind::Threads.into());
        }
        hear_of_children().map_err(Kind::io("set SIGCHLD"))?;
        prctl::set_child_subreaper(true).map_err(Kind::io("become a subreaper"))?;
        let (ours, theirs) = Link::pair().map_err(Kind::io("open a socket pair"))?;
        let client = getpid();
        let client_died = pidfd(client);
        // SAFETY: this process has one thread, so that no lock can be held for ever in the child.
        match unsafe { fork() }.map_err(Kind::io("fork the guard"))? {
            ForkResult::Parent { child } => Ok(Self {
                process: Arc::new(Process {
                    link: ours,
                    pid: child,
                    pidfd: pidfd(child),
                    deadline: Mutex::default(),
                }),
                plan,
            }),
            ForkResult::Child => {
                drop(ours);
                stand_guard(plan, theirs, client, client_died)
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
        self.process.order(&Order::Keep(fd))
    }

    /// Sets the `CLOCK_BOOTTIME` by which the tree must be gone, see [`Ender::set_deadline`].
    ///
    /// # Errors
    /// Those of `sendmsg(2)`.
    pub fn set_deadline(&self, at: Option<Duration>) -> Result<(), Error> {
        self.process.set_deadline(at)
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
        self.process.order(&Order::Start(vars))?;
        match self.process.next_report()? {
            Some(Report::Started(pid)) => Ok(Running::new(self, Pid::from_raw(pid), caught)),
            Some(Report::NotStarted(errno)) => {
                let program = self.plan.command.first().cloned().unwrap_or_default();
                Err(Kind::Exec(program, io::Error::from_raw_os_error(errno)).into())
            }
            _ => {
                // It may have started CMD.
                self.end_the_rest();
                Err(Kind::GuardDied.into())
            }
        }
    }

    /// The guard is dead, and what it had below it comes to us: only after the link has closed, so that the tree is gone
    /// when the kernel says that we have no child, the guard included, and not when we see none.
    pub(crate) fn end_the_rest(&self) {
        let grace_over = boottime() + self.plan.grace;
        let deadline = self.process.deadline();
        let kill_at = deadline.map_or(grace_over, |deadline| deadline.min(grace_over));
        let mut asked = tree::Asked::new();
        while tree::reap_all() {
            let left = kill_at.saturating_sub(boottime());
            if left.is_zero() {
                tree::kill_all();
            } else {
                asked.ask(self.plan.signal);
            }
            tree::await_child(left.clamp(Duration::from_millis(1), tree::AGAIN));
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The guard takes the closed link for our death; an Ender may still have it open.
        self.process.link.close();
        self.process.wake();
        while waitpid(self.process.pid, None) == Err(nix::Error::EINTR) {}
    }
}

impl Ender {
    /// Ends CMD and all it has started: the plan's signal, and KILL after the grace period. The first reason counts.
    /// A command that is over already keeps its own status.
    pub fn end(&self, reason: Reason) {
        let _ = self.reason.set(reason);
        // It fails only when the guard is gone, and the tree with it.
        let _ = self.process.order(&Order::End);
    }

    /// Sets the `CLOCK_BOOTTIME` by which the tree must be gone: it is asked to end one grace period before and killed then,
    /// whether this process lives, is stopped, or is dead. `None` lifts the deadline.
    ///
    /// # Errors
    /// Those of `sendmsg(2)`: `EPIPE` when the guard is gone, `EAGAIN` when it does not read.
    pub fn set_deadline(&self, at: Option<Duration>) -> Result<(), Error> {
        self.process.set_deadline(at)
    }
}

impl Process {
    pub(crate) fn order(&self, order: &Order) -> Result<(), Error> {
        let sent = self.link.order(order).map_err(Kind::io("reach the guard"));
        self.wake();
        sent
    }

    pub(crate) fn next_report(&self) -> Result<Option<Report>, Error> {
        self.link.next_report().map_err(Kind::io("hear the guard"))
    }

    /// Continues a guard that somebody has stopped; to one that runs it means nothing.
    pub(crate) fn wake(&self) {
        if let Some(pidfd) = &self.pidfd {
            let _ = pidfd_send_signal(pidfd, rustix::process::Signal::CONT);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_deadline(&self, at: Option<Duration>) -> Result<(), Error> {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = at;
        // Who waits for CMD sleeps until the deadline that was.
        signals::nudge();
        self.order(&Order::Deadline(at))
    }
}

/// The link to the guard, for poll.
impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

/// While SIGCHLD is ignored the kernel throws the statuses of children away, `wait(2)`.
fn hear_of_children() -> nix::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed; one that was there is put back.
    let before = unsafe { sigaction(Signal::SIGCHLD, &default) }?;
    if !matches!(before.handler(), SigHandler::SigIgn) {
        // SAFETY: this is what was installed before.
        unsafe { sigaction(Signal::SIGCHLD, &before) }?;
    }
    Ok(())
}

fn pidfd(process: Pid) -> Option<OwnedFd> {
    let process = rustix::process::Pid::from_raw(process.as_raw())?;
    pidfd_open(process, PidfdFlags::empty()).ok()
}

/// The guard's whole life. It never returns into the caller's code, whatever happens.
fn stand_guard(plan: Plan, link: Link, client: Pid, client_died: Option<OwnedFd>) -> ! {
    let run = || Warden::new(plan, link, client, client_died).and_then(Warden::run);
    let done = catch_unwind(AssertUnwindSafe(run));
    let status = i32::from(!matches!(done, Ok(Ok(()))));
    // SAFETY: _exit takes any number; the caller's exit handlers are not ours to run.
    unsafe { libc::_exit(status) };
    #[allow(
        unreachable_code,
        reason = "for a libc whose _exit is not declared as diverging"
    )]
    process::abort()
}
