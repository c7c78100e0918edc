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

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::{
    error::Kind,
    fifo::{End, Fifo},
};

/// How often a waiter looks whether its FIFO is still at the path.
pub(crate) const CHECK: Duration = Duration::from_secs(1);

/// A FIFO's default capacity, `pipe(7)`: whatever is written, no more memory than this is used.
const BUFFER: usize = 64 * 1024;

/// Waits for a writer and discards everything until the last one has closed.
pub(crate) fn drain(fifo: &Fifo, limit: Option<Duration>) -> Result<(), Kind> {
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut reader = fifo.open(End::ReadNow)?;
    let mut buffer = Vec::new();
    loop {
        let hung_up = wait(&reader, deadline)?;
        match discard(&mut reader, &mut buffer)? {
            Found::End if hung_up => return Ok(()),
            Found::End => fifo.still_there()?,
            Found::Writer => {}
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

/// Waits until something happens, the deadline passes or the path is to be checked; true if all writers have gone.
fn wait(reader: &File, deadline: Option<Instant>) -> Result<bool, Kind> {
    let mut polled = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    match poll(&mut polled, timeout(next_wake(deadline))) {
        Ok(_) => Ok(polled[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLHUP))),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
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

/// How long to sleep: until the deadline, and no longer than to the next look at the path.
pub(crate) fn next_wake(deadline: Option<Instant>) -> Duration {
    deadline.map_or(CHECK, |deadline| {
        deadline
            .saturating_duration_since(Instant::now())
            .min(CHECK)
    })
}

pub(crate) fn passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}

/// Whole milliseconds, rounded up, so that the last one before the deadline is slept through and not spun through.
fn timeout(duration: Duration) -> PollTimeout {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    u16::try_from(millis).map_or(PollTimeout::MAX, PollTimeout::from)
}
