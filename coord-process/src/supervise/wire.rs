//! What client and guard say to each other: one packet a message, over a socket pair that keeps packets whole.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{self, IoSlice, IoSliceMut},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    sys::socket::{
        self, AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, SockFlag,
        SockType,
    },
};

use super::Exit;

/// More than the variables of a lock need; the kernel takes about 200 KiB in a packet.
const LARGEST: usize = 64 * 1024;

/// One end of the pair. A message that the other end has no room for is kept until it has.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    /// In the order in which they were given.
    unsent: Mutex<VecDeque<Vec<u8>>>,
}

/// From the client to the guard.
#[derive(Debug)]
pub(crate) enum Order {
    /// Start CMD, with these variables beside the environment.
    Start(Vec<(OsString, OsString)>),
    /// End the tree.
    End,
    /// The tree must be gone by this `CLOCK_BOOTTIME`; none lifts the deadline.
    Deadline(Option<Duration>),
    /// Send CMD, or its whole process group, a signal; one that asks to end starts the grace period.
    Signal {
        number: i32,
        group: bool,
        ends: bool,
    },
    /// Keep this descriptor open until the tree is gone.
    Keep(OwnedFd),
}

/// From the guard to the client.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    /// The guard can do its work.
    Ready,
    /// It cannot: what failed, and the errno.
    Failed(String, i32),
    /// CMD runs; its process ID is that of its group too.
    Started(i32),
    /// CMD could not be started: the errno.
    NotStarted(i32),
    /// CMD was stopped by this signal.
    Stopped(i32),
    /// The tree is gone: how CMD ended, and why.
    Over(Exit, Cause),
}

/// Why CMD was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It ended by itself.
    Own,
    /// The client asked for it, or died.
    Asked,
    /// The deadline was near.
    Deadline,
}

impl Link {
    pub(crate) fn pair() -> nix::Result<(Self, Self)> {
        let (one, other) = socket::socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        Ok((Self::new(one), Self::new(other)))
    }

    fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            unsent: Mutex::default(),
        }
    }

    /// Never blocks: a guard that is stopped must not stop the client. What cannot be sent yet is sent by [`flush`](Self::flush).
    pub(crate) fn order(&self, order: &Order) -> io::Result<()> {
        let (tag, rest) = match order {
            Order::Start(vars) => (b'S', encode(vars)),
            Order::End => (b'E', Vec::new()),
            Order::Deadline(at) => {
                let nanos = at.map_or(u64::MAX, |at| {
                    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
                });
                (b'D', nanos.to_ne_bytes().to_vec())
            }
            Order::Signal {
                number,
                group,
                ends,
            } => {
                let how = i32::from(*group) | i32::from(*ends) << 1;
                (b'K', numbers(*number, how))
            }
            Order::Keep(fd) => return Ok(self.send(b"F", Some(fd.as_fd()))?),
        };
        self.post(tag, &rest)
    }

    /// The next order; none when the client has closed its end.
    pub(crate) fn next_order(&self) -> io::Result<Option<Order>> {
        let Some((packet, fd)) = self.receive(MsgFlags::empty())? else {
            return Ok(None);
        };
        let rest = &packet[1..];
        let order = match (packet[0], fd) {
            (b'S', _) => Order::Start(decode(rest)),
            (b'D', _) => {
                let nanos = rest.try_into().map_or(0, u64::from_ne_bytes);
                Order::Deadline((nanos != u64::MAX).then(|| Duration::from_nanos(nanos)))
            }
            (b'K', _) => {
                let (number, how) = two(rest);
                Order::Signal {
                    number,
                    group: how & 1 != 0,
                    ends: how & 2 != 0,
                }
            }
            (b'F', Some(fd)) => Order::Keep(fd),
            _ => Order::End,
        };
        Ok(Some(order))
    }

    /// Never blocks either.
    pub(crate) fn report(&self, report: &Report) -> io::Result<()> {
        let (tag, rest) = match report {
            Report::Ready => (b'r', Vec::new()),
            Report::Failed(what, errno) => {
                let rest = [&errno.to_ne_bytes()[..], what.as_bytes()].concat();
                (b'f', rest)
            }
            Report::Started(pid) => (b's', numbers(*pid, 0)),
            Report::NotStarted(errno) => (b'n', numbers(*errno, 0)),
            Report::Stopped(signal) => (b't', numbers(*signal, 0)),
            Report::Over(Exit::Code(code), cause) => {
                (b'o', numbers(i32::from(*code), *cause as i32))
            }
            Report::Over(Exit::Signal(signal), cause) => (b'o', numbers(-signal, *cause as i32)),
        };
        self.post(tag, &rest)
    }

    /// The next report; none when the guard has died.
    pub(crate) fn next_report(&self) -> io::Result<Option<Report>> {
        let packet = self.receive(MsgFlags::empty())?;
        Ok(packet.map(|(packet, _)| read_report(&packet)))
    }

    /// The next report, an error (`EAGAIN`) when there is none yet.
    pub(crate) fn try_next_report(&self) -> io::Result<Option<Report>> {
        let packet = self.receive(MsgFlags::MSG_DONTWAIT)?;
        Ok(packet.map(|(packet, _)| read_report(&packet)))
    }

    /// Sends what was kept, as far as there is room.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let mut unsent = self.lock_unsent();
        while let Some(packet) = unsent.front() {
            match self.send(packet, None) {
                Ok(()) => drop(unsent.pop_front()),
                Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.lock_unsent().is_empty()
    }

    /// Ends the conversation, for all copies of this end.
    pub(crate) fn close(&self) {
        // It fails only for a socket that is not connected.
        let _ = socket::shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }

    /// A message that waits already is not kept twice, as the kernel does it with a pending signal; an older deadline is replaced.
    fn post(&self, tag: u8, rest: &[u8]) -> io::Result<()> {
        if rest.len() >= LARGEST {
            return Err(io::Error::from_raw_os_error(libc::E2BIG));
        }
        let packet = [&[tag], rest].concat();
        let mut unsent = self.lock_unsent();
        unsent.retain(|older| *older != packet && (tag != b'D' || older[0] != tag));
        unsent.push_back(packet);
        drop(unsent);
        self.flush()
    }

    fn lock_unsent(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, packet: &[u8], fd: Option<BorrowedFd<'_>>) -> nix::Result<()> {
        let raw = fd.map(|fd| [fd.as_raw_fd()]);
        let rights = raw.as_ref().map(|raw| ControlMessage::ScmRights(raw));
        let parts = [IoSlice::new(packet)];
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let socket = self.socket.as_raw_fd();
        socket::sendmsg::<()>(socket, &parts, rights.as_slice(), flags, None)?;
        Ok(())
    }

    fn receive(&self, flags: MsgFlags) -> io::Result<Option<(Vec<u8>, Option<OwnedFd>)>> {
        let mut buffer = vec![0; LARGEST];
        let mut space = cmsg_space!([i32; 1]);
        let (length, fd) = loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            match socket::recvmsg::<()>(
                self.socket.as_raw_fd(),
                &mut parts,
                Some(&mut space),
                MsgFlags::MSG_CMSG_CLOEXEC | flags,
            ) {
                Ok(message) => break (message.bytes, first_fd(message.cmsgs())),
                // The other end is closed, and had not read all; what it wrote before is still to be read.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Err(error) => return Err(error.into()),
            }
        };
        buffer.truncate(length);
        Ok((length > 0).then_some((buffer, fd)))
    }
}

impl Cause {
    fn from_number(number: i32) -> Self {
        [Self::Asked, Self::Deadline]
            .into_iter()
            .find(|cause| *cause as i32 == number)
            .unwrap_or(Self::Own)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn read_report(packet: &[u8]) -> Report {
    let rest = &packet[1..];
    let (one, other) = two(rest);
    match packet[0] {
        b'r' => Report::Ready,
        b'f' => {
            let what = rest.get(4..).unwrap_or_default();
            Report::Failed(String::from_utf8_lossy(what).into_owned(), one)
        }
        b's' => Report::Started(one),
        b'n' => Report::NotStarted(one),
        b't' => Report::Stopped(one),
        _ => {
            let exit = u8::try_from(one).map_or(Exit::Signal(-one), Exit::Code);
            Report::Over(exit, Cause::from_number(other))
        }
    }
}

fn first_fd(messages: nix::Result<socket::CmsgIterator<'_>>) -> Option<OwnedFd> {
    messages.ok()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => {
            // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
            fds.first().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) })
        }
        _ => None,
    })
}

fn numbers(one: i32, other: i32) -> Vec<u8> {
    [one.to_ne_bytes(), other.to_ne_bytes()].concat()
}

fn two(bytes: &[u8]) -> (i32, i32) {
    let number = |at: usize| {
        bytes
            .get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map_or(0, i32::from_ne_bytes)
    };
    (number(0), number(4))
}

/// Names and values, each ended by a NUL, which neither can contain.
fn encode(vars: &[(OsString, OsString)]) -> Vec<u8> {
    let texts = vars.iter().flat_map(|(name, value)| [name, value]);
    texts
        .flat_map(|text| text.as_bytes().iter().copied().chain([0]))
        .collect()
}

fn decode(bytes: &[u8]) -> Vec<(OsString, OsString)> {
    let mut texts = bytes
        .split(|byte| *byte == 0)
        .map(|text| OsString::from_vec(text.to_vec()));
    let mut vars = Vec::new();
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        vars.push((name, value));
    }
    vars
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_word_is_heard_although_an_order_was_not_read() {
        let (client, guard) = Link::pair().unwrap();
        let number = libc::SIGUSR1;
        let order = Order::Signal {
            number,
            group: false,
            ends: true,
        };
        client.order(&order).unwrap();
        guard
            .report(&Report::Over(Exit::Signal(9), Cause::Own))
            .unwrap();
        drop(guard);
        let heard = client.next_report().unwrap();
        assert!(
            matches!(heard, Some(Report::Over(Exit::Signal(9), Cause::Own))),
            "{heard:?}"
        );
        assert!(client.next_report().unwrap().is_none());
    }

    #[test]
    fn orders_arrive_as_they_were_given() {
        let (client, guard) = Link::pair().unwrap();
        let vars = vec![("A".into(), "1 2\n".into()), ("EMPTY".into(), "".into())];
        client.order(&Order::Start(vars.clone())).unwrap();
        client.order(&Order::Start(Vec::new())).unwrap();
        let deadline = Some(Duration::from_nanos(12_345_678_901));
        client.order(&Order::Deadline(deadline)).unwrap();
        client.order(&Order::Deadline(None)).unwrap();
        client.order(&Order::End).unwrap();
        let next = || guard.next_order().unwrap().unwrap();
        assert!(matches!(next(), Order::Start(found) if found == vars));
        assert!(matches!(next(), Order::Start(found) if found.is_empty()));
        assert!(matches!(next(), Order::Deadline(at) if at == deadline));
        assert!(matches!(next(), Order::Deadline(None)));
        assert!(matches!(next(), Order::End));
    }

    #[test]
    fn what_there_is_no_room_for_is_kept_until_there_is() {
        let (client, guard) = Link::pair().unwrap();
        for number in 0..5000 {
            guard.report(&Report::Started(number)).unwrap();
        }
        guard
            .report(&Report::Over(Exit::Code(7), Cause::Own))
            .unwrap();
        assert!(guard.has_unsent());
        for number in 0..5000 {
            let heard = client.try_next_report().unwrap();
            assert!(matches!(heard, Some(Report::Started(found)) if found == number));
            guard.flush().unwrap();
        }
        let heard = client.try_next_report().unwrap();
        assert!(matches!(
            heard,
            Some(Report::Over(Exit::Code(7), Cause::Own))
        ));
        let nothing = client.try_next_report().unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_waits_is_not_kept_twice() {
        let (client, guard) = Link::pair().unwrap();
        let deadline = |seconds| Order::Deadline(Some(Duration::from_secs(seconds)));
        for seconds in 0..5000 {
            client.order(&deadline(seconds)).unwrap();
            client.order(&Order::End).unwrap();
        }
        assert!(client.lock_unsent().len() <= 2);
        drop(guard);
        assert!(client.order(&Order::End).is_err());
    }

    #[test]
    fn variables_that_do_not_fit_are_refused() {
        let (client, _guard) = Link::pair().unwrap();
        let huge = "x".repeat(LARGEST);
        let error = client
            .order(&Order::Start(vec![("A".into(), huge.into())]))
            .unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::E2BIG));
    }
}
