//! Leaders that stop before their system calls, or are killed there.

use std::{
    fs, io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use nix::{
    libc,
    sys::{
        ptrace,
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
};
use rustix::fs::listxattr;
use tempfile::{TempDir, tempdir};
use testkit::refusal::{Call, refuse};

use crate::{Process, TMPFILE, eventually, exitdir, run, sleeps, unique};

/// The attribute of the directory that names its leader.
pub(crate) const LEADER: &str = "user.exitdir.leader";

/// The calls with which leaders keep each other out, and the one with which the next leader begins
/// to remove what it no longer needs.
pub(crate) const CALLS: [libc::c_long; 4] = [
    libc::SYS_flock,
    libc::SYS_fgetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_flistxattr,
];

/// Those that others see.
pub(crate) const CHANGES: [libc::c_long; 2] = [libc::SYS_fsetxattr, libc::SYS_flistxattr];

/// A leader that is traced. It does not outlive its test.
pub(crate) struct Traced {
    process: Process,
    /// The argument of its command `sleep`.
    sleep: String,
    /// It has begun a system call, and not ended it.
    is_inside: bool,
    /// Its status, if it has ended.
    ended: Option<i32>,
}

impl Traced {
    /// Starts a leader that stops as soon as it is executed.
    pub(crate) fn start(dir: &Path, has_file: bool) -> Self {
        let sleep = unique();
        let mut command = exitdir(dir, &["lead", "--clear", "--", "sleep", &sleep]);
        command.stderr(Stdio::null());
        if !has_file {
            refuse_nameless(&mut command);
        }
        // SAFETY: this only makes one system call, and touches no memory.
        unsafe { command.pre_exec(|| ptrace::traceme().map_err(io::Error::from)) };
        let process = Process(command.spawn().unwrap());
        waitpid(process.pid(), None).unwrap();
        Self {
            process,
            sleep,
            is_inside: false,
            ended: None,
        }
    }

    /// Lets it go on to the next of these calls, and returns its number. `None` if it ends before.
    pub(crate) fn next_call(&mut self, calls: &[libc::c_long]) -> Option<libc::c_long> {
        let (pid, mut signal) = (self.process.pid(), None);
        while self.ended.is_none() {
            ptrace::syscall(pid, signal).unwrap();
            signal = match waitpid(pid, None).unwrap() {
                WaitStatus::Stopped(_, Signal::SIGTRAP) => None,
                WaitStatus::Stopped(_, signal) => Some(signal),
                WaitStatus::Exited(_, status) => {
                    self.ended = Some(status);
                    break;
                }
                other => panic!("{other:?}"),
            };
            self.is_inside ^= signal.is_none();
            let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap();
            let number = call.split(' ').next().unwrap().parse().unwrap_or(-1);
            if signal.is_none() && self.is_inside && calls.contains(&number) {
                return Some(number);
            }
        }
        None
    }

    /// Lets it go on to the given number of these calls. Returns false if it leads or ends before.
    pub(crate) fn reaches(&mut self, calls: &[libc::c_long], times: usize) -> bool {
        for begun in 1..=times {
            match self.next_call(calls) {
                None => return false,
                Some(libc::SYS_flistxattr) => return begun == times,
                Some(_) => {}
            }
        }
        true
    }

    /// Lets it go on to the end. Returns whether it leads.
    pub(crate) fn leads(&mut self) -> bool {
        if self.ended.is_none() {
            ptrace::detach(self.process.pid(), None).unwrap();
            eventually("it leads or is refused", || {
                self.ended = self
                    .process
                    .0
                    .try_wait()
                    .unwrap()
                    .and_then(|status| status.code());
                self.ended.is_some() || sleeps(&self.sleep)
            });
        }
        assert!(
            self.ended.is_none_or(|status| status == 125),
            "{:?}",
            self.ended
        );
        self.ended.is_none()
    }
}

pub(crate) fn refuse_nameless(command: &mut Command) -> &mut Command {
    refuse(
        command,
        Call::with_bits(libc::SYS_openat, 2, TMPFILE),
        libc::EOPNOTSUPP,
    )
}

/// A directory that had no leader, or whose last leader has died.
pub(crate) fn directory(is_used: bool) -> TempDir {
    let dir = tempdir().unwrap();
    if is_used {
        assert_eq!(run(dir.path(), &["lead", "--", "true"]).0, Some(0));
    }
    dir
}

/// The attributes that exitdir has set.
pub(crate) fn attributes(dir: &Path) -> Vec<String> {
    let mut names = [0; 4096];
    let length = listxattr(dir, &mut names[..]).unwrap();
    let names = String::from_utf8_lossy(&names[..length]).into_owned();
    let names = names.split_terminator('\0').map(str::to_owned);
    names
        .filter(|name| name.starts_with("user.exitdir."))
        .collect()
}
