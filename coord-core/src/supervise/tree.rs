//! The process tree below this process, as `/proc` shows it.
//!
//! The process that asks is a child subreaper, so that whatever its descendants orphan stays below it.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getpid, getsid},
};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

/// How often a tree is looked through again while it is being ended.
pub(crate) const AGAIN: Duration = Duration::from_millis(100);

/// A process that cannot be mistaken for a later one with the same ID: the ID, and when it started (in clock ticks since boot).
pub(crate) type Identity = (i32, u64);

struct Process {
    parent: i32,
    state: u8,
    started: u64,
}

/// Sends a signal to every descendant that `done` does not name yet, and notes it there; looks again until there is no new one.
/// A stopped process is continued, since it could not act on the signal otherwise.
pub(crate) fn signal_all(signal: Signal, done: &mut HashSet<Identity>) {
    loop {
        let new: Vec<_> = descendants()
            .into_iter()
            .filter(|process| done.insert(*process))
            .collect();
        if new.is_empty() {
            return;
        }
        for process in new {
            send(process, signal);
        }
    }
}

/// Sends a signal to this child, which has not been reaped, before the search for the others begins.
pub(crate) fn signal_child(child: Pid, signal: Signal, done: &mut HashSet<Identity>) {
    if let Some(process) = look(child.as_raw()) {
        done.insert((child.as_raw(), process.started));
        send((child.as_raw(), process.started), signal);
    }
}

/// Reaps one child that has something to tell; none when no child has, an error (`ECHILD`) when there is no child.
pub(crate) fn reap() -> nix::Result<Option<WaitStatus>> {
    let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED | WaitPidFlag::__WALL;
    loop {
        match waitpid(None, Some(flags)) {
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Err(Errno::EINTR) => {}
            other => return other.map(Some),
        }
    }
}

/// Reaps the zombies that PID 1 has inherited from other sessions, such as those of `docker exec`. Children of this session are
/// the program's own, and are waited for where they were started.
pub(crate) fn reap_strangers() {
    let us = getpid();
    let ours = getsid(None).ok();
    for (pid, process) in processes() {
        let pid = Pid::from_raw(pid);
        if process.parent == us.as_raw() && process.state == b'Z' && getsid(Some(pid)).ok() != ours
        {
            let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// Reaps every child that has ended; false when no child is left.
pub(crate) fn reap_all() -> bool {
    loop {
        match reap() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Sleeps until a child ends, or for this long. Who is a child by then was not looked at: the next round does.
pub(crate) fn await_child(longest: Duration) {
    let us = getpid().as_raw();
    let children = processes()
        .into_iter()
        .filter(|(_, process)| process.parent == us);
    let children: Vec<_> = children.filter_map(|(pid, _)| open(pid)).collect();
    let mut polled: Vec<_> = children
        .iter()
        .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN))
        .collect();
    let millis = u16::try_from(longest.as_millis()).unwrap_or(u16::MAX);
    let _ = poll(&mut polled, PollTimeout::from(millis));
}

fn descendants() -> Vec<Identity> {
    let all = processes();
    let mut below = vec![getpid().as_raw()];
    let mut found = Vec::new();
    while let Some(parent) = below.pop() {
        for (pid, process) in all.iter().filter(|(_, process)| process.parent == parent) {
            below.push(*pid);
            found.push((*pid, process.started));
        }
    }
    found
}

fn processes() -> HashMap<i32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, look(pid)?))).collect()
}

/// `proc_pid_stat(5)`: the name in parentheses may contain anything, so the fields are counted from its end.
fn look(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 2..)?).ok()?;
    let fields: Vec<_> = rest.split(' ').collect();
    Some(Process {
        state: *fields.first()?.as_bytes().first()?,
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

fn open(pid: i32) -> Option<OwnedFd> {
    pidfd_open(rustix::process::Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// The descriptor is opened first and the start compared then, so that no process that got the same ID is hit.
/// Where a filter forbids pidfds, what is left is the ID alone, the moment after the comparison.
fn send((pid, started): Identity, signal: Signal) {
    let process = open(pid);
    if look(pid).is_none_or(|process| process.started != started) {
        return;
    }
    let Some(process) = process else {
        let _ = kill(Pid::from_raw(pid), signal);
        let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
        return;
    };
    if let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32) {
        let _ = pidfd_send_signal(&process, signal);
        let _ = pidfd_send_signal(&process, rustix::process::Signal::CONT);
    }
}
