//! The reader's side.
//!
//! The FIFO is opened without blocking. That lets a waiting writer go like any other reader's open, and then `poll(2)` takes the deadline.
//! No writer is missed: from the open on, Linux reports `POLLHUP` once a writer has come and all have gone, however short
//! the visit, and never before the first has come.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::poll::PollFlags;

use crate::{
    error::Kind,
    fifo::{End, Fifo},
    presence::{Presence, passed},
};

/// A FIFO's default capacity, `pipe(7)`: whatever is written, no more memory than this is used.
const BUFFER: usize = 64 * 1024;

/// Waits for a writer and discards everything until the last one has closed.
pub(crate) fn drain(fifo: &Fifo, limit: Option<Duration>) -> Result<(), Kind> {
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut reader = fifo.open(End::ReadNow)?;
    let mut presence = Presence::of(fifo);
    let mut buffer = Vec::new();
    loop {
        let ready = presence.poll(reader.as_fd(), deadline)?;
        let hung_up = ready.contains(PollFlags::POLLHUP);
        let found = discard(&mut reader, &mut buffer)?;
        if found == Found::End && hung_up {
            return Ok(());
        }
        match (presence.check(), found) {
            // Who has met a writer stays with it.
            (_, Found::Writer) => {}
            (present, Found::End) => present?,
        }
        if let (Some(limit), true) = (limit, passed(deadline)) {
            return Err(Kind::TimedOut(limit));
        }
    }
}

/// What one read showed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Nobody has the FIFO open for writing.
    End,
    /// Somebody has, or had and left data.
    Writer,
}

fn discard(reader: &mut File, buffer: &mut Vec<u8>) -> io::Result<Found> {
    buffer.resize(BUFFER, 0);
    match reader.read(buffer) {
        Ok(0) => Ok(Found::End),
        Ok(_) => Ok(Found::Writer),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) =>
        {
            Ok(Found::Writer)
        }
        Err(error) => Err(error),
    }
}
