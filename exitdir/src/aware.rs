//! For tokio: a token that is cancelled when it is time to exit.

use std::{io::pipe, os::fd::AsFd, thread};

use tokio_util::sync::CancellationToken;

use crate::{Ended, Watcher};

/// Returns a child of `parent` that is also cancelled when the directory in `EXIT_DIR` is signalled
/// or its leader dies. Without a directory, only `parent` cancels it. Call it within a runtime.
///
/// If the watch fails, the error is logged and the token is cancelled: a program that can no longer
/// hear the signal must not run for ever.
///
/// ```no_run
/// # async fn serve() {
/// let token = exitdir::aware(&tokio_util::sync::CancellationToken::new());
/// tokio::select! {
///     () = token.cancelled() => {} // time to exit
///     () = async { /* the work */ } => {}
/// }
/// # }
/// ```
#[must_use]
pub fn aware(parent: &CancellationToken) -> CancellationToken {
    match Watcher::from_env() {
        Ok(watcher) => aware_of(watcher, parent),
        Err(error) => cancelled_for(&parent.child_token(), &error),
    }
}

/// Like `aware`, for a watcher that the caller made. Call it within a runtime.
#[must_use]
pub fn aware_of(mut watcher: Watcher, parent: &CancellationToken) -> CancellationToken {
    let token = parent.child_token();
    let (reader, writer) = match pipe() {
        Ok(pipe) => pipe,
        Err(error) => return cancelled_for(&token, &error),
    };
    let watched = token.clone();
    let wait = move || match watcher.wait_or(None, Some(reader.as_fd())) {
        Ok(Ended::Cancelled) => {}
        Ok(Ended::Signalled(_) | Ended::LeaderDied) => watched.cancel(),
        Err(error) => drop(cancelled_for(&watched, &error)),
    };
    if let Err(error) = thread::Builder::new()
        .name("exitdir aware".into())
        .spawn(wait)
    {
        return cancelled_for(&token, &error);
    }
    let cancelled = token.clone();
    // Ends the thread when the token is cancelled or the runtime ends.
    tokio::spawn(async move {
        cancelled.cancelled().await;
        drop(writer);
    });
    token
}

fn cancelled_for(token: &CancellationToken, error: &dyn std::error::Error) -> CancellationToken {
    log::error!("cannot watch for the exit: {error}");
    token.cancel();
    token.clone()
}
