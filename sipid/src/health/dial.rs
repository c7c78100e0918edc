//! Opens connections within a time limit.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt},
};

use super::{
    reason::{Reason, phase},
    watch::Watch,
};

/// How long a connection has before the next address is tried in parallel, RFC 8305 section 5.
const HEAD_START: Duration = Duration::from_millis(250);

/// How often to try a socket whose backlog is full: the kernel does not report when there is room.
const BACKLOG_RETRY: Duration = Duration::from_millis(10);

/// Connects to the first address that accepts. Each address has a head start of [`HEAD_START`] over
/// the next one, or less if there are many. When it fails, the next one starts at once.
pub(super) fn tcp(
    addresses: Vec<SocketAddr>,
    watch: &Watch,
    until: Instant,
) -> Result<OwnedFd, Reason> {
    let head_start = head_start(addresses.len(), until);
    let mut untried = interleaved(addresses).into_iter().peekable();
    let mut open: Vec<OwnedFd> = Vec::new();
    let mut failed = Reason::failed(&"the name has no address");
    let mut next_start = Instant::now();
    loop {
        let is_due = open.is_empty() || Instant::now() >= next_start;
        if let Some(address) = untried.next_if(|_| is_due) {
            match begin(address) {
                Ok(socket) => {
                    open.push(socket);
                    next_start = Instant::now() + head_start;
                }
                Err(reason) => failed = reason,
            }
            continue;
        }
        if open.is_empty() {
            return Err(failed);
        }
        let wake = untried.peek().map_or(until, |_| until.min(next_start));
        let polled: Vec<_> = open.iter().map(|socket| when_writable(socket)).collect();
        match watch.wait(&polled, wake) {
            Some(ready) => match finish(open.swap_remove(ready)) {
                Ok(socket) => return Ok(socket),
                Err(reason) => {
                    failed = reason;
                    next_start = Instant::now();
                }
            },
            None if Instant::now() >= until || watch.is_gone() => {
                return Err(Reason::Slow(phase::CONNECTION));
            }
            None => {}
        }
    }
}

/// Connects to a Unix socket. If its backlog is full, tries again.
pub(super) fn unix(path: &Path, watch: &Watch, until: Instant) -> Result<OwnedFd, Reason> {
    let address = SocketAddrUnix::new(path).map_err(|error| Reason::failed(&error))?;
    let socket = socket(AddressFamily::UNIX)?;
    loop {
        match rustix::net::connect(&socket, &address) {
            Ok(()) => return Ok(socket),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let retry = until.min(Instant::now() + BACKLOG_RETRY);
                if !watch.sleep(retry) || retry == until {
                    return Err(Reason::Slow(phase::BACKLOG));
                }
            }
            Err(error) => return Err(Reason::failed(&io::Error::from(error))),
        }
    }
}

/// The index of a network interface, `netdevice(7)`.
pub(super) fn interface(name: &str) -> Result<u32, Reason> {
    let socket = socket(AddressFamily::INET6)?;
    rustix::net::netdevice::name_to_index(&socket, name)
        .map_err(|_| Reason::failed(&format!("there is no network interface {name:?}")))
}

/// Shorter for many addresses, so that each gets its turn.
fn head_start(addresses: usize, until: Instant) -> Duration {
    let left = until.saturating_duration_since(Instant::now());
    let turns = u32::try_from(addresses.saturating_add(1)).unwrap_or(u32::MAX);
    HEAD_START.min(left / turns)
}

/// Alternates the two families, starting with that of the first address, RFC 8305 section 4.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let pairs = std::iter::from_fn(|| match (first.next(), second.next()) {
        (None, None) => None,
        pair => Some(pair),
    });
    pairs
        .flat_map(|(one, other)| one.into_iter().chain(other))
        .collect()
}

/// Starts to connect.
fn begin(address: SocketAddr) -> Result<OwnedFd, Reason> {
    let family = if address.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let socket = socket(family)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
        Err(error) => Err(Reason::failed(&io::Error::from(error))),
    }
}

/// The outcome of the connection attempt.
fn finish(socket: OwnedFd) -> Result<OwnedFd, Reason> {
    let failed = |error: Errno| Reason::failed(&io::Error::from(error));
    sockopt::socket_error(&socket)
        .and_then(|error| error)
        .map_err(failed)?;
    if is_connected_to_itself(&socket) {
        return Err(failed(Errno::CONNREFUSED));
    }
    Ok(socket)
}

/// If nobody listens on a local port, the kernel may have given that port to this very connection.
/// TCP then connects it to itself, RFC 9293 section 3.5.
fn is_connected_to_itself(socket: &OwnedFd) -> bool {
    let (own, peer) = (
        rustix::net::getsockname(socket),
        rustix::net::getpeername(socket),
    );
    matches!((own, peer), (Ok(own), Ok(Some(peer))) if own == peer)
}

fn socket(family: AddressFamily) -> Result<OwnedFd, Reason> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::socket_with(family, SocketType::STREAM, flags, None).map_err(|error| match error {
        // For instance, there is no IPv6.
        Errno::AFNOSUPPORT => Reason::failed(&io::Error::from(error)),
        error => Reason::lacking("open a socket", error.into()),
    })
}

fn when_writable(socket: &OwnedFd) -> PollFd<'_> {
    PollFd::new(socket.as_fd(), PollFlags::POLLOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let all = ["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1", "2.2.2.2:1"];
        let all = all.map(|text| text.parse().unwrap()).to_vec();
        let order: Vec<_> = interleaved(all).iter().map(ToString::to_string).collect();
        assert_eq!(
            order,
            ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]
        );
    }
}
