//! A process that is never confused with a later one with the same PID.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    thread,
    time::{Duration, Instant, SystemTime},
};

use coord_core::boottime;
#[cfg(target_pointer_width = "64")]
use nix::sys::{
    stat::fstat,
    statfs::{FsType, fstatfs},
};
use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{SysconfVar, sysconf},
};
use rustix::process as sys;

use crate::{Pid, procfs};

/// How often a process is checked if the kernel or a sandbox has no pidfds.
const FALLBACK_POLL: Duration = Duration::from_millis(10);

/// The type of the file system that holds pidfds since Linux 6.9, `PID_FS_MAGIC` of
/// `linux/magic.h`. Before that, all pidfds are one anonymous inode.
#[cfg(target_pointer_width = "64")]
const PIDFS: FsType = FsType(0x5049_4446);

/// The longest single poll, below the limit of `poll(2)`'s milliseconds.
const LONGEST_POLL: Duration = Duration::from_secs(60 * 60);

/// One process, never a later one with the same PID. It is identified by a pidfd, the pidfd's inode
/// and the process's start time, as far as the kernel and `/proc` provide them.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    start: Option<u64>,
    inode: Option<u64>,
    handle: Option<OwnedFd>,
}

impl Process {
    /// Finds the process with this PID. Returns `None` if there is none: a zombie counts as dead,
    /// and a thread is not a process.
    ///
    /// # Errors
    /// Those of `pidfd_open(2)` that do not mean that there is no such process, for example
    /// `EMFILE`.
    pub fn find(pid: Pid) -> io::Result<Option<Self>> {
        let handle = match sys::pidfd_open(raw(pid), sys::PidfdFlags::empty()) {
            Ok(handle) => Some(handle),
            // A sandbox that does not know the call returns EPERM, which the call itself never
            // does.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => None,
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self::with(pid, handle))
    }

    fn with(pid: Pid, handle: Option<OwnedFd>) -> Option<Self> {
        let start = procfs::is_ours()
            .then(|| procfs::stat(pid))
            .flatten()
            .map(|stat| stat.start);
        let inode = handle.as_ref().and_then(unique_inode);
        let process = Self {
            pid,
            start,
            inode,
            handle,
        };
        // It is alive after we read its start time, so the time belongs to this process.
        Some(process).filter(Self::is_alive)
    }

    /// Its PID. Another process may have it by now, unless this one [is alive](Self::is_alive).
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Clock ticks from boot to its start; `None` if `/proc` hides it.
    #[must_use]
    pub fn start(&self) -> Option<u64> {
        self.start
    }

    /// The inode of its pidfd; `None` where inodes are not unique to one process of this boot.
    #[must_use]
    pub fn inode(&self) -> Option<u64> {
        self.inode
    }

    /// When it started, by the wall clock as it is set now.
    #[must_use]
    pub fn began(&self) -> Option<SystemTime> {
        let ticks_a_second = sysconf(SysconfVar::CLK_TCK).ok().flatten()?;
        let millis = self.start?.checked_mul(1_000)? / u64::try_from(ticks_a_second).ok()?;
        let age = boottime().saturating_sub(Duration::from_millis(millis));
        SystemTime::now().checked_sub(age)
    }

    /// Its real, effective, saved and file system UID; `None` if `/proc` hides them.
    #[must_use]
    pub fn users(&self) -> Option<[u32; 4]> {
        let users = procfs::is_ours().then(|| procfs::users(self.pid)).flatten();
        // It is alive after we read them, so they belong to this process.
        users.filter(|_| self.is_alive())
    }

    /// Whether any of its threads is alive. A zombie counts as dead.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        match &self.handle {
            Some(handle) => !readable(handle, Duration::ZERO),
            None => self.is_alive_by_number(),
        }
    }

    /// EPERM means alive: the process exists, but we may not signal it.
    fn is_alive_by_number(&self) -> bool {
        let exists = !matches!(
            sys::test_kill_process(raw(self.pid)),
            Err(rustix::io::Errno::SRCH)
        );
        let unchanged = match (self.start, procfs::stat(self.pid)) {
            (Some(start), Some(now)) => now.start == start && !now.is_dead(),
            (Some(_), None) => false,
            (None, _) => true,
        };
        exists && unchanged
    }

    /// Sends the signal with this number. If the process has ended, it sends nothing and returns
    /// false.
    ///
    /// # Errors
    /// Those of `pidfd_send_signal(2)` and `kill(2)`: `EPERM` without the right to signal it,
    /// `EINVAL` for a number that is not a signal.
    pub fn send(&self, signal: i32) -> io::Result<bool> {
        let by_handle = self
            .handle
            .as_ref()
            .map(|handle| send_by_pidfd(handle.as_fd(), signal, 0));
        let sent = match by_handle {
            Some(Ok(())) => Ok(()),
            // Without pidfds, or if a sandbox refuses only this call, another process may get the
            // PID between this check and the signal.
            _ if !self.is_alive() => return Ok(false),
            _ => kill(self.pid.raw(), signal),
        };
        match sent {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether it is stopped. A stopped process handles its signals only when it continues.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        procfs::stat(self.pid).is_some_and(|stat| match stat.state {
            'T' => true,
            'Z' => procfs::has_stopped_thread(self.pid),
            _ => false,
        })
    }

    /// Waits until the process has ended, or until the deadline. Returns true if it has ended.
    #[must_use]
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        while self.is_alive() {
            let left = deadline.map_or(LONGEST_POLL, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return false;
            }
            match &self.handle {
                Some(handle) => {
                    readable(handle, left);
                }
                None => thread::sleep(left.min(FALLBACK_POLL)),
            }
        }
        true
    }

    /// The descriptor to poll for its end, if the kernel has pidfds.
    #[must_use]
    pub fn handle(&self) -> Option<&OwnedFd> {
        self.handle.as_ref()
    }
}

/// The inode of a pidfd, if the kernel gives each process its own. Inodes of 32 bits are reused.
#[cfg_attr(
    not(target_pointer_width = "64"),
    expect(unused_variables, reason = "no inode is unique there")
)]
fn unique_inode(handle: &OwnedFd) -> Option<u64> {
    #[cfg(target_pointer_width = "64")]
    if fstatfs(handle).is_ok_and(|system| system.filesystem_type() == PIDFS) {
        return fstat(handle).ok().map(|file| file.st_ino);
    }
    None
}

/// A pidfd is readable once the whole process is dead, `pidfd_open(2)`.
fn readable(handle: &OwnedFd, wait: Duration) -> bool {
    // Rounded up, so that we do not spin during the last part of a millisecond.
    let wait = wait.min(LONGEST_POLL) + Duration::from_micros(999);
    let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
    let mut files = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut files, timeout), Ok(ready) if ready > 0)
}

/// `pidfd_send_signal(2)` with any signal number.
pub(crate) fn send_by_pidfd(pidfd: BorrowedFd<'_>, signal: i32, flags: u32) -> io::Result<()> {
    // SAFETY: no siginfo is passed, and the other arguments are numbers.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            flags,
        )
    };
    if sent == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `kill(2)` with any signal number.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: the arguments are numbers.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn raw(pid: Pid) -> sys::Pid {
    sys::Pid::from_raw(pid.raw()).expect("a Pid is never zero")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::sys::signal::Signal;

    use super::*;

    #[test]
    fn it_began_when_it_was_started() {
        let before = SystemTime::now();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let after = SystemTime::now();
        let process = Process::find(child.id().try_into().unwrap())
            .unwrap()
            .unwrap();
        let tick = Duration::from_millis(20);
        let began = process.began().unwrap();
        assert!(before - tick < began && began < after + tick, "{began:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn works_without_pidfds_too() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let process = Process::with(child.id().try_into().unwrap(), None).unwrap();
        assert!(!process.wait(Some(Instant::now() + Duration::from_millis(20))));
        assert!(process.send(Signal::SIGTERM as i32).unwrap());
        // It is a zombie until it is waited for, and a zombie counts as dead.
        assert!(process.wait(None));
        assert!(!process.send(Signal::SIGTERM as i32).unwrap());
        child.wait().unwrap();
        assert!(!process.is_alive());
    }

    /// The kernel reports such a process as a zombie, although its other threads are alive.
    #[test]
    fn a_process_whose_first_thread_has_exited_is_alive_without_pidfds_too() {
        // SAFETY: the child starts a thread and exits by a system call; the C library lets a forked
        // child do that.
        let child = match unsafe { nix::unistd::fork() }.unwrap() {
            nix::unistd::ForkResult::Parent { child } => child,
            nix::unistd::ForkResult::Child => {
                thread::spawn(|| thread::sleep(Duration::from_secs(1000)));
                // SAFETY: it ends only this thread, which owns nothing that the other one uses.
                unsafe { nix::libc::syscall(nix::libc::SYS_exit, 0) };
                unreachable!("the thread has ended");
            }
        };
        let pid: Pid = u32::try_from(child.as_raw()).unwrap().try_into().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while procfs::stat(pid).unwrap().state != 'Z' {
            assert!(Instant::now() < deadline, "its first thread has not exited");
            thread::sleep(Duration::from_millis(1));
        }
        let process = Process::with(pid, None).expect("it runs");
        assert!(process.is_alive() && !process.is_stopped());
        assert!(process.send(Signal::SIGSTOP as i32).unwrap());
        while !process.is_stopped() {
            assert!(Instant::now() < deadline, "it has not stopped");
            thread::sleep(Duration::from_millis(1));
        }
        assert!(process.send(Signal::SIGKILL as i32).unwrap());
        assert!(process.wait(Some(deadline)));
        nix::sys::wait::waitpid(child, None).unwrap();
    }

    #[test]
    fn its_descriptor_becomes_readable_when_it_has_ended() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let process = Process::find(child.id().try_into().unwrap());
        let process = process.unwrap().unwrap();
        let handle = process.handle().expect("the kernel has pidfds");
        assert!(!readable(handle, Duration::ZERO));
        assert!(process.send(libc::SIGKILL).unwrap());
        assert!(readable(handle, LONGEST_POLL));
        child.wait().unwrap();
        assert!(!process.send(libc::SIGKILL).unwrap());
    }

    /// Before Linux 6.9 all have the same one.
    #[test]
    fn it_has_an_inode_if_no_other_process_has_the_same() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let other: Pid = child.id().try_into().unwrap();
        let inodes = [Pid::own(), other].map(|pid| {
            let process = Process::find(pid).unwrap().unwrap();
            let file = nix::sys::stat::fstat(process.handle().unwrap()).unwrap();
            (process.inode(), file.st_ino)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let is_unique = cfg!(target_pointer_width = "64") && inodes[0].1 != inodes[1].1;
        for (inode, of_file) in inodes {
            assert_eq!(inode, is_unique.then_some(of_file));
        }
    }

    /// The start is by the wall clock, which nobody sets during the test, and exact to the kernel's
    /// tick.
    #[test]
    fn a_process_began_before_it_could_ask() {
        let (asked, tick) = (SystemTime::now(), Duration::from_millis(20));
        let process = Process::find(Pid::own()).unwrap().unwrap();
        while asked.elapsed().unwrap() < tick * 3 {
            std::thread::yield_now();
        }
        let began = process.began().unwrap();
        assert!(began < asked + tick, "{began:?} {asked:?}");
        let booted = SystemTime::now().checked_sub(boottime()).unwrap();
        assert!(began > booted - tick);
    }
}
