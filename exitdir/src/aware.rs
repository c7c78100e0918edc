//! For tokio: a token that is cancelled when it is time to exit.

use std::{io::pipe, os::fd::AsFd, thread};

use tokio_util::sync::CancellationToken;

use crate::{Ended, Watcher};

/// A child of `parent` that is also cancelled when the directory of `EXIT_DIR` is signalled or its leader died.
/// Without a directory it is just a child. To be called within a runtime.
///
/// An error of the watch is logged, and cancels: a program that can no longer be told must not run for ever.
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

/// The same for a watcher that the caller has made. To be called within a runtime.
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
    // Ends the thread with the token, or with the runtime.
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
