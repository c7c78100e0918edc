//! The timers of connections. A connection that only waits wakes the process once for each of
//! them.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use coord_core::{BootInstant, timer::Timer};
use hyper::rt;
use hyper_util::rt::TokioTimer;

/// Timers that are descriptors. The runtime's own timers wake the process up to three times each,
/// since its wheel goes round in 64 ms and in 4 s.
pub(super) struct Timers;

struct Sleep(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl rt::Timer for Timers {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        let at = BootInstant::now() + duration;
        match Timer::new() {
            Ok(mut timer) => Box::pin(Sleep(Box::pin(async move { timer.until(Some(at)).await }))),
            // There are too many open files.
            Err(_) => TokioTimer::new().sleep(duration),
        }
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl rt::Sleep for Sleep {}

#[cfg(all(test, target_os = "linux"))]
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
            Timers.sleep(pause).await;
            assert!(begun.elapsed() >= pause);
        }
        // One more, in case that the first one has to wait for its code.
        assert!(woken() - before <= TIMES + 1);
    }
}
