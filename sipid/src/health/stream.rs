//! Connections whose reads and writes have a time limit.

use std::{
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Instant,
};

use nix::poll::{PollFd, PollFlags};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags},
};

use super::watch::Watch;

/// A connection, with TLS or without. Reads and writes fail with `TimedOut` when their time is over
/// or the watched process has ended.
pub(super) trait Stream: Read + Write {
    /// Sets the time limit for reads and writes from now on.
    fn limit(&mut self, until: Instant);

    /// Whether it is open and has received no unrequested data.
    fn is_quiet(&self) -> bool;
}

/// A connected, non-blocking socket.
pub(super) struct Socket {
    socket: OwnedFd,
    watch: Arc<Watch>,
    until: Instant,
}

impl Socket {
    pub(super) fn new(socket: OwnedFd, watch: Arc<Watch>, until: Instant) -> Self {
        Self {
            socket,
            watch,
            until,
        }
    }

    /// Calls until the call does not have to wait any more.
    fn retry<T>(
        &self,
        events: PollFlags,
        mut call: impl FnMut(&OwnedFd) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        loop {
            // Checked even if the call never has to wait.
            if Instant::now() >= self.until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match call(&self.socket) {
                Err(Errno::AGAIN) => {
                    let file = PollFd::new(self.socket.as_fd(), events);
                    if self.watch.wait(&[file], self.until).is_none() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Err(Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
    }
}

impl Stream for Socket {
    fn limit(&mut self, until: Instant) {
        self.until = until;
    }

    fn is_quiet(&self) -> bool {
        let peeked = rustix::net::recv(&self.socket, &mut [0], RecvFlags::PEEK);
        matches!(peeked, Err(Errno::AGAIN))
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.retry(PollFlags::POLLIN, |socket| {
            rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()).map(|(_, count)| count)
        })
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.retry(PollFlags::POLLOUT, |socket| {
            rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
