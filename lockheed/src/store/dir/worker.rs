//! A thread for blocking work that exists from the start. A holder's renewal must not need a new
//! thread, because the command under the lock may have used them all up (`RLIMIT_NPROC`).

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
};

use nix::sys::signal::SigSet;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Ends when this is dropped and the current work is done.
#[derive(Debug)]
pub(super) struct Worker(mpsc::Sender<Job>);

impl Worker {
    /// # Errors
    /// `EAGAIN` when no thread can be started.
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let work = move || {
            // Signals are for the threads that wait.
            let _ = SigSet::all().thread_block();
            for job in queue {
                // The caller notices that the work is gone.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        };
        thread::Builder::new()
            .name("lockheed-dir".to_owned())
            .spawn(work)?;
        Ok(Self(jobs))
    }

    /// Runs the work after all earlier work, or skips it if the caller no longer waits. None if the
    /// work panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let job = move || {
            if !done.is_closed() {
                let _ = done.send(work());
            }
        };
        self.0.send(Box::new(job)).ok()?;
        result.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_in_order_and_a_panic_ends_only_itself() {
        let worker = Worker::start().unwrap();
        assert_eq!(worker.run(|| 1).await, Some(1));
        assert_eq!(worker.run(|| panic!("for the test")).await, None::<()>);
        assert_eq!(worker.run(|| 2).await, Some(2));
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_not_begun() {
        let worker = Worker::start().unwrap();
        let (gate, closed) = mpsc::channel::<()>();
        let (begun, is_begun) = mpsc::channel::<()>();
        let mut blocking = Box::pin(worker.run(move || closed.recv().is_ok()));
        let mut abandoned = Box::pin(worker.run(move || begun.send(())));
        tokio::select! {
            biased;
            _ = &mut blocking => panic!("the gate is open"),
            _ = &mut abandoned => panic!("it overtook"),
            () = tokio::task::yield_now() => {}
        }
        drop(abandoned);
        gate.send(()).unwrap();
        assert_eq!(blocking.await, Some(true));
        assert_eq!(worker.run(|| 3).await, Some(3));
        assert!(is_begun.recv().is_err());
    }
}
