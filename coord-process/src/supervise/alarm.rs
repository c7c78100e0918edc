//! Sleeping until a descriptor is readable, a child changes, or a time comes.

use std::{io, os::fd::AsFd, time::Duration};

use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        signal::{
            SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
        },
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
};

use super::{Error, boottime, error::Kind};

/// How often to check the clock if there is no timer that runs during suspend.
const LOOK: Duration = Duration::from_secs(1);

/// What wakes the guard.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// On `CLOCK_BOOTTIME`; `None` if a filter forbids timers. Then we check the clock once a
    /// second while there is a time to wait for.
    timer: Option<TimerFd>,
    /// The mask during a sleep: everything but SIGCHLD is blocked.
    mask: SigSet,
}

impl Alarm {
    /// Blocks all signals except during a sleep, and returns the previous mask.
    ///
    /// # Errors
    /// Those of `sigprocmask(2)`, `sigaction(2)` and `ppoll(2)`.
    pub(crate) fn new() -> Result<(Self, SigSet), Error> {
        let mut before = SigSet::empty();
        sigprocmask(
            SigmaskHow::SIG_SETMASK,
            Some(&SigSet::all()),
            Some(&mut before),
        )
        .map_err(Kind::io("block signals (sigprocmask)"))?;
        let handler = SigHandler::Handler(wake);
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing.
        unsafe { sigaction(Signal::SIGCHLD, &action) }
            .map_err(Kind::io("hear of children (sigaction)"))?;
        let mut mask = SigSet::all();
        mask.remove(Signal::SIGCHLD);
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags).ok();
        let alarm = Self { timer, mask };
        alarm
            .sleep(&mut Vec::new(), Some(Duration::ZERO))
            .map_err(Kind::io("wait (ppoll)"))?;
        Ok((alarm, before))
    }

    /// Sleeps until one of these is ready, a child has changed, or this time has come.
    ///
    /// # Errors
    /// Those of `ppoll(2)` except `EINTR`.
    pub(crate) fn sleep<'a>(
        &'a self,
        polled: &mut Vec<PollFd<'a>>,
        at: Option<Duration>,
    ) -> io::Result<()> {
        let timer = self.timer.as_ref().filter(|timer| set(timer, at).is_ok());
        let timeout = at.filter(|_| timer.is_none()).map(|at| {
            let left = at.saturating_sub(boottime());
            TimeSpec::from_duration(left.min(LOOK))
        });
        polled.extend(timer.map(|timer| PollFd::new(timer.as_fd(), PollFlags::POLLIN)));
        match ppoll(polled, timeout, Some(self.mask)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn set(timer: &TimerFd, at: Option<Duration>) -> nix::Result<()> {
    let Some(at) = at else { return timer.unset() };
    let at = TimeSpec::from_duration(at.max(Duration::from_nanos(1)));
    let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME;
    timer.set(Expiration::OneShot(at), flags)
}

extern "C" fn wake(_: libc::c_int) {}
