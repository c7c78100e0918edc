//! The runtime of a binary.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};

use coord_core::{Status, cli::Failure};

/// One thread beside the caller's, so that a lease is renewed whatever that one does.
///
/// # Errors
/// When the thread cannot be started: status 125.
pub fn runtime() -> Result<Runtime, Failure> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.map_err(|error| Failure::new(Status::FAILED, error))
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
