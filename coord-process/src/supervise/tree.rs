//! The process tree below this process, as `/proc` shows it.
//!
//! The calling process is a child subreaper, so everything that its descendants orphan stays below
//! it.

use std::{
    cell::OnceCell,
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::Duration,
};

use nix::{
    libc,
    unistd::{SysconfVar, getpid, sysconf},
};
use rustix::process::{PidfdFlags, pidfd_open};

use super::{boottime, title::GUARD};
use crate::process::{self, send_by_pidfd};

/// Identifies a process even if a later one gets the same ID: the ID and the start time in clock
/// ticks since boot.
pub(crate) type Identity = (i32, u64);

/// A process below this one.
#[derive(Debug)]
pub(crate) struct Descendant {
    pub(crate) identity: Identity,
    /// Opened before we read the process's status, so it belongs to the process that we found.
    pub(crate) pidfd: Option<OwnedFd>,
    /// It is a direct child of this process.
    pub(crate) is_child: bool,
    /// It is another supervisor's guard. Its client passes signals on to it.
    pub(crate) is_guard: bool,
}

/// A walk down the tree. Parents come before their children, and a process's children are listed
/// before the process is returned.
pub(crate) struct Walk {
    this: i32,
    children: Children,
    /// The processes still to visit, with their parents.
    ahead: Vec<(i32, i32)>,
    /// Whether to skip everything below another guard.
    around_guards: bool,
}

/// Finds the children of processes.
pub(crate) struct Children {
    /// All of `/proc` by parent, for kernels without `proc_tid_children(5)`; read on first use.
    swept: OnceCell<HashMap<i32, Vec<i32>>>,
}

/// What `proc_pid_stat(5)` says about a process.
struct Stat {
    name: Vec<u8>,
    state: u8,
    parent: i32,
    threads: u32,
    started: u64,
}

impl Stat {
    /// A process whose first thread has exited looks dead, but may have other threads.
    fn is_dead(&self) -> bool {
        self.state == b'Z' && self.threads <= 1
    }
}

impl Walk {
    /// Everything below this process.
    pub(crate) fn everywhere() -> Self {
        Self::new(false)
    }

    /// Everything that is not below another guard.
    pub(crate) fn around_guards() -> Self {
        Self::new(true)
    }

    fn new(around_guards: bool) -> Self {
        let (this, children) = (getpid().as_raw(), Children::new());
        let first = children.of(this, None).into_iter();
        Self {
            this,
            ahead: first.map(|child| (child, this)).collect(),
            children,
            around_guards,
        }
    }

    /// Returns `None` if the process has ended, or if its ID or parent has changed. The next walk
    /// finds it in its new place.
    fn look(&mut self, pid: i32, parent: i32) -> Option<Descendant> {
        // Only we can reap our child, so its ID stays its own.
        let pidfd = if parent == self.this { None } else { open(pid) };
        let stat = stat(pid).filter(|stat| !stat.is_dead())?;
        if stat.parent != parent && stat.parent != self.this {
            return None;
        }
        let is_guard = stat.name == GUARD.as_bytes();
        if !(is_guard && self.around_guards) {
            let below = self.children.of(pid, Some(stat.threads)).into_iter();
            self.ahead.extend(below.map(|child| (child, pid)));
        }
        Some(Descendant {
            identity: (pid, stat.started),
            pidfd,
            is_child: stat.parent == self.this,
            is_guard,
        })
    }
}

impl Iterator for Walk {
    type Item = Descendant;

    fn next(&mut self) -> Option<Descendant> {
        while let Some((pid, parent)) = self.ahead.pop() {
            if let Some(found) = self.look(pid, parent) {
                return Some(found);
            }
        }
        None
    }
}

impl Descendant {
    /// Sends a signal. Unless it is KILL, also continues the process, since a stopped process could
    /// not act on the signal.
    pub(crate) fn send(&self, signal: i32) {
        let (pid, started) = self.identity;
        let same = || stat(pid).is_some_and(|stat| stat.started == started);
        if self.pidfd.is_some() || self.is_child || same() {
            send(pid, self.pidfd.as_ref(), signal);
            if signal != libc::SIGKILL {
                send(pid, self.pidfd.as_ref(), libc::SIGCONT);
            }
        }
    }

    pub(crate) fn kill(&self) {
        self.send(libc::SIGKILL);
    }
}

impl Children {
    pub(crate) fn new() -> Self {
        Self {
            swept: OnceCell::new(),
        }
    }

    /// The children of a process; `threads` is its number of threads, if known.
    pub(crate) fn of(&self, parent: i32, threads: Option<u32>) -> Vec<i32> {
        self.listed(parent, threads)
            .unwrap_or_else(|| self.searched(parent))
    }

    /// Uses `proc_tid_children(5)`. Returns `None` if the kernel was built without it.
    fn listed(&self, parent: i32, threads: Option<u32>) -> Option<Vec<i32>> {
        if self.swept.get().is_some() {
            return None;
        }
        if threads == Some(1) {
            return children_of_thread(parent, parent);
        }
        let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter();
        let tasks = tasks.flatten().flatten();
        let tasks = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
        let mut children = Vec::new();
        for task in tasks {
            children.extend(children_of_thread(parent, task)?);
        }
        Some(children)
    }

    fn searched(&self, parent: i32) -> Vec<i32> {
        let swept = self.swept.get_or_init(sweep);
        swept.get(&parent).cloned().unwrap_or_default()
    }
}

/// The children of this process, if the kernel lists them. Their IDs stay valid until this process
/// reaps them.
pub(crate) fn own_children() -> Vec<i32> {
    let listed = Children::new().listed(getpid().as_raw(), None);
    listed.unwrap_or_default()
}

/// Checks that processes can be found here with the descriptors that are left.
///
/// # Errors
/// Those of reading `/proc`.
pub(crate) fn check() -> io::Result<()> {
    let own = getpid();
    fs::read_dir(format!("/proc/{own}/task"))?.count();
    fs::read(format!("/proc/{own}/stat"))?;
    Ok(())
}

pub(crate) fn is_zombie(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| stat.is_dead())
}

/// Whether all children of this process are dead, so that nothing is left below it. One walk cannot
/// tell: if a child dies meanwhile, its children become ours after we have read our list.
pub(crate) fn is_all_dead() -> bool {
    let children = || Children::new().of(getpid().as_raw(), None);
    let dead = children();
    dead.iter().all(|child| is_zombie(*child))
        && children().iter().all(|child| dead.contains(child))
}

/// Whether a process is stopped, by a signal or by its tracer.
pub(crate) fn is_stopped(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| matches!(stat.state, b'T' | b't'))
}

/// Returns `None` if the kernel or a filter has no pidfds, and for a process that has ended.
pub(crate) fn open(pid: i32) -> Option<OwnedFd> {
    pidfd_open(rustix::process::Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// Sends a signal by the pidfd, or by the ID if there is no pidfd or a filter refuses it. The
/// caller knows that the ID still belongs to the process.
pub(crate) fn send(pid: i32, pidfd: Option<&OwnedFd>, signal: i32) {
    let sent = pidfd.is_some_and(|pidfd| {
        let sent = send_by_pidfd(pidfd.as_fd(), signal, 0);
        sent.is_ok() || sent.is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH))
    });
    if !sent {
        let _ = process::kill(pid, signal);
    }
}

/// The current time, in the unit of a process's start time, `sysconf(3)`.
pub(crate) fn ticks_now() -> u64 {
    ticks(boottime())
}

fn ticks(time: Duration) -> u64 {
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    let per_second = per_second
        .and_then(|ticks| u32::try_from(ticks).ok())
        .unwrap_or(100);
    (time * per_second).as_secs()
}

fn children_of_thread(process: i32, thread: i32) -> Option<Vec<i32>> {
    match read(format!("/proc/{process}/task/{thread}/children")) {
        Ok(list) => Some(
            String::from_utf8_lossy(&list)
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect(),
        ),
        // The thread has ended, or the kernel has no such file at all.
        Err(_) if Path::new("/proc/thread-self/children").exists() => Some(Vec::new()),
        Err(_) => None,
    }
}

fn sweep() -> HashMap<i32, Vec<i32>> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    children
}

/// Reads a file of `/proc`. [`fs::read`] would first ask for its size, which `/proc` does not
/// report.
fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(512);
    File::open(path)?.take(u64::MAX).read_to_end(&mut text)?;
    Ok(text)
}

/// Counts the fields from the end of the name, since the name in parentheses may contain anything.
fn stat(pid: i32) -> Option<Stat> {
    let stat = read(format!("/proc/{pid}/stat")).ok()?;
    let start = stat.iter().position(|byte| *byte == b'(')?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 2..)?).ok()?;
    let fields: Vec<_> = rest.split(' ').collect();
    Some(Stat {
        name: stat.get(start + 1..end)?.to_vec(),
        state: *fields.first()?.as_bytes().first()?,
        parent: fields.get(1)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests;
