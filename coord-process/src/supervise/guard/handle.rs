//! The client's handle on the guard process, before CMD runs and from any thread while it runs.

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
    poll::{PollFd, PollFlags, poll},
    sys::{
        prctl,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, getpid},
};

use super::{process::Process, tools::Tools};
use crate::{
    procfs,
    supervise::{
        Error, Plan, Reason, Running, boottime,
        error::Kind,
        hunt::{Hunt, Killing},
        reap,
        running::in_millis,
        signals::{self, Caught},
        tree,
        wire::{Link, Order, Report},
    },
};

/// How often we search the tree of a guard that was killed.
const AGAIN: Duration = Duration::from_millis(100);

/// How often we continue a guard that has not reported.
const AWAKE: Duration = Duration::from_millis(100);

/// A guard that is still stopped after being continued this often is traced.
const CONTINUED: u32 = 10;

/// How often we check the guard while we kill it.
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

/// The guard process, as seen from the client.
#[derive(Debug)]
pub(crate) struct Handle {
    link: Link,
    pid: Pid,
    /// `None` if the kernel or a filter has no pidfds.
    pidfd: Option<OwnedFd>,
    times: Mutex<Times>,
}

/// Also kept here, in case the guard is killed or stopped.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    deadline: Option<Duration>,
    /// When the end was requested.
    asked: Option<Duration>,
}

impl Guard {
    /// Forks the guard and waits until it is ready. Descriptors opened before this stay open in the
    /// guard until the tree is gone; those opened later do not. This process becomes a child
    /// subreaper, and its SIGCHLD is set to the default if it was ignored.
    ///
    /// # Errors
    /// `EBUSY` when the process already has threads; `EOPNOTSUPP` when `/proc` belongs to another
    /// PID namespace; those of the system calls that supervising needs, which the error names.
    pub fn start(plan: Plan) -> Result<Self, Error> {
        if !procfs::try_is_ours().map_err(Kind::io("read /proc/self (readlink)"))? {
            return Err(Kind::ForeignProc.into());
        }
        let threads = fs::read_dir("/proc/self/task");
        if threads.map_err(Kind::io("read /proc"))?.count() > 1 {
            return Err(Kind::Threads.into());
        }
        signals::hear_of_children().map_err(Kind::io("set SIGCHLD (sigaction)"))?;
        prctl::set_child_subreaper(true).map_err(Kind::io("become a child subreaper (prctl)"))?;
        let (ours, theirs) = Link::pair().map_err(Kind::io("open a socket pair (socketpair)"))?;
        let client = getpid();
        let client_died = tree::open(client.as_raw());
        // SAFETY: this process has one thread, so no lock is held for ever in the child.
        match unsafe { fork() }.map_err(Kind::io("start the guard process (fork)"))? {
            ForkResult::Parent { child } => {
                drop(theirs);
                let guard = Self::of(child, ours, plan);
                guard.process.await_ready()?;
                Ok(guard)
            }
            ForkResult::Child => {
                drop(ours);
                stand_guard(plan, theirs, client, client_died)
            }
        }
    }

    /// The guard that is this process, at the other end of this link.
    pub(crate) fn of(pid: Pid, link: Link, plan: Plan) -> Self {
        let process = Arc::new(Handle {
            link,
            pid,
            pidfd: tree::open(pid.as_raw()),
            times: Mutex::default(),
        });
        Self { process, plan }
    }

    /// Makes the guard hold this descriptor, with the kernel lock on it, until the tree is gone.
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

    /// Starts CMD with these variables added. From then on, signals are forwarded to it.
    ///
    /// # Errors
    /// Those of `execve(2)`, for which [`Error::status`] is 126 or 127. Otherwise the status is
    /// 125: no process could be started or set up for it, the guard was killed (`ESRCH`; `EPIPE` or
    /// `ECONNRESET` if it was before this), or did not report in time for the deadline or because a
    /// debugger holds it (`ETIMEDOUT`). A CMD that has started by then is ended.
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
        match self.process.await_report(self.plan.margin) {
            Ok(Report::Started(pid)) => Ok(Running::new(self, Pid::from_raw(pid), caught)),
            Ok(Report::NotStarted(errno)) => {
                let program = self.plan.command.first().cloned().unwrap_or_default();
                Err(Kind::Exec(program, io::Error::from_raw_os_error(errno)).into())
            }
            Ok(Report::Failed(what, errno)) => Err(Kind::failed(what, errno).into()),
            unheard => {
                // CMD, if it has started, dies with the guard. Its children are asked to end.
                self.process.kill();
                self.end_the_rest(boottime() + self.plan.grace);
                Err(unheard.err().unwrap_or(Kind::GuardDied.into()))
            }
        }
    }

    /// Kills a late guard and everything below it.
    pub(crate) fn take_over(&self) {
        self.process.kill();
        self.end_the_rest(Duration::ZERO);
    }

    /// Ends what a dead guard had below it, which is now below us. The tree is gone when the kernel
    /// says that we have no child left, the guard included; that we find none is not enough. The
    /// only exception is a dead guard that its tracer has not released.
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
        // The guard has no tree now: CMD has not started, or has ended.
        self.process.link.close();
        self.process.kill();
        self.process.reap();
    }
}

impl Ender {
    /// Ends CMD and everything that it started, with the plan's signal, and KILL after the grace
    /// period. The first reason counts. A command that has already ended keeps its own status.
    pub fn end(&self, reason: Reason) {
        let _ = self.reason.set(reason);
        self.process.end();
    }

    /// Sets the `CLOCK_BOOTTIME` by which the tree must be gone, whether this process is running,
    /// stopped or dead. The tree is killed one margin before that, and asked to end one grace
    /// period before it is killed. `None` removes the deadline.
    ///
    /// # Errors
    /// Those of `sendmsg(2)`: `EPIPE` when the guard is gone.
    pub fn set_deadline(&self, at: Option<Duration>) -> Result<(), Error> {
        self.process.set_deadline(at)
    }
}

impl Handle {
    fn await_ready(&self) -> Result<(), Error> {
        match self.await_report(Duration::ZERO)? {
            Report::Ready => Ok(()),
            Report::Failed(what, errno) => Err(Kind::failed(what, errno).into()),
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

    /// Waits for the next report, sends the orders that there was no room for, and continues a
    /// guard that was stopped. Fails if it has died, cannot be continued (a traced one), or half of
    /// the margin before the deadline comes first.
    fn await_report(&self, margin: Duration) -> Result<Report, Error> {
        let mut continued = 0;
        loop {
            if let Some(heard) = self.try_next_report() {
                return heard?.ok_or(Kind::GuardDied.into());
            }
            let late = self.deadline().map(|at| at.saturating_sub(margin / 2));
            let left = late.map_or(AWAKE, |late| late.saturating_sub(boottime()).min(AWAKE));
            if left.is_zero() {
                return Err(Kind::Late.into());
            }
            if continued >= CONTINUED {
                return Err(Kind::GuardStopped.into());
            }
            self.flush();
            let mut link = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            match poll(&mut link, in_millis(Some(left))) {
                Ok(0) => {
                    // Counted instead of timed: this process may have been stopped together with
                    // the guard.
                    continued = if self.is_stopped() { continued + 1 } else { 0 };
                    self.wake();
                }
                Err(Errno::EINTR) => self.wake(),
                Ok(_) => {}
                Err(error) => return Err(Kind::io("wait (poll)")(error)),
            }
        }
    }

    /// The next report, or `None` if there is none yet.
    pub(crate) fn try_next_report(&self) -> Option<Result<Option<Report>, Error>> {
        match self.link.try_next_report() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            heard => Some(heard.map_err(Kind::io("hear the guard (recvmsg)"))),
        }
    }

    /// Sends the messages that there was no room for.
    pub(crate) fn flush(&self) {
        // It fails only when the guard is gone, which is noticed elsewhere.
        let _ = self.link.flush();
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.link.has_unsent()
    }

    /// Continues a stopped guard; a running one ignores it.
    pub(crate) fn wake(&self) {
        self.send(libc::SIGCONT);
    }

    /// Whether it is stopped, or stopped by its tracer, and then only the tracer can continue it.
    pub(crate) fn is_stopped(&self) -> bool {
        tree::is_stopped(self.pid.as_raw())
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.times().deadline
    }

    /// When the end was requested.
    pub(crate) fn asked(&self) -> Option<Duration> {
        self.times().asked
    }

    /// Requests the end.
    pub(crate) fn end(&self) {
        self.times().asked.get_or_insert_with(boottime);
        signals::nudge();
        // It fails only when the guard is gone, and the tree with it.
        let _ = self.order(&Order::End);
    }

    fn set_deadline(&self, at: Option<Duration>) -> Result<(), Error> {
        self.times().deadline = at;
        // The thread that waits for CMD sleeps until the old deadline.
        signals::nudge();
        self.order(&Order::Deadline(at))
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the guard is dead but not reaped. If it is traced, its tracer must reap it first.
    fn is_zombie(&self) -> bool {
        tree::is_zombie(self.pid.as_raw())
    }

    /// Waits until the guard is dead.
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

    /// Without a pidfd by the ID, which the guard, our child, keeps until it is reaped.
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

/// The guard's whole life. It never returns to the caller's code, whatever happens.
fn stand_guard(plan: Plan, link: Link, client: Pid, client_died: Option<OwnedFd>) -> ! {
    let run = || match Tools::new(client) {
        Ok(tools) => {
            link.report(&Report::Ready)?;
            Process::new(plan, link, client, client_died, tools).run()
        }
        Err(error) => link.report(&error.into_report()),
    };
    let is_well = matches!(catch_unwind(AssertUnwindSafe(run)), Ok(Ok(())));
    // SAFETY: _exit takes any number. It skips the caller's exit handlers, which we must not run.
    unsafe { libc::_exit(i32::from(!is_well)) };
    #[allow(
        unreachable_code,
        reason = "for a libc whose _exit is not declared as diverging"
    )]
    process::abort()
}
