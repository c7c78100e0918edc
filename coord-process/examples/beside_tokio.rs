//! The supervisor beside a tokio runtime: a task ends the command. What the tests run.

use std::{process::ExitCode, time::Duration};

use coord_core::Status;
use coord_process::supervise::{Error, Guard, Plan, Reason};

fn main() -> ExitCode {
    let status = run().unwrap_or_else(|error| {
        eprintln!("beside_tokio: {error}");
        error.status()
    });
    status.into()
}

fn run() -> Result<Status, Error> {
    // Before the runtime, which has threads.
    let guard = Guard::start(Plan::new(std::env::args_os().skip(1)))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let mut running = guard.spawn::<String, String>([])?;
    let ender = running.ender();
    runtime.spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        ender.end(Reason::new("it was time", Status::LOST));
    });
    let outcome = runtime.block_on(async {
        tokio::task::spawn_blocking(move || running.wait())
            .await
            .expect("the wait does not panic")
    })?;
    Ok(outcome.status())
}
