//! A thread for what blocks, there from the beginning: a holder's renewal needs no new one, which
//! there may not be when the command under the lock has used them up (`RLIMIT_NPROC`).

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
};

use nix::sys::signal::SigSet;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// It ends when this is dropped and the work that was begun is done.
#[derive(Debug)]
pub(super) struct Worker(mpsc::Sender<Job>);

impl Worker {
    /// # Errors
    /// `EAGAIN` when there can be no thread.
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let work = move || {
            // They are for the threads that wait.
            let _ = SigSet::all().thread_block();
            for job in queue {
                // Whoever waits for it learns that it is gone.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        };
        thread::Builder::new()
            .name("lockheed-dir".to_owned())
            .spawn(work)?;
        Ok(Self(jobs))
    }

    /// Does the work after that of others; not at all when nobody waits for it any more. None when
    /// it panicked.
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
