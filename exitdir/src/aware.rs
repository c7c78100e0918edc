//! For tokio: a token that is cancelled when it is time to exit.

use std::{io::pipe, os::fd::AsFd, thread};

use tokio_util::sync::CancellationToken;

use crate::{Ended, Watcher};

/// A child of `parent` that is also cancelled when the directory of `EXIT_DIR` is signalled or its leader died.
/// Without a directory it is just a child. To be called within a runtime.
///
/// An error of the watch is logged, and cancels: a program that can no longer be told must not run for ever.
#[must_use]
pub fn aware(parent: &CancellationToken) -> CancellationToken {
    let token = parent.child_token();
    let watched = token.clone();
    let Ok((reader, writer)) = pipe() else {
        log::error!("cannot open a pipe, and so cannot watch for the exit");
        token.cancel();
        return token;
    };
    thread::spawn(
        move || match Watcher::from_env().wait_or(None, Some(reader.as_fd())) {
            Ok(Ended::Cancelled) => {}
            Ok(Ended::Signalled(_) | Ended::LeaderDied) => watched.cancel(),
            Err(error) => {
                log::error!("{error}");
                watched.cancel();
            }
        },
    );
    let cancelled = token.clone();
    tokio::spawn(async move {
        cancelled.cancelled().await;
        drop(writer);
    });
    token
}
