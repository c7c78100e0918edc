//! A future that completes once and may be polled again.

use std::{
    future::{Future, poll_fn},
    task::Poll,
};

/// Completes when the other future does. Unlike other futures, it may be polled after that.
pub(crate) fn ended(future: impl Future<Output = ()>) -> impl Future<Output = ()> {
    let mut future = Box::pin(future);
    let mut is_over = false;
    poll_fn(move |context| {
        is_over = is_over || future.as_mut().poll(context).is_ready();
        if is_over {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
}
