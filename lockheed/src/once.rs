//! A future that ends once.

use std::{
    future::{Future, poll_fn},
    task::Poll,
};

/// Ends when the other future does, and may be polled after that, as a future need not.
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
