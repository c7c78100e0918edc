//! Reaps children that have ended or stopped, whatever the signal.
//!
//! Uses `waitpid(2)` itself. nix reaps the child and then rejects a status whose signal it cannot
//! name, such as a real-time one.

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

/// How many children are waited for at once; the next round takes the others.
const WATCHED: usize = 64;

/// The result of one check of the children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaped {
    /// This process has ended, and its ID is free.
    Ended(i32, Exit),
    /// This process was stopped by this signal.
    Stopped(i32, i32),
    /// No child has changed.
    Nothing,
    /// There is no child.
    NoChild,
}

/// Checks one child without waiting.
///
/// # Errors
/// Those of `waitpid(2)` except `ECHILD`, which is [`Reaped::NoChild`].
pub(crate) fn next() -> io::Result<Reaped> {
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::__WALL;
    let mut status = 0;
    loop {
        // SAFETY: `status` is a valid place for the result.
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

/// Reaps every child that has ended. Returns false when no child is left.
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

/// Session leaders that were already dead at the last call of `strangers`.
static DEAD_LEADERS: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Reaps the zombies that PID 1 has inherited from other sessions, such as those of `docker exec`.
/// Call it on each SIGCHLD.
///
/// Children in our session are the program's own, and whoever started them waits for them. The
/// leader of another session may also be our own child, started apart from our terminal. So it is
/// reaped only if it is still dead when the next child ends.
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
        // SAFETY: the call stores no status.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
    }
    *dead_leaders = leaders;
}

/// Sleeps until a child ends, or for this long. It ignores processes that become our children
/// meanwhile, since the next round sees them. It also ignores a dead process that its tracer has
/// not released.
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

#[cfg(test)]
mod tests {
    use std::{
        process::{Child, Command},
        time::Instant,
    };

    use nix::{
        libc::pid_t,
        sys::wait::{Id, WaitPidFlag, waitid},
    };
    use testkit::eventually;

    use super::*;
    use crate::supervise::alone::{alone, pid_of};

    /// A child that is dead, by a program that starts `true`.
    fn dead(program: &[&str]) -> Child {
        let child = Command::new(program[0])
            .args(&program[1..])
            .spawn()
            .unwrap();
        eventually("it is dead", || tree::is_zombie(pid_of(&child)));
        child
    }

    fn is_reaped(pid: pid_t) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(Pid::from_raw(pid)), flags).is_err()
    }

    /// The leader of another session may have been started by this program.
    #[test]
    fn only_strangers_are_reaped_and_who_leads_a_session_later() {
        alone(|| {
            let (own, leader) = (dead(&["true"]), dead(&["setsid", "true"]));
            strangers();
            assert!(!is_reaped(pid_of(&own)) && !is_reaped(pid_of(&leader)));
            strangers();
            assert!(!is_reaped(pid_of(&own)) && is_reaped(pid_of(&leader)));
        });
    }

    #[test]
    fn without_a_child_the_wait_is_as_long_as_it_may_be() {
        alone(|| {
            let (started, longest) = (Instant::now(), Duration::from_millis(20));
            await_child(longest);
            assert!(started.elapsed() >= longest);
        });
    }
}
