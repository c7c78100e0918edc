//! Children that have ended or stopped, whatever the signal.
//!
//! By `waitpid(2)` itself: nix refuses a status whose signal it cannot name, such as a real-time one, after the child has been reaped.

use std::{
    io,
    os::fd::AsFd,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{Pid, getpid, getsid},
};

use super::{
    Exit,
    tree::{self, Children},
};

/// So many children are waited for at once; the next round looks at the others.
const WATCHED: usize = 64;

/// What one look at the children found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaped {
    /// This process has ended, and its ID is free.
    Ended(i32, Exit),
    /// This process was stopped by this signal.
    Stopped(i32, i32),
    /// No child has anything to tell.
    Nothing,
    /// There is no child.
    NoChild,
}

/// Looks at one child, and does not wait.
///
/// # Errors
/// Those of `waitpid(2)` but `ECHILD`, which is [`Reaped::NoChild`].
pub(crate) fn next() -> io::Result<Reaped> {
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::__WALL;
    let mut status = 0;
    loop {
        // SAFETY: `status` is a valid place for the answer.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
        match (pid, Errno::last()) {
            (0, _) => return Ok(Reaped::Nothing),
            (-1, Errno::ECHILD) => return Ok(Reaped::NoChild),
            (-1, Errno::EINTR) => {}
            (-1, error) => return Err(error.into()),
            (pid, _) => return Ok(decode(pid, status)),
        }
    }
}

/// Reaps every child that has ended; false when no child is left.
pub(crate) fn all() -> bool {
    loop {
        match next() {
            Ok(Reaped::NoChild) => return false,
            Ok(Reaped::Ended(..) | Reaped::Stopped(..)) => {}
            // An error says nothing about the children.
            Ok(Reaped::Nothing) | Err(_) => return true,
        }
    }
}

/// Session leaders that were dead when strangers were looked for last.
static DEAD_LEADERS: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Reaps the zombies that PID 1 has inherited from other sessions, such as those of `docker exec`. To be called on each SIGCHLD.
///
/// Children of this session are the program's own, and are waited for where they were started. The leader of another session may be
/// one too, that was started apart from our terminal: it is reaped only if it is still dead when the next child ends.
pub fn strangers() {
    let ours = getsid(None).ok();
    let mut dead_leaders = DEAD_LEADERS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut leaders = Vec::new();
    for pid in Children::new().of(getpid().as_raw(), None) {
        let session = getsid(Some(Pid::from_raw(pid))).ok();
        if !tree::is_zombie(pid) || session == ours {
            continue;
        }
        if session == Some(Pid::from_raw(pid)) && !dead_leaders.contains(&pid) {
            leaders.push(pid);
            continue;
        }
        // SAFETY: no status is asked for.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
    }
    *dead_leaders = leaders;
}

/// Sleeps until a child ends, or for this long. Who becomes a child meanwhile is not looked at: the
/// next round does. Nor is who is dead already, and kept by its tracer.
pub(crate) fn await_child(longest: Duration) {
    let children = Children::new().of(getpid().as_raw(), None).into_iter();
    let alive = children.filter(|child| !tree::is_zombie(*child));
    let children: Vec<_> = alive.filter_map(tree::open).take(WATCHED).collect();
    let mut polled: Vec<_> = children
        .iter()
        .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN))
        .collect();
    let millis = u16::try_from(longest.as_millis()).unwrap_or(u16::MAX);
    let _ = poll(&mut polled, PollTimeout::from(millis));
}

fn decode(pid: i32, status: i32) -> Reaped {
    if libc::WIFSTOPPED(status) {
        Reaped::Stopped(pid, libc::WSTOPSIG(status))
    } else {
        Reaped::Ended(pid, exit(status))
    }
}

/// The status of a process that has ended.
pub(crate) fn exit(status: i32) -> Exit {
    if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status).to_le_bytes()[0])
    }
}
