//! The writer's side.
//!
//! Only a blocking open meets every reader. Non-blocking retries would miss a reader that another
//! writer releases between two tries. Opening for both reading and writing would release other
//! waiters.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    error::Kind,
    fifo::{End, Fifo, lacks_reader},
    opener::open_met,
};

/// Waits until a reader has the FIFO open.
pub(crate) fn meet_reader(fifo: Fifo, limit: Option<Duration>) -> Result<(), Kind> {
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    match fifo.open(End::WriteNow) {
        Err(kind) if lacks_reader(&kind) => {
            open_met(&Arc::new(fifo), End::Write, limit, deadline).map(drop)
        }
        opened => opened.map(drop),
    }
}
