//! The clock of the deadlines: `CLOCK_BOOTTIME`, which runs during suspend and is never set.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    time::Duration,
};

use nix::{
    sys::{
        time::TimeSpec,
        timerfd::{ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
    time::{ClockId, clock_gettime},
};
use tokio::io::unix::AsyncFd;

/// Time since boot, including suspend.
pub(crate) fn boottime() -> Duration {
    // It fails only for a clock that the kernel does not have; this one came with Linux 2.6.39.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// A timer on that clock. The runtime's own stands still during suspend, and would be late by that.
#[derive(Debug)]
pub(crate) struct Timer(AsyncFd<Fd>);

#[derive(Debug)]
struct Fd(TimerFd);

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Timer {
    /// Must be called in a runtime with I/O.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(TimerClock::CLOCK_BOOTTIME, flags)?;
        Ok(Self(AsyncFd::new(Fd(timer))?))
    }

    /// Returns at this time, or never. A timer that cannot be waited for returns at once, so that nothing is late.
    pub(crate) async fn until(&mut self, at: Option<Duration>) {
        let Some(at) = at else {
            return std::future::pending().await;
        };
        while boottime() < at {
            if self.expire(at).await.is_err() {
                return;
            }
        }
    }

    async fn expire(&mut self, at: Duration) -> io::Result<()> {
        let timer = &self.0.get_ref().0;
        let at = Expiration::OneShot(TimeSpec::from_duration(at));
        timer.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        let mut ready = self.0.readable().await?;
        // Reading makes it unreadable; it may be so already, when it was set anew.
        let _ = ready.get_inner().0.wait();
        ready.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_timer_returns_at_its_time_and_not_before() {
        let mut timer = Timer::new().unwrap();
        for millis in [0, 30, 1, 60] {
            let at = boottime() + Duration::from_millis(millis);
            timer.until(Some(at)).await;
            assert!(boottime() >= at);
        }
        timer.until(Some(Duration::ZERO)).await;
        let never = tokio::time::timeout(Duration::from_millis(50), timer.until(None));
        assert!(never.await.is_err());
    }
}
