//! The writer's side.
//!
//! Only a blocking open meets every reader: trying again and again without blocking would miss one that another writer lets
//! go between two tries, and opening for reading and writing would let other waiters go.

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
