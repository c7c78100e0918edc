//! The tokio runtime of a binary.

use std::{
    future::Future,
    io,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use nix::{errno::Errno, sys::signal::SigSet};
use tokio::runtime::{Builder, Runtime};

use coord_core::{HasErrno, Status, cli::Failure};

/// The worker, and one thread for blocking work.
const THREADS: usize = 2;

/// More descriptors than the runtime opens.
const DESCRIPTORS: usize = 8;

/// Starts a runtime with a worker thread, so that a lease is renewed whatever the caller's thread
/// does, and a thread for blocking work such as name lookups.
///
/// Both threads start here and stay. If the runtime needed a new thread later and could not start
/// it, it would panic, and the lease would be lost. Only the caller's thread receives signals. As
/// PID 1, the process reaps the orphans that it inherits.
///
/// # Errors
/// When threads cannot be started, or too few descriptors are left: those of `pthread_create(3)`
/// and `pipe(2)`.
pub fn runtime() -> Result<Runtime, Failure> {
    room_for_threads().map_err(|error| failed("start a thread", &error))?;
    room_for_descriptors().map_err(|error| failed("start the runtime", &error))?;
    let built = without_panic(|| {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_keep_alive(Duration::MAX)
            .on_thread_start(|| {
                let _ = SigSet::all().thread_block();
            })
            .enable_all()
            .build()?;
        drop(runtime.spawn_blocking(|| ()));
        Ok(runtime)
    });
    let runtime = built.map_err(|error| failed("start the runtime", &error))?;
    #[cfg(target_os = "linux")]
    if std::process::id() == 1 {
        reap_orphans(&runtime)?;
    }
    Ok(runtime)
}

#[cfg(target_os = "linux")]
fn reap_orphans(runtime: &Runtime) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let _context = runtime.enter();
    let deaths = signal(SignalKind::child());
    let mut deaths = deaths.map_err(|error| failed("catch SIGCHLD", &error))?;
    drop(runtime.spawn(async move {
        while deaths.recv().await.is_some() {
            coord_process::supervise::reap_strangers();
        }
    }));
    Ok(())
}

/// Checks that as many threads can exist as the runtime starts, because it panics otherwise.
fn room_for_threads() -> io::Result<()> {
    let (gate, closed) = mpsc::channel::<()>();
    let closed = Arc::new(Mutex::new(closed));
    let start = |_| {
        let closed = closed.clone();
        // The thread ends when the gate is dropped.
        let wait = move || drop(closed.lock().map(|closed| closed.recv()));
        thread::Builder::new().spawn(wait)
    };
    let started: Vec<_> = (0..THREADS).map(start).collect();
    drop(gate);
    for thread in started {
        // A thread that panicked existed all the same.
        let _ = thread?.join();
    }
    Ok(())
}

/// Checks that as many descriptors can be opened as the runtime needs, because it panics otherwise.
fn room_for_descriptors() -> io::Result<()> {
    let pipes = (0..DESCRIPTORS / 2).map(|_| io::pipe());
    pipes.collect::<io::Result<Vec<_>>>().map(drop)
}

/// Builds the runtime, and turns a panic into an error: another process may have taken the
/// resources since the checks.
fn without_panic<T>(build: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let built = catch_unwind(AssertUnwindSafe(build));
    panic::set_hook(hook);
    built.unwrap_or_else(|_| Err(Errno::EAGAIN.into()))
}

fn failed(what: &str, error: &io::Error) -> Failure {
    let status = Status::from_errno(error.errno());
    Failure::new(status, format!("cannot {what}: {error}"))
}

/// Runs the work, and does not wait for blocking work that is still running.
///
/// # Errors
/// As for [`runtime`], and those of the work.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_somebody_else_was_given_in_the_meantime_is_an_error() {
        let failed = without_panic(|| -> io::Result<()> { panic!("OS can't spawn worker thread") });
        assert_eq!(
            failed.unwrap_err().raw_os_error(),
            Some(Errno::EAGAIN as i32)
        );
    }
}
