//! The timers of connections. A connection that only waits wakes the process once for each of
//! them.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use coord_core::{BootInstant, timer::Timer};
use hyper::rt;
use hyper_util::rt::TokioTimer;

/// Timers that are descriptors. The runtime's own timers wake the process up to three times each,
/// since its wheel goes round in 64 ms and in 4 s.
pub(super) struct Timers;

/// None when it is over.
struct Sleep(Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>);

impl Timers {
    pub(super) fn new() -> Self {
        Self
    }
}

impl rt::Timer for Timers {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        let at = BootInstant::now() + duration;
        let Ok(mut timer) = Timer::new() else {
            // There are too many open files.
            return TokioTimer::new().sleep(duration);
        };
        let sleep = async move { timer.until(Some(at)).await };
        Box::pin(Sleep(Some(Box::pin(sleep))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.0 {
            ready!(sleep.as_mut().poll(context));
            self.0 = None;
        }
        Poll::Ready(())
    }
}

impl rt::Sleep for Sleep {}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer as _;
    use nix::sys::resource::{UsageWho, getrusage};

    use super::*;

    #[tokio::test]
    async fn a_timer_wakes_the_process_once() {
        const TIMES: i64 = 5;
        let woken = || {
            let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
            usage.voluntary_context_switches()
        };
        let before = woken();
        for _ in 0..TIMES {
            let begun = Instant::now();
            let pause = Duration::from_millis(203);
            let mut sleep = Timers::new().sleep(pause);
            sleep.as_mut().await;
            assert!(begun.elapsed() >= pause);
            sleep.await; // it is over, and stays so
        }
        // Some more, in case that it has to wait for a page of its code.
        assert!(woken() - before <= TIMES + 3);
    }
}
