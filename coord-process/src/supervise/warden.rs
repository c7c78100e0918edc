//! The guard process from the inside: CMD's parent and subreaper, which ends the tree when it is told to, when the deadline is near, or when the
//! client is gone.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
    time::Duration,
};

use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{SigSet, SigmaskHow, Signal, kill, killpg, sigprocmask},
        signalfd::{SfdFlags, SignalFd},
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
        wait::WaitStatus,
    },
    unistd::{Pid, getpgid, getpid, getppid, setpgid},
};

use super::{
    Exit, Orphans, Plan, boottime,
    terminal::Terminal,
    tree,
    wire::{Cause, Link, Order, Report},
};

/// Everything the guard knows.
pub(crate) struct Warden {
    plan: Plan,
    link: Link,
    client: Pid,
    /// Readable when the client has died; none where the kernel has no pidfd, and the link's end must do.
    client_died: Option<OwnedFd>,
    mask: SigSet,
    children: SignalFd,
    timer: TimerFd,
    kept: Vec<OwnedFd>,
    cmd: Option<Pid>,
    exit: Option<Exit>,
    deadline: Option<Duration>,
    ending: Option<Ending>,
    client_gone: bool,
}

/// The tree is being ended.
struct Ending {
    cause: Cause,
    kill_at: Duration,
    asked: tree::Asked,
}

impl Warden {
    /// Becomes the guard. To be called in a process that has just been forked and has one thread.
    pub(crate) fn new(
        plan: Plan,
        link: Link,
        client: Pid,
        client_died: Option<OwnedFd>,
    ) -> io::Result<Self> {
        prctl::set_child_subreaper(true)?;
        prctl::set_name(c"guard")?;
        // Out of the way of what is meant for the client's group, yet in its session, or CMD could not have the terminal.
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        let mut mask = SigSet::empty();
        sigprocmask(
            SigmaskHow::SIG_SETMASK,
            Some(&SigSet::all()),
            Some(&mut mask),
        )?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let children = SignalFd::with_flags(&SigSet::from(Signal::SIGCHLD), flags)?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?;
        Ok(Self {
            plan,
            link,
            client,
            client_died,
            mask,
            children,
            timer,
            kept: Vec::new(),
            cmd: None,
            exit: None,
            deadline: None,
            ending: None,
            client_gone: false,
        })
    }

    /// Runs until the tree is gone.
    pub(crate) fn run(mut self) -> io::Result<()> {
        while !(self.client_gone && self.cmd.is_none()) {
            let (asked, died) = self.wait()?;
            let childless = self.reap();
            if let Some(exit) = self.exit
                && (childless || self.leaves_orphans())
            {
                return self.report_the_end(exit);
            }
            if died {
                self.lose_client();
            } else if asked {
                self.obey()?;
            }
            self.keep_time();
        }
        Ok(())
    }

    /// Sleeps until something happens: an order, or the client's end. The rest is looked at every time.
    fn wait(&mut self) -> io::Result<(bool, bool)> {
        self.set_timer()?;
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut polled = vec![
            readable(self.children.as_fd()),
            readable(self.timer.as_fd()),
        ];
        if !self.client_gone {
            polled.push(readable(self.link.as_fd()));
            polled.extend(self.client_died.as_ref().map(|fd| readable(fd.as_fd())));
        }
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |at: usize| polled.get(at).and_then(PollFd::any).unwrap_or(false);
        let found = (ready(2), ready(3));
        while let Ok(Some(_)) = self.children.read_signal() {}
        Ok(found)
    }

    fn set_timer(&self) -> nix::Result<()> {
        let now = boottime();
        let wake = match (&self.ending, self.deadline) {
            (Some(ending), _) if now < ending.kill_at => {
                Some(ending.kill_at.min(now + tree::AGAIN))
            }
            (Some(_), _) => Some(now + tree::AGAIN),
            (None, Some(deadline)) => Some(deadline.saturating_sub(self.plan.grace)),
            (None, None) => None,
        };
        let Some(wake) = wake.filter(|_| self.cmd.is_some()) else {
            return self.timer.unset();
        };
        let wake = TimeSpec::from_duration(wake.max(Duration::from_nanos(1)));
        self.timer.set(
            Expiration::OneShot(wake),
            TimerSetTimeFlags::TFD_TIMER_ABSTIME,
        )
    }

    fn obey(&mut self) -> io::Result<()> {
        match self.link.next_order()? {
            None => self.lose_client(),
            Some(Order::Start(vars)) => self.start(vars)?,
            Some(Order::End) => self.end(Cause::Asked),
            Some(Order::Deadline(at)) => self.move_deadline(at),
            Some(Order::Signal { number, group }) => self.signal(number, group),
            Some(Order::Keep(fd)) => self.kept.push(fd),
        }
        Ok(())
    }

    fn start(&mut self, vars: Vec<(std::ffi::OsString, std::ffi::OsString)>) -> io::Result<()> {
        let [program, arguments @ ..] = self.plan.command.as_slice() else {
            return self.link.report(Report::NotStarted(libc::EINVAL));
        };
        let mut command = Command::new(program);
        command.args(arguments).envs(vars).process_group(0);
        let (guard, client, mask) = (getpid(), self.client, self.mask);
        // SAFETY: the guard has one thread, so that after its fork no lock is held, and anything may be called.
        unsafe { command.pre_exec(move || settle(guard, client, &mask)) };
        match command.spawn() {
            Ok(child) => {
                let pid = i32::try_from(child.id()).unwrap_or(0);
                self.cmd = Some(Pid::from_raw(pid));
                self.link.report(Report::Started(pid)).or(Ok(()))
            }
            Err(error) => self.link.report(Report::NotStarted(
                error.raw_os_error().unwrap_or(libc::EINVAL),
            )),
        }
    }

    /// Sends a signal to CMD; it has not been reaped while its status is unknown, so that nobody else can have its ID.
    fn signal(&self, number: i32, group: bool) {
        let (Some(cmd), None, Ok(signal)) = (self.cmd, self.exit, Signal::try_from(number)) else {
            return;
        };
        let _ = if group {
            killpg(cmd, signal)
        } else {
            kill(cmd, signal)
        };
    }

    fn move_deadline(&mut self, at: Option<Duration>) {
        self.deadline = at;
        if let (Some(ending), Some(at)) = (&mut self.ending, at) {
            ending.kill_at = ending.kill_at.min(at);
        }
    }

    fn lose_client(&mut self) {
        self.client_gone = true;
        self.end(Cause::Asked);
    }

    /// Begins to end the tree; what ended it first is what counts.
    fn end(&mut self, cause: Cause) {
        if self.ending.is_some() || self.cmd.is_none() {
            return;
        }
        let cause = if self.exit.is_some() {
            Cause::Own
        } else {
            cause
        };
        let kill_at = boottime() + self.plan.grace;
        let kill_at = self
            .deadline
            .map_or(kill_at, |deadline| kill_at.min(deadline));
        let mut asked = tree::Asked::new();
        asked.ask(self.plan.signal);
        self.ending = Some(Ending {
            cause,
            kill_at,
            asked,
        });
    }

    fn keep_time(&mut self) {
        let now = boottime();
        if self
            .deadline
            .is_some_and(|deadline| now >= deadline.saturating_sub(self.plan.grace))
        {
            self.end(Cause::Deadline);
        }
        match &mut self.ending {
            Some(ending) if now >= ending.kill_at => tree::kill_all(),
            Some(ending) => ending.asked.ask(self.plan.signal),
            None => {}
        }
    }

    /// Reaps what can be reaped; true when no child is left.
    fn reap(&mut self) -> bool {
        loop {
            match tree::reap() {
                Ok(Some(status)) => self.note(status),
                Ok(None) => break,
                Err(_) => return true,
            }
        }
        if self.exit.is_some() && self.plan.orphans == Orphans::End {
            self.end(Cause::Own);
        }
        false
    }

    fn note(&mut self, status: WaitStatus) {
        if status.pid() != self.cmd {
            return;
        }
        match status {
            WaitStatus::Exited(_, code) => {
                self.exit = Some(Exit::Code(code.to_le_bytes()[0]));
            }
            WaitStatus::Signaled(_, signal, _) => self.exit = Some(Exit::Signal(signal as i32)),
            WaitStatus::Stopped(_, signal) => {
                let _ = self.link.report(Report::Stopped(signal as i32));
            }
            _ => {}
        }
    }

    fn leaves_orphans(&self) -> bool {
        self.plan.orphans == Orphans::Leave && self.ending.is_none()
    }

    /// A client that has died hears nothing.
    fn report_the_end(&self, exit: Exit) -> io::Result<()> {
        let cause = self
            .ending
            .as_ref()
            .map_or(Cause::Own, |ending| ending.cause);
        self.link.report(Report::Over(exit, cause)).or(Ok(()))
    }
}

/// What CMD does between fork and exec, in its own process group: it dies with the guard, takes the terminal if that was the
/// client's, and has the signal mask that the client was started with.
fn settle(guard: Pid, client: Pid, mask: &SigSet) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != guard {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    if let Ok(group) = getpgid(Some(client)) {
        Terminal::open().pass(group, getpid());
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None)?;
    Ok(())
}
