//! `sipid claim --ready-timeout`: returns when the command reports that it is ready, as
//! `sd_notify(3)` describes.

use std::{
    fmt, fs,
    io::{self, IoSliceMut},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    thread,
    time::{Duration, Instant},
};

use coord_core::{Errno, HasErrno, Status, cli::Failure};
use nix::{
    cmsg_space,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill, killpg},
        socket::{
            AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
            UnixCredentials, bind, getsockname, recvmsg, setsockopt, socket, sockopt,
        },
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, geteuid, setsid},
};

/// How long a command that was not ready in time has from TERM to KILL.
const GRACE: Duration = Duration::from_secs(20);

/// How often the command is looked at while nothing is said.
const LOOK: Duration = Duration::from_millis(100);

/// The command was not ready in time, or ended before it was.
#[derive(Debug)]
enum NotReady {
    InTime(Duration),
    Ended,
}

/// Where the command says that it is ready.
pub(super) struct NotifySocket {
    socket: OwnedFd,
    /// What `NOTIFY_SOCKET` is to be.
    pub(super) name: String,
}

/// Forks. The child does this, which is to claim and to become the command; the parent returns when
/// that is ready.
pub(super) fn wait_until_ready(
    limit: Duration,
    become_command: impl FnOnce(&NotifySocket) -> Result<Status, Failure>,
) -> Result<Status, Failure> {
    let socket = NotifySocket::bind()?;
    // SAFETY: this process has one thread, so the child finds everything as without a fork.
    match unsafe { fork() }.map_err(io::Error::from)? {
        ForkResult::Child => {
            // It outlives the script that starts it, and the script's terminal.
            setsid().map_err(io::Error::from)?;
            become_command(&socket)
        }
        ForkResult::Parent { child } => socket.wait_for(child, limit),
    }
}

impl NotifySocket {
    /// The kernel chooses a free name, `unix(7)`, "Autobind feature".
    fn bind() -> Result<Self, io::Error> {
        let socket = socket(
            AddressFamily::Unix,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        bind(socket.as_raw_fd(), &UnixAddr::new_unnamed())?;
        setsockopt(&socket, sockopt::PassCred, &true)?;
        let address: UnixAddr = getsockname(socket.as_raw_fd())?;
        let name = String::from_utf8_lossy(address.as_abstract().unwrap_or_default());
        let name = format!("@{name}");
        Ok(Self { socket, name })
    }

    fn wait_for(&self, child: Pid, limit: Duration) -> Result<Status, Failure> {
        let deadline = Instant::now() + limit;
        loop {
            // Checked before the messages are read: a command that ends right after its message has
            // still sent it.
            let ended = ended_with(child)?;
            if self.is_ready(child)? {
                return Ok(Status::DONE);
            }
            if let Some(status) = ended {
                // It has already reported its own error, or that of the claim.
                let failed = status != Status::DONE;
                return if failed {
                    Ok(status)
                } else {
                    Err(NotReady::Ended.into())
                };
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                end(child)?;
                return Err(NotReady::InTime(limit).into());
            }
            self.wait(left.min(LOOK))?;
        }
    }

    fn wait(&self, limit: Duration) -> Result<(), io::Error> {
        let mut sockets = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let limit = limit + Duration::from_micros(999);
        poll(
            &mut sockets,
            PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX),
        )?;
        Ok(())
    }

    /// Reads all that was said so far. It counts if the command said it, or a process of its user,
    /// of ours or of root.
    fn is_ready(&self, child: Pid) -> Result<bool, io::Error> {
        let mut buffer = [0; 4096];
        let mut control = cmsg_space!(UnixCredentials);
        loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
            let received = recvmsg::<()>(
                self.socket.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                flags,
            );
            let message = match received {
                Err(nix::errno::Errno::EAGAIN) => return Ok(false),
                message => message?,
            };
            let is_from_it = message.cmsgs()?.any(|part| {
                matches!(part, ControlMessageOwned::ScmCredentials(sender) if may_speak_for(child, sender))
            });
            let length = message.bytes;
            if is_from_it
                && buffer[..length]
                    .split(|&byte| byte == b'\n')
                    .any(|line| line == b"READY=1")
            {
                return Ok(true);
            }
        }
    }
}

fn may_speak_for(child: Pid, sender: UnixCredentials) -> bool {
    let users = [0, geteuid().as_raw()];
    let owner = || fs::metadata(format!("/proc/{child}")).map(|process| process.uid());
    sender.pid() == child.as_raw()
        || users.contains(&sender.uid())
        || owner().is_ok_and(|owner| owner == sender.uid())
}

/// Ends the child, which is ours and so keeps its PID until it is waited for, and its session.
fn end(child: Pid) -> Result<(), io::Error> {
    let deadline = Instant::now() + GRACE;
    let send = |signal| killpg(child, signal).or_else(|_| kill(child, signal));
    send(Signal::SIGTERM)?;
    while ended_with(child)?.is_none() {
        if Instant::now() >= deadline {
            send(Signal::SIGKILL)?;
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// The status of the child, once it has ended.
fn ended_with(child: Pid) -> Result<Option<Status>, io::Error> {
    Ok(match waitpid(child, Some(WaitPidFlag::WNOHANG))? {
        WaitStatus::Exited(_, code) => {
            Some(Status::from_code(u8::try_from(code).unwrap_or(u8::MAX)))
        }
        WaitStatus::Signaled(_, signal, _) => Some(Status::from_signal(signal as i32)),
        _ => None,
    })
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotReady::InTime(limit) => write!(
                f,
                "the command was not ready within {limit:?}, and was ended"
            ),
            NotReady::Ended => f.write_str("the command ended before it was ready"),
        }
    }
}

impl std::error::Error for NotReady {}

impl HasErrno for NotReady {
    fn errno(&self) -> Errno {
        match self {
            NotReady::InTime(_) => Errno::ETIMEDOUT,
            NotReady::Ended => Errno::ESRCH,
        }
    }
}
