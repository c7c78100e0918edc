//! The process tree below this process, as `/proc` shows it.
//!
//! The process that asks is a child subreaper, so that whatever its descendants orphan stays below it.

use std::{
    collections::HashSet,
    fs,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, SysconfVar, getpid, getsid, sysconf},
};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

use super::boottime;

/// How often a tree is looked through again while it is being ended.
pub(crate) const AGAIN: Duration = Duration::from_millis(100);

/// A process that cannot be mistaken for a later one with the same ID: the ID, and when it started (in clock ticks since boot).
type Identity = (i32, u64);

/// Who has been asked to end.
pub(crate) struct Asked {
    since: u64,
    done: HashSet<Identity>,
}

/// A process below this one.
struct Descendant {
    identity: Identity,
    /// Nobody is between it and this process.
    is_child: bool,
}

/// What `proc_pid_stat(5)` says about a process.
struct Stat {
    state: u8,
    parent: i32,
    started: u64,
}

impl Asked {
    /// Nobody yet.
    pub(crate) fn new() -> Self {
        Self {
            since: ticks(boottime()),
            done: HashSet::new(),
        }
    }

    /// Sends the signal once to every descendant; to be called again as long as some are left, since who is orphaned meanwhile can be overlooked.
    ///
    /// Who has started after the first were asked may be a reaction, such as the clean-up in a shell's trap, and is left to its parent as
    /// long as that one lives. An orphan may be one that was forked in the moment before its parent died of the signal.
    pub(crate) fn ask(&mut self, signal: Signal) {
        loop {
            let new = self.not_yet(descendants());
            if new.is_empty() {
                return;
            }
            for process in new {
                send(process, signal);
            }
        }
    }

    fn not_yet(&mut self, found: Vec<Descendant>) -> Vec<Identity> {
        let first = self.done.is_empty();
        let asked = |it: &Descendant| first || it.is_child || it.identity.1 < self.since;
        let mut found: Vec<_> = found.into_iter().filter(asked).collect();
        found.retain(|it| self.done.insert(it.identity));
        found.into_iter().map(|it| it.identity).collect()
    }
}

/// Kills every descendant; looks again until there is no new one.
pub(crate) fn kill_all() {
    let mut done = HashSet::new();
    loop {
        let mut new = descendants();
        new.retain(|process| done.insert(process.identity));
        if new.is_empty() {
            return;
        }
        for process in new {
            send(process.identity, Signal::SIGKILL);
        }
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
    let ours = getsid(None).ok();
    for pid in children_of(getpid().as_raw()) {
        let process = Pid::from_raw(pid);
        if stat(pid).is_some_and(|stat| stat.state == b'Z') && getsid(Some(process)).ok() != ours {
            let _ = waitpid(process, Some(WaitPidFlag::WNOHANG));
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

/// Sleeps until a child ends, or for this long. Who becomes a child meanwhile is not looked at: the next round does.
pub(crate) fn await_child(longest: Duration) {
    let children = children_of(getpid().as_raw());
    let children: Vec<_> = children.into_iter().filter_map(open).collect();
    let mut polled: Vec<_> = children
        .iter()
        .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN))
        .collect();
    let millis = u16::try_from(longest.as_millis()).unwrap_or(u16::MAX);
    let _ = poll(&mut polled, PollTimeout::from(millis));
}

/// Parents come before their children.
fn descendants() -> Vec<Descendant> {
    let this = getpid().as_raw();
    let mut found = Vec::new();
    let mut below = vec![this];
    while let Some(parent) = below.pop() {
        for child in children_of(parent) {
            if let Some(stat) = stat(child) {
                found.push(Descendant {
                    identity: (child, stat.started),
                    is_child: stat.parent == this,
                });
                below.push(child);
            }
        }
    }
    found
}

fn children_of(parent: i32) -> Vec<i32> {
    listed_children(parent).unwrap_or_else(|| searched_children(parent))
}

/// From `proc_tid_children(5)`, which kernels may be built without; none then.
fn listed_children(parent: i32) -> Option<Vec<i32>> {
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{parent}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        match fs::read_to_string(task.path().join("children")) {
            Ok(list) => children.extend(
                list.split_whitespace()
                    .filter_map(|pid| pid.parse::<i32>().ok()),
            ),
            // The thread has ended, or there is no such file at all.
            Err(_) if Path::new("/proc/thread-self/children").exists() => {}
            Err(_) => return None,
        }
    }
    Some(children)
}

fn searched_children(parent: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == parent))
        .collect()
}

/// The name in parentheses may contain anything, so the fields are counted from its end.
fn stat(pid: i32) -> Option<Stat> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 2..)?).ok()?;
    let fields: Vec<_> = rest.split(' ').collect();
    Some(Stat {
        state: *fields.first()?.as_bytes().first()?,
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// In the unit of a process's start, `sysconf(3)`.
fn ticks(time: Duration) -> u64 {
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    let per_second = per_second
        .and_then(|ticks| u32::try_from(ticks).ok())
        .unwrap_or(100);
    (time * per_second).as_secs()
}

fn open(pid: i32) -> Option<OwnedFd> {
    pidfd_open(rustix::process::Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// The descriptor is opened first and the start compared then, so that no process that got the same ID is hit. Where a filter forbids
/// pidfds, what is left is the ID alone, the moment after the comparison. A stopped process is continued, since it could not act on
/// the signal otherwise.
fn send((pid, started): Identity, signal: Signal) {
    let process = open(pid);
    if stat(pid).is_none_or(|stat| stat.started != started) {
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

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Child, Command, Stdio},
    };

    use super::*;

    /// A shell that has said something, and has an end of a pipe to read from.
    fn ready_shell(script: &str) -> Child {
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(shell.stdout.take().unwrap());
        said.read_line(&mut String::new()).unwrap();
        shell
    }

    #[test]
    fn who_comes_later_is_asked_only_as_an_orphan() {
        let found = |identities: &[Identity], is_child| -> Vec<_> {
            let found = |identity: &Identity| Descendant {
                identity: *identity,
                is_child,
            };
            identities.iter().map(found).collect()
        };
        let mut asked = Asked {
            since: 100,
            done: HashSet::new(),
        };
        let mut below = |identities: &[Identity]| asked.not_yet(found(identities, false));
        // The command may have been started in this very tick.
        assert_eq!(below(&[(1, 90), (2, 100)]), [(1, 90), (2, 100)]);
        let later = [(1, 90), (2, 100), (3, 99), (4, 100), (5, 101)];
        assert_eq!(below(&later), [(3, 99)]);
        // Another process with an ID that was there before.
        assert_eq!(below(&[(1, 95)]), [(1, 95)]);
        assert_eq!(below(&[(1, 95)]), []);
        let mut orphans = |identities: &[Identity]| asked.not_yet(found(identities, true));
        assert_eq!(orphans(&later), [(4, 100), (5, 101)]);
        assert_eq!(orphans(&later), []);
    }

    #[test]
    fn the_list_and_the_search_find_the_same_children() {
        let mut shell = ready_shell("sleep 1000 & sleep 1000 & echo ready; wait");
        let pid = i32::try_from(shell.id()).unwrap();
        let sorted = |mut pids: Vec<i32>| {
            pids.sort_unstable();
            pids
        };
        let searched = sorted(searched_children(pid));
        assert_eq!(searched.len(), 2);
        if let Some(listed) = listed_children(pid) {
            assert_eq!(sorted(listed), searched);
        }
        assert!(children_of(getpid().as_raw()).contains(&pid));
        let all = descendants();
        for child in searched.into_iter().chain([pid]) {
            assert!(all.iter().any(|found| found.identity.0 == child));
            kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
        }
        shell.wait().unwrap();
    }

    #[test]
    fn starts_and_the_clock_have_the_same_unit() {
        let before = ticks(boottime());
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let started = stat(i32::try_from(child.id()).unwrap()).unwrap().started;
        let after = ticks(boottime());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            (before..=after).contains(&started),
            "{before} {started} {after}"
        );
    }
}
