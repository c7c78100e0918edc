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
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, getpid},
};

use super::process::{Process, Tools};
use crate::{
    procfs,
    supervise::{
        Error, Plan, Reason, Running, boottime,
        error::Kind,
        hunt::{Hunt, Killing},
        reap,
        signals::{self, Caught},
        tree,
        wire::{Link, Order, Report},
    },
};

/// How often the tree of a guard that was killed is looked through.
const AGAIN: Duration = Duration::from_millis(100);

/// How often a guard is continued that has not reported, in milliseconds.
const AWAKE: u16 = 100;

/// A guard that is still stopped after being continued so often is traced.
const CONTINUED: u32 = 10;

/// How often it is looked for while it is being killed.
const KILL_AGAIN: Duration = Duration::from_millis(10);

/// The guard process, before CMD is started. Dropping it ends the guard.
#[derive(Debug)]
pub struct Guard {
    pub(crate) process: Arc<Handle>,
    pub(crate) plan: Plan,
}

/// Ends the command, or moves its deadline, from any thread.
#[derive(Clone, Debug)]
pub struct Ender {
    pub(crate) process: Arc<Handle>,
    pub(crate) reason: Arc<OnceLock<Reason>>,
}

/// The guard process as it is reached from here.
#[derive(Debug)]
pub(crate) struct Handle {
    link: Link,
    pid: Pid,
    /// None where the kernel or a filter has no pidfd.
    pidfd: Option<OwnedFd>,
    times: Mutex<Times>,
}

/// Kept here too, for the case that the guard is killed or stopped.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    deadline: Option<Duration>,
    /// When the end was asked for.
    asked: Option<Duration>,
}

impl Guard {
    /// Forks the guard, and waits until it is ready. Descriptors opened before this stay open in it until the tree is gone, those opened
    /// later do not. This process becomes a child subreaper, and its SIGCHLD is set to the default if it was ignored.
    ///
    /// # Errors
    /// `EBUSY` when the process has threads already; `EOPNOTSUPP` when `/proc` is that of another PID namespace; those of the system calls
    /// that supervising needs, which the error names.
    pub fn start(plan: Plan) -> Result<Self, Error> {
        let threads = fs::read_dir("/proc/self/task").map_err(Kind::io("read /proc"))?;
        if threads.count() > 1 {
            return Err(Kind::Threads.into());
        }
        if !procfs::try_is_ours().map_err(Kind::io("read /proc/self (readlink)"))? {
            return Err(Kind::ForeignProc.into());
        }
        hear_of_children().map_err(Kind::io("set SIGCHLD (sigaction)"))?;
        prctl::set_child_subreaper(true).map_err(Kind::io("become a child subreaper (prctl)"))?;
        let (ours, theirs) = Link::pair().map_err(Kind::io("open a socket pair (socketpair)"))?;
        let client = getpid();
        let client_died = tree::open(client.as_raw());
        // SAFETY: this process has one thread, so that no lock can be held for ever in the child.
        match unsafe { fork() }.map_err(Kind::io("start the guard process (fork)"))? {
            ForkResult::Parent { child } => {
                drop(theirs);
                let guard = Self {
                    process: Arc::new(Handle::new(ours, child)),
                    plan,
                };
                guard.process.await_ready()?;
                Ok(guard)
            }
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
    /// Those of `execve(2)`, for which [`Error::status`] is 126 or 127; 125 when a process cannot be started for it or set up, or the
    /// guard cannot be reached.
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
        match self.process.await_report()? {
            Some(Report::Started(pid)) => Ok(Running::new(self, Pid::from_raw(pid), caught)),
            Some(Report::NotStarted(errno)) => {
                let program = self.plan.command.first().cloned().unwrap_or_default();
                Err(Kind::Exec(program, io::Error::from_raw_os_error(errno)).into())
            }
            Some(Report::Failed(what, errno)) => Err(Kind::failed(what, errno).into()),
            _ => {
                // It may have started CMD, which dies with it; what CMD has started is asked to
                // end.
                self.process.kill();
                self.end_the_rest(boottime() + self.plan.grace);
                Err(Kind::GuardDied.into())
            }
        }
    }

    /// Kills the guard, which is late, and all that is below it.
    pub(crate) fn take_over(&self) {
        self.process.kill();
        self.end_the_rest(Duration::ZERO);
    }

    /// The guard is dead, and what it had below it comes to us: the tree is gone when the kernel says that we have no child, the guard
    /// included, and not when we see none; unless what is left is a guard that is dead and kept by whoever traced it.
    pub(crate) fn end_the_rest(&self, kill_at: Duration) {
        let (mut hunt, mut killing) = (Hunt::new(0), Killing::default());
        while reap::all() {
            if self.process.is_zombie() && tree::is_all_dead() {
                return;
            }
            let deadline = self.process.deadline();
            let deadline = deadline.map(|at| at.saturating_sub(self.plan.margin));
            let kill_at = deadline.map_or(kill_at, |deadline| deadline.min(kill_at));
            let left = kill_at.saturating_sub(boottime());
            if left.is_zero() {
                killing.part();
                reap::await_child(KILL_AGAIN);
            } else {
                hunt.ask(self.plan.signal, None, kill_at);
                reap::await_child(left.clamp(Duration::from_millis(1), AGAIN));
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It has no tree now: CMD has not been started, or is over.
        self.process.link.close();
        self.process.kill();
        self.process.reap();
    }
}

impl Ender {
    /// Ends CMD and all it has started: the plan's signal, and KILL after the grace period. The first reason counts.
    /// A command that is over already keeps its own status.
    pub fn end(&self, reason: Reason) {
        let _ = self.reason.set(reason);
        self.process.end();
    }

    /// Sets the `CLOCK_BOOTTIME` by which the tree must be gone, whether this process lives, is stopped, or is dead. It is killed one margin
    /// before that, and asked to end one grace period before it is killed. `None` lifts the deadline.
    ///
    /// # Errors
    /// Those of `sendmsg(2)`: `EPIPE` when the guard is gone.
    pub fn set_deadline(&self, at: Option<Duration>) -> Result<(), Error> {
        self.process.set_deadline(at)
    }
}

impl Handle {
    fn new(link: Link, pid: Pid) -> Self {
        Self {
            link,
            pid,
            pidfd: tree::open(pid.as_raw()),
            times: Mutex::default(),
        }
    }

    fn await_ready(&self) -> Result<(), Error> {
        match self.await_report()? {
            Some(Report::Ready) => Ok(()),
            Some(Report::Failed(what, errno)) => Err(Kind::failed(what, errno).into()),
            _ => Err(Kind::GuardDied.into()),
        }
    }

    pub(crate) fn order(&self, order: &Order) -> Result<(), Error> {
        let sent = self
            .link
            .order(order)
            .map_err(Kind::io("reach the guard (sendmsg)"));
        self.wake();
        sent
    }

    /// The next report. A guard that somebody stops before it has reported is continued. None when
    /// it has died, when it cannot be continued, as one that is traced, and when the deadline comes
    /// first.
    fn await_report(&self) -> Result<Option<Report>, Error> {
        let mut continued = 0;
        loop {
            if let Some(heard) = self.try_next_report() {
                return heard;
            }
            let is_late = self.deadline().is_some_and(|at| at <= boottime());
            if is_late || continued >= CONTINUED {
                return Ok(None);
            }
            let mut link = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            match poll(&mut link, PollTimeout::from(AWAKE)) {
                Ok(0) => {
                    // Counted and not timed: this process may have been stopped together with it.
                    continued = if self.is_stopped() { continued + 1 } else { 0 };
                    self.wake();
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(Kind::io("wait (poll)")(error)),
            }
        }
    }

    /// The next report, or none when there is none yet.
    pub(crate) fn try_next_report(&self) -> Option<Result<Option<Report>, Error>> {
        match self.link.try_next_report() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            heard => Some(heard.map_err(Kind::io("hear the guard (recvmsg)"))),
        }
    }

    /// Sends what there was no room for.
    pub(crate) fn flush(&self) {
        // It fails only when the guard is gone, which is noticed elsewhere.
        let _ = self.link.flush();
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.link.has_unsent()
    }

    /// Continues a guard that somebody has stopped; to one that runs it means nothing.
    pub(crate) fn wake(&self) {
        self.send(libc::SIGCONT);
    }

    /// Whether it is stopped, or traced and stopped, which nobody but its tracer can end.
    pub(crate) fn is_stopped(&self) -> bool {
        tree::is_stopped(self.pid.as_raw())
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.times().deadline
    }

    /// When the end was asked for.
    pub(crate) fn asked(&self) -> Option<Duration> {
        self.times().asked
    }

    /// Asks for the end.
    pub(crate) fn end(&self) {
        self.times().asked.get_or_insert_with(boottime);
        signals::nudge();
        // It fails only when the guard is gone, and the tree with it.
        let _ = self.order(&Order::End);
    }

    fn set_deadline(&self, at: Option<Duration>) -> Result<(), Error> {
        self.times().deadline = at;
        // Who waits for CMD sleeps until the deadline that was.
        signals::nudge();
        self.order(&Order::Deadline(at))
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Dead, and not reaped: while it is traced its tracer comes first.
    fn is_zombie(&self) -> bool {
        tree::is_zombie(self.pid.as_raw())
    }

    /// Waits until it is dead.
    fn reap(&self) {
        let is_reaped = || {
            let look = waitpid(self.pid, Some(WaitPidFlag::WNOHANG));
            !matches!(look, Ok(WaitStatus::StillAlive))
        };
        while !is_reaped() && !self.is_zombie() {
            reap::await_child(KILL_AGAIN);
        }
        is_reaped();
    }

    fn kill(&self) {
        self.send(libc::SIGKILL);
    }

    /// Without a pidfd, by the ID: the guard is our child, and its ID is its own until it is reaped, after which nobody gives it orders.
    fn send(&self, signal: i32) {
        tree::send(self.pid.as_raw(), self.pidfd.as_ref(), signal);
    }
}

/// The link to the guard, for poll.
impl AsFd for Handle {
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

/// The guard's whole life. It never returns into the caller's code, whatever happens.
fn stand_guard(plan: Plan, link: Link, client: Pid, client_died: Option<OwnedFd>) -> ! {
    let run = || match Tools::new(client) {
        Ok(tools) => {
            link.report(&Report::Ready)?;
            Process::new(plan, link, client, client_died, tools).run()
        }
        Err(error) => link.report(&error.into_report()),
    };
    let is_well = matches!(catch_unwind(AssertUnwindSafe(run)), Ok(Ok(())));
    // SAFETY: _exit takes any number; the caller's exit handlers are not ours to run.
    unsafe { libc::_exit(i32::from(!is_well)) };
    #[allow(
        unreachable_code,
        reason = "for a libc whose _exit is not declared as diverging"
    )]
    process::abort()
}
