//! The reader's side.
//!
//! On Linux we open the FIFO without blocking, and `poll(2)` takes the deadline. The open releases
//! a waiting writer like any other reader's open. It misses no writer: from the open on, Linux
//! reports `POLLHUP` once a writer has come and all have gone, however briefly it came, and never
//! before the first one. Other systems do not promise that, so there a blocking open waits for the
//! first writer.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::poll::PollFlags;

use crate::{
    error::Kind,
    fifo::{End, Fifo},
    presence::{Presence, passed},
};

/// A FIFO's default capacity, `pipe(7)`. No more memory than this is used, whatever is written.
const BUFFER: usize = 64 * 1024;

/// Waits for a writer and discards everything until the last one has closed.
pub(crate) fn drain(fifo: Fifo, limit: Option<Duration>) -> Result<(), Kind> {
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let fifo = Arc::new(fifo);
    let (mut reader, has_met) = open(&fifo, limit, deadline)?;
    let mut presence = Presence::of(&fifo);
    let mut buffer = Vec::new();
    loop {
        let ready = presence.poll(reader.as_fd(), deadline)?;
        let hung_up = has_met || ready.contains(PollFlags::POLLHUP);
        let found = discard(&mut reader, &mut buffer)?;
        if found == Found::End && hung_up {
            return Ok(());
        }
        match (presence.check(), found) {
            // A reader that has met a writer stays with it.
            (_, Found::Writer) => {}
            (present, Found::End) => present?,
        }
        if let (Some(limit), true) = (limit, passed(deadline)) {
            return Err(Kind::TimedOut(limit));
        }
    }
}

/// Returns the end to read from, and whether a writer has already come.
#[cfg(target_os = "linux")]
fn open(fifo: &Arc<Fifo>, _: Option<Duration>, _: Option<Instant>) -> Result<(File, bool), Kind> {
    Ok((fifo.open(End::ReadNow)?, false))
}

#[cfg(not(target_os = "linux"))]
fn open(
    fifo: &Arc<Fifo>,
    limit: Option<Duration>,
    deadline: Option<Instant>,
) -> Result<(File, bool), Kind> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let reader = crate::opener::open_met(fifo, End::Read, limit, deadline)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((reader, true))
}

/// What one read showed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Nobody has the FIFO open for writing.
    End,
    /// Somebody has it open for writing, or had and left data.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Others than a signal, and than that there is nothing to read yet.
    #[test]
    fn a_read_that_fails_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let mut directory = File::open(directory.path()).unwrap();
        assert!(discard(&mut directory, &mut Vec::new()).is_err());
        let mut nothing = File::open("/dev/null").unwrap();
        assert!(discard(&mut nothing, &mut Vec::new()).is_ok_and(|found| found == Found::End));
    }
}
