//! Replaces [`events`](crate::events) on systems without events.

use std::{io, os::fd::BorrowedFd, path::Path, time::Duration};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// There are none.
#[derive(Debug)]
pub(crate) enum Events {}

impl Events {
    pub(crate) const EXIST: bool = false;

    pub(crate) fn of_directory(_: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn of_fifo(_: &Path) -> nix::Result<Self> {
        Err(Errno::ENOTSUP)
    }

    pub(crate) fn is_of_directory(&self) -> bool {
        match *self {}
    }

    pub(crate) fn take_events(&self, _: bool) -> bool {
        match *self {}
    }
}

/// Sleeps until the descriptor is ready or the time is over. Returns what the descriptor is ready
/// for, or `None` after a signal.
pub(crate) fn sleep(
    fd: BorrowedFd<'_>,
    _: Option<&Events>,
    limit: Duration,
) -> nix::Result<Option<PollFlags>> {
    let mut polled = [PollFd::new(fd, PollFlags::POLLIN)];
    // Not shorter than the limit. The caller repeats a wait that is longer than the maximum.
    let limit = limit.saturating_add(Duration::from_millis(1));
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    match poll(&mut polled, limit) {
        Ok(_) => Ok(Some(polled[0].revents().unwrap_or(PollFlags::empty()))),
        Err(Errno::EINTR) => Ok(None),
        Err(error) => Err(error),
    }
}
