//! What tells a process from a later one with the same PID, and the file beside the pidfile that keeps it.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::libc;

use crate::{Pid, process::Process, procfs};

/// Tells a process from every other one that has had, or will have, its PID.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The inode of its pidfd, which no other process of this boot has: `pidfd_open(2)`, of Linux 6.9. None where the
    /// kernel is older, or not of 64 bits; the start time has to do then.
    pub pidfd: Option<u64>,
    /// Clock ticks from boot to the start of the process, field 22 of `/proc/PID/stat`.
    pub start: u64,
    /// The boot it belongs to, `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// The inode of the PID namespace in which its PID counts, `pid_namespaces(7)`.
    pub namespace: u64,
}

impl Identity {
    /// None where `/proc` does not show the process.
    pub(crate) fn of(process: &Process) -> Option<Self> {
        Some(Self {
            pidfd: process.inode(),
            start: process.start()?,
            boot: procfs::boot_id()?,
            namespace: procfs::namespace(None)?,
        })
    }

    /// The process with this PID and identity, if it is still there.
    pub(crate) fn find(&self, pid: Pid) -> io::Result<Option<Process>> {
        if procfs::boot_id().is_some_and(|boot| boot != self.boot) {
            return Ok(None);
        }
        let ours = procfs::namespace(None);
        let pid = match ours {
            Some(ours) if ours == self.namespace => Some(pid),
            Some(procfs::INITIAL_NAMESPACE) => procfs::in_namespace(pid, self.namespace),
            // A container's own earlier life.
            Some(_) => None,
            None => Some(pid),
        };
        let process = pid.map(Process::find).transpose()?.flatten();
        Ok(process.filter(|process| self.is_of(process)))
    }

    /// What cannot be compared does not tell them apart.
    fn is_of(&self, process: &Process) -> bool {
        match (self.pidfd, process.inode()) {
            (Some(ours), Some(its)) => ours == its,
            _ => process.start().is_none_or(|start| start == self.start),
        }
    }
}

/// `.NAME.sipid` beside the pidfile NAME.
pub(crate) fn path_beside(pidfile: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(pidfile.file_name().unwrap_or_default());
    name.push(".sipid");
    pidfile.with_file_name(name)
}

/// Writes the identity, for the pidfile as it is now. A half-written one does not count.
pub(crate) fn write(path: &Path, pidfile: &File, pid: Pid, identity: &Identity) -> io::Result<()> {
    remove(path)?;
    let line = line(&pidfile.metadata()?, pid, identity);
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(line.as_bytes())
}

/// The identity, if it is there and was written for the pidfile as it is now.
pub(crate) fn read(path: &Path, pidfile: &fs::Metadata, pid: Pid) -> Option<Identity> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .ok()?;
    let metadata = file.metadata().ok()?;
    let trusted = [0, pidfile.uid(), nix::unistd::geteuid().as_raw()].contains(&metadata.uid());
    if !metadata.is_file() || !trusted {
        return None;
    }
    let mut text = String::new();
    file.take(1024).read_to_string(&mut text).ok()?;
    let identity = parse(&text)?;
    (line(pidfile, pid, &identity) == text).then_some(identity)
}

/// Removes the identity; none there is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn line(pidfile: &fs::Metadata, pid: Pid, identity: &Identity) -> String {
    let Identity {
        pidfd,
        start,
        boot,
        namespace,
    } = identity;
    let (inode, seconds, nanos) = (pidfile.ino(), pidfile.mtime(), pidfile.mtime_nsec());
    let pidfd = pidfd.map_or_else(String::new, |inode| format!(" pidfd={inode}"));
    format!(
        "pid={pid} inode={inode} mtime={seconds}.{nanos:09} start={start} pidns={namespace} boot={boot}{pidfd}\n"
    )
}

fn parse(text: &str) -> Option<Identity> {
    let line = text.strip_suffix('\n')?;
    let field = |name: &str| {
        line.split(' ')
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    Some(Identity {
        pidfd: field("pidfd").map(str::parse).transpose().ok()?,
        start: field("start")?.parse().ok()?,
        boot: field("boot")?.to_owned(),
        namespace: field("pidns")?.parse().ok()?,
    })
}
