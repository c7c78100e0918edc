//! The runtime of a binary.

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use nix::sys::signal::SigSet;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

use coord_core::{HasErrno, Status, cli::Failure};
use coord_process::supervise::reap_strangers;

/// The worker, and one for what blocks.
const THREADS: usize = 2;

const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// One thread beside the caller's, so that a lease is renewed whatever that one does, and one for what blocks, such as looking up a name.
///
/// Both are started here and stay: the runtime panics when it needs a thread later and there can be none, and a lease would be lost with it.
/// Signals come to the caller's thread alone. As PID 1 it reaps the orphans that it inherits.
///
/// # Errors
/// When the threads cannot be started: that of `pthread_create(3)`.
pub fn runtime() -> Result<Runtime, Failure> {
    room_for_threads().map_err(|error| failed("start a thread", &error))?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_keep_alive(FOR_EVER)
        .on_thread_start(|| {
            let _ = SigSet::all().thread_block();
        })
        .enable_all()
        .build()
        .map_err(|error| failed("start the runtime", &error))?;
    drop(runtime.spawn_blocking(|| ()));
    if std::process::id() == 1 {
        let _context = runtime.enter();
        let deaths = signal(SignalKind::child());
        let mut deaths = deaths.map_err(|error| failed("catch SIGCHLD", &error))?;
        drop(runtime.spawn(async move {
            while deaths.recv().await.is_some() {
                reap_strangers();
            }
        }));
    }
    Ok(runtime)
}

/// Whether there can be as many threads at a time as the runtime starts, which panics if not.
fn room_for_threads() -> io::Result<()> {
    let (gate, closed) = mpsc::channel::<()>();
    let closed = Arc::new(Mutex::new(closed));
    let start = |_| {
        let closed = closed.clone();
        // It ends when the gate is dropped.
        let wait = move || drop(closed.lock().map(|closed| closed.recv()));
        thread::Builder::new().spawn(wait)
    };
    let started: Vec<_> = (0..THREADS).map(start).collect();
    drop(gate);
    for thread in started {
        // One that panicked was there all the same.
        let _ = thread?.join();
    }
    Ok(())
}

fn failed(what: &str, error: &io::Error) -> Failure {
    let status = Status::from_errno(error.errno());
    Failure::new(status, format!("cannot {what}: {error}"))
}

/// Does the work, and does not wait for what blocks still.
///
/// # Errors
/// As [`runtime`], and those of the work.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}
