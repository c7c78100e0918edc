//! A timer on the clock of the deadlines, `CLOCK_BOOTTIME`, which runs during suspend and is never
//! set.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
};

use nix::sys::{
    inotify::Inotify,
    time::TimeSpec,
    timerfd::{ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::BootInstant;

/// A timer on that clock. The runtime's own timer stops during suspend, and would be late by that
/// time.
#[derive(Debug)]
pub struct Timer(AsyncFd<Pollable<TimerFd>>);

/// A descriptor that the runtime can wait on.
#[derive(Debug)]
pub struct Pollable<T>(T);

/// A type that owns a single descriptor and never changes it.
///
/// # Safety
/// `as_fd` returns the same descriptor each time, and the descriptor stays open until the value is
/// dropped. Otherwise the runtime would wait on whatever gets its number next.
pub unsafe trait StableFd: AsFd {}

// SAFETY: it is the descriptor.
unsafe impl StableFd for OwnedFd {}
// SAFETY: it owns one `OwnedFd`, which no method replaces.
unsafe impl StableFd for TimerFd {}
// SAFETY: it owns one `OwnedFd`, which no method replaces.
unsafe impl StableFd for Inotify {}

impl<T: StableFd> AsRawFd for Pollable<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl<T: StableFd> Pollable<T> {
    /// Call this in a runtime with I/O.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`.
    pub fn register(inner: T) -> io::Result<AsyncFd<Self>> {
        // SAFETY: `StableFd` promises that the descriptor stays the same and open until the value
        // is dropped.
        let registered =
            unsafe { AsyncFd::register_with_interest(Self(inner), Interest::READABLE) };
        registered.map_err(io::Error::from)
    }

    /// The value that owns the descriptor.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// Returns the value, on which the runtime no longer waits.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl Timer {
    /// Call this in a runtime with I/O.
    ///
    /// # Errors
    /// Those of `timerfd_create(2)`.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(TimerClock::CLOCK_BOOTTIME, flags)?;
        Ok(Self(Pollable::register(timer)?))
    }

    /// Returns at this time, or never. If the timer cannot be waited for, it returns at once, so
    /// that nothing is late.
    pub async fn until(&mut self, at: Option<BootInstant>) {
        let Some(at) = at else {
            return std::future::pending().await;
        };
        while BootInstant::now() < at {
            if self.expire(at).await.is_err() {
                return;
            }
        }
    }

    async fn expire(&mut self, at: BootInstant) -> io::Result<()> {
        let timer = self.0.get_ref().get();
        let at = Expiration::OneShot(TimeSpec::from_duration(at.since_boot()));
        timer.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        let mut ready = self.0.readable().await?;
        // Reading clears its readiness. The timer may be unreadable already, if it was set again.
        let _ = ready.get_inner().get().wait();
        ready.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_timer_returns_at_its_time_and_not_before() {
        let mut timer = Timer::new().unwrap();
        for millis in [0, 30, 1, 60] {
            let at = BootInstant::now() + Duration::from_millis(millis);
            timer.until(Some(at)).await;
            assert!(BootInstant::now() >= at);
        }
        timer.until(Some(BootInstant::BOOT)).await;
        let never = tokio::time::timeout(Duration::from_millis(50), timer.until(None));
        assert!(never.await.is_err());
    }
}
