//! The link between client and guard: one packet per message, over a socket pair that keeps packet
//! boundaries.

mod message;

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
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

pub(crate) use message::{Cause, Order, Report};

/// More than a lock's variables need; the kernel accepts about 200 KiB in a packet.
const LARGEST: usize = 64 * 1024;

/// One end of the pair. If the other end has no room for a message, the message is kept until it
/// has.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    /// In the order in which they were posted.
    unsent: Mutex<VecDeque<Vec<u8>>>,
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

    /// Never blocks: a stopped guard must not stop the client. If there is no room,
    /// [`flush`](Self::flush) sends the order later.
    pub(crate) fn order(&self, order: &Order) -> io::Result<()> {
        match order {
            Order::Keep(fd) => Ok(self.send(&order.packet(), Some(fd.as_fd()))?),
            _ => self.post(order.packet()),
        }
    }

    /// The next order, or `None` when the client has closed its end.
    pub(crate) fn next_order(&self) -> io::Result<Option<Order>> {
        self.receive_order(MsgFlags::empty())
    }

    /// The same without blocking: the error `EAGAIN` if there is none yet.
    pub(crate) fn try_next_order(&self) -> io::Result<Option<Order>> {
        self.receive_order(MsgFlags::MSG_DONTWAIT)
    }

    fn receive_order(&self, flags: MsgFlags) -> io::Result<Option<Order>> {
        let packet = self.receive(flags)?;
        Ok(packet.map(|(packet, fd)| Order::read(&packet, fd)))
    }

    /// Never blocks either.
    pub(crate) fn report(&self, report: &Report) -> io::Result<()> {
        self.post(report.packet())
    }

    /// The next report: the error `EAGAIN` if there is none yet, `None` if the guard has died.
    pub(crate) fn try_next_report(&self) -> io::Result<Option<Report>> {
        let packet = self.receive(MsgFlags::MSG_DONTWAIT)?;
        Ok(packet.map(|(packet, _)| Report::read(&packet)))
    }

    /// Sends kept messages while there is room.
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

    /// Refuses orders from now on, with `EPIPE`. Those that were sent before can still be read.
    pub(crate) fn refuse_orders(&self) {
        // It fails for a socket that is not connected, or if a filter forbids it.
        let _ = socket::shutdown(self.socket.as_raw_fd(), Shutdown::Read);
    }

    /// Closes the connection, for all copies of this end.
    pub(crate) fn close(&self) {
        // It fails only for a socket that is not connected.
        let _ = socket::shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }

    /// Does not keep a message twice, as the kernel does with pending signals. A new deadline
    /// replaces an older one.
    fn post(&self, packet: Vec<u8>) -> io::Result<()> {
        if packet.len() > LARGEST {
            return Err(io::Error::from_raw_os_error(libc::E2BIG));
        }
        let is_deadline = |packet: &[u8]| packet[0] == message::DEADLINE;
        let mut unsent = self.lock_unsent();
        unsent.retain(|older| *older != packet && !(is_deadline(&packet) && is_deadline(older)));
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
        // Allocates only the packet's length: room for the largest would cost each process 64 KiB.
        let peek = flags | MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
        let length = next_length(|| socket::recv(self.socket.as_raw_fd(), &mut [], peek))?;
        if length == 0 {
            return Ok(None);
        }
        let mut packet = vec![0; length];
        let mut space = cmsg_space!([i32; 1]);
        let fd = retried(|| {
            let mut parts = [IoSliceMut::new(&mut packet)];
            let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
            let socket = self.socket.as_raw_fd();
            let message = socket::recvmsg::<()>(socket, &mut parts, Some(&mut space), flags)?;
            Ok(first_fd(message.cmsgs()))
        })?;
        Ok(Some((packet, fd)))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The length of the next packet; 0 when the other end is closed and all was read. No packet is
/// empty.
///
/// Linux looks for a packet, and only then whether the other end is closed (`unix_dgram_recvmsg`),
/// so it can report the end although a packet came in between. Nothing comes after the end, so a
/// second look finds that packet.
fn next_length(mut peek: impl FnMut() -> nix::Result<usize>) -> io::Result<usize> {
    match retried(&mut peek)? {
        0 => retried(peek),
        length => Ok(length),
    }
}

/// Repeats the call after a signal, and when the other end closed without having read everything:
/// we must still read what it wrote before.
fn retried<T>(mut call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR | Errno::ECONNRESET) => {}
            result => return Ok(result?),
        }
    }
}

fn first_fd(messages: nix::Result<socket::CmsgIterator<'_>>) -> Option<OwnedFd> {
    messages.ok()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => {
            // SAFETY: the kernel has just created this descriptor for us, and nobody else knows it.
            fds.first().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) })
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::fcntl::{FcntlArg, fcntl};

    use super::*;
    use crate::supervise::Exit;

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
        let heard = client.try_next_report().unwrap();
        assert!(
            matches!(heard, Some(Report::Over(Exit::Signal(9), Cause::Own))),
            "{heard:?}"
        );
        assert!(client.try_next_report().unwrap().is_none());
    }

    #[test]
    fn a_packet_that_came_while_the_kernel_looked_for_the_end_is_found() {
        let played = |answers: &[nix::Result<usize>]| {
            let mut answers = answers.iter();
            next_length(|| *answers.next().unwrap()).unwrap()
        };
        assert_eq!(played(&[Ok(0), Ok(5)]), 5);
        assert_eq!(played(&[Ok(0), Err(Errno::EINTR), Ok(5)]), 5);
        assert_eq!(played(&[Ok(0), Ok(0)]), 0);
        assert_eq!(played(&[Ok(5)]), 5);
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

    /// The packet has a tag, and a NUL after the name and after the value.
    #[test]
    fn variables_that_do_not_fit_are_refused() {
        let (client, _guard) = Link::pair().unwrap();
        let start = |length: usize| Order::Start(vec![("A".into(), "x".repeat(length).into())]);
        client.order(&start(65_536 - 4)).unwrap();
        let error = client.order(&start(65_536 - 3)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::E2BIG));
    }

    #[test]
    fn a_deadline_takes_the_place_of_another_one_only() {
        let (client, _guard) = Link::pair().unwrap();
        let signal = |number| Order::Signal {
            number,
            group: false,
            ends: false,
        };
        let orders = (0..100_000).map(signal);
        let mut orders = orders.take_while(|order| {
            client.order(order).unwrap();
            !client.has_unsent()
        });
        assert!(orders.by_ref().count() < 99_999, "there is always room");
        let deadline = |seconds| Order::Deadline(Some(Duration::from_secs(seconds)));
        let last = [signal(-1), deadline(1), signal(-2), deadline(2), Order::End];
        for order in &last {
            client.order(order).unwrap();
        }
        let kept: Vec<_> = client.lock_unsent().iter().skip(1).cloned().collect();
        let expected = [signal(-1), signal(-2), deadline(2), Order::End];
        assert_eq!(kept, expected.map(|order| order.packet()));
    }

    #[test]
    fn a_descriptor_arrives_with_its_order() {
        let (client, guard) = Link::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        let inode = |fd: &OwnedFd| nix::sys::stat::fstat(fd).unwrap().st_ino;
        let sent = OwnedFd::from(file.try_clone().unwrap());
        let expected = inode(&sent);
        client.order(&Order::Keep(sent)).unwrap();
        let order = guard.next_order().unwrap();
        let Some(Order::Keep(fd)) = order else {
            panic!("{order:?}");
        };
        assert_eq!(inode(&fd), expected);
        // The command does not inherit it.
        assert_eq!(fcntl(&fd, FcntlArg::F_GETFD), Ok(libc::FD_CLOEXEC));
    }

    #[test]
    fn the_other_end_hears_that_it_was_closed() {
        let (client, guard) = Link::pair().unwrap();
        guard.close();
        assert!(client.try_next_report().unwrap().is_none());
    }
}
