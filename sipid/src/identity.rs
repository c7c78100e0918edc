//! Distinguishes a process from a later one with the same PID, and keeps that identity in a file
//! beside the pidfile.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use nix::libc;

use crate::{Pid, file, trust};
use coord_process::{Process, procfs};

/// Longer than any identity, even with a name of 255 bytes that are all escaped.
const LONGEST: u64 = 2048;

/// Distinguishes a process from every earlier or later one with the same PID.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The inode of its pidfd, which is unique in this boot: `pidfd_open(2)`, Linux 6.9. `None` if
    /// the kernel is older, or not 64-bit; then the start time must do.
    pub pidfd: Option<u64>,
    /// Clock ticks from boot to the start of the process, field 22 of `/proc/PID/stat`.
    pub start: u64,
    /// The boot that it belongs to, `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// The inode of the PID namespace that its PID belongs to, `pid_namespaces(7)`.
    pub namespace: u64,
}

impl Identity {
    /// Returns `None` if `/proc` does not show the process.
    pub(crate) fn of(process: &Process) -> Option<Self> {
        Some(Self {
            pidfd: process.inode(),
            start: process.start()?,
            boot: procfs::boot_id()?,
            namespace: procfs::namespace(None)?,
        })
    }

    /// The process with this PID and identity, if it still exists.
    pub(crate) fn find(&self, pid: Pid) -> io::Result<Option<Process>> {
        let namespace = Namespace::of(self.namespace, procfs::namespace(None));
        let is_another = procfs::boot_id().is_some_and(|boot| boot != self.boot);
        if is_another && namespace != Namespace::Below {
            return Ok(None);
        }
        let pid = match namespace {
            Namespace::Ours => Some(pid),
            Namespace::Below => procfs::in_namespace(pid, self.namespace),
            // The identity is from an earlier life of this container.
            Namespace::Hidden => None,
        };
        let process = pid.map(Process::find).transpose()?.flatten();
        Ok(process.filter(|process| self.is_of(process)))
    }

    /// Values that cannot be compared count as equal, unless the boot seems to be another. A
    /// container may have its own boot ID; then the inode must match.
    fn is_of(&self, process: &Process) -> bool {
        let same_boot = procfs::boot_id().is_none_or(|boot| boot == self.boot);
        match (self.pidfd, process.inode()) {
            (Some(ours), Some(its)) => ours == its,
            _ => same_boot && process.start().is_none_or(|start| start == self.start),
        }
    }

    /// Whether it belongs to a PID namespace that we cannot see: another container's, or one of an
    /// earlier life of this container.
    pub(crate) fn is_elsewhere(&self) -> bool {
        Namespace::of(self.namespace, procfs::namespace(None)) == Namespace::Hidden
            && procfs::boot_id().is_some_and(|boot| boot == self.boot)
    }

    /// Whether a process with this start time and pidfd can be told from another by anything.
    pub(crate) fn can_tell(&self, start: Option<u64>, pidfd: Option<u64>) -> bool {
        start.is_some() || self.pidfd.is_some() && pidfd.is_some()
    }
}

/// A PID namespace, as seen from ours.
#[derive(Debug, PartialEq, Eq)]
enum Namespace {
    /// It is ours, as far as is known.
    Ours,
    /// A container's, as seen from the machine: its processes have other PIDs here.
    Below,
    /// Its processes have no PIDs here.
    Hidden,
}

impl Namespace {
    fn of(theirs: u64, ours: Option<u64>) -> Self {
        match ours {
            Some(ours) if ours == theirs => Self::Ours,
            Some(procfs::INITIAL_NAMESPACE) => Self::Below,
            Some(_) => Self::Hidden,
            None => Self::Ours,
        }
    }
}

/// An identity that was read from the file beside a pidfile.
pub(crate) struct Kept {
    pub(crate) identity: Identity,
    /// Only root or the caller can have written it, for a pidfile of this name in this directory.
    /// So it is proof, whoever may write in the directory.
    pub(crate) is_proof: bool,
}

/// The path of the identity of pidfile NAME: `.NAME.sipid` beside it.
pub(crate) fn path_beside(pidfile: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(pidfile.file_name().unwrap_or_default());
    name.push(".sipid");
    pidfile.with_file_name(name)
}

/// Writes the identity for the pidfile in its present state. A half-written one does not count.
pub(crate) fn write(path: &Path, file: &File, pid: Pid, identity: &Identity) -> io::Result<()> {
    let beside = path_beside(path);
    let metadata = file.metadata()?;
    let line = line(&metadata, pid, identity) + &place(path)? + "\n";
    let mut options = OpenOptions::new();
    // The same users may read both files.
    let mode = 0o600 | metadata.mode() & 0o044;
    let create = options.write(true).create_new(true).mode(mode);
    // An existing file is replaced, whoever created it.
    let mut written = create.open(&beside).or_else(|_| {
        file::remove(&beside)?;
        create.open(&beside)
    })?;
    // Only one write: a second would hit the limit that cut off the first one, and raise its
    // signal, setrlimit(2).
    if written.write(line.as_bytes())? < line.len() {
        file::remove(&beside)?;
        return Err(io::Error::from_raw_os_error(libc::ENOSPC));
    }
    Ok(())
}

/// The identity, if it exists and was written for the pidfile in its present state.
pub(crate) fn read(path: &Path, pidfile: &Metadata, pid: Pid) -> io::Result<Option<Kept>> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let read = || {
        let file = options.open(path_beside(path))?;
        let metadata = file.metadata()?;
        let is_ours = trust::is_our_own(&metadata);
        let is_readable = metadata.is_file() && (is_ours || metadata.uid() == pidfile.uid());
        let mut text = String::new();
        if is_readable {
            file.take(LONGEST).read_to_string(&mut text)?;
        }
        Ok((text, is_ours))
    };
    match read() {
        Ok((text, is_ours)) => Ok(kept(path, pidfile, pid, &text, is_ours)),
        Err(error) => none_kept(error),
    }
}

/// There is no identity, unless the error leaves that open: the file was not looked up, or could
/// not be read.
fn none_kept(error: io::Error) -> io::Result<Option<Kept>> {
    let number = error.raw_os_error().unwrap_or_default();
    if [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EIO].contains(&number) {
        Err(error)
    } else {
        Ok(None)
    }
}

fn kept(path: &Path, pidfile: &Metadata, pid: Pid, text: &str, is_ours: bool) -> Option<Kept> {
    let identity = parse(text)?;
    let rest = text.strip_prefix(&line(pidfile, pid, &identity))?;
    let place = rest.strip_suffix('\n')?;
    // Files of earlier versions do not name a place.
    if !place.is_empty() && !place.starts_with(" dir=") {
        return None;
    }
    let is_proof = is_ours && self::place(path).is_ok_and(|here| here == place);
    Some(Kept { identity, is_proof })
}

fn line(pidfile: &Metadata, pid: Pid, identity: &Identity) -> String {
    let Identity {
        pidfd,
        start,
        boot,
        namespace,
    } = identity;
    let (inode, seconds, nanos) = (pidfile.ino(), pidfile.mtime(), pidfile.mtime_nsec());
    let pidfd = pidfd.map_or_else(String::new, |inode| format!(" pidfd={inode}"));
    format!(
        "pid={pid} inode={inode} mtime={seconds}.{nanos:09} start={start} pidns={namespace} boot={boot}{pidfd}"
    )
}

/// The pidfile's place, so that an identity proves nothing if somebody moves or links it elsewhere.
fn place(path: &Path) -> io::Result<String> {
    let directory = fs::metadata(file::directory(path))?;
    let name = path.file_name().unwrap_or_default().as_bytes();
    let name = name.escape_ascii().to_string().replace(' ', "\\x20");
    Ok(format!(
        " dir={}:{} name={name}",
        directory.dev(),
        directory.ino()
    ))
}

fn parse(text: &str) -> Option<Identity> {
    let line = text.strip_suffix('\n')?;
    let field = |name: &str| {
        line.split(' ')
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    let boot = field("boot")?;
    let is_an_id = boot
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    Some(Identity {
        pidfd: field("pidfd").map(str::parse).transpose().ok()?,
        start: field("start")?.parse().ok()?,
        boot: is_an_id.then(|| boot.to_owned())?,
        namespace: field("pidns")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_may_be_there() {
        let none_kept = |number| none_kept(io::Error::from_raw_os_error(number));
        assert!(none_kept(libc::EIO).is_err());
        assert!(none_kept(libc::ENOENT).is_ok_and(|kept| kept.is_none()));
    }

    #[test]
    fn a_container_is_seen_from_the_machine_and_not_from_another() {
        let (machine, one, other) = (procfs::INITIAL_NAMESPACE, 7, 8);
        for (theirs, ours, seen) in [
            (one, Some(one), Namespace::Ours),
            (machine, Some(machine), Namespace::Ours),
            (one, Some(machine), Namespace::Below),
            (one, Some(other), Namespace::Hidden),
            (machine, Some(one), Namespace::Hidden),
            (one, None, Namespace::Ours),
        ] {
            assert_eq!(Namespace::of(theirs, ours), seen, "{theirs} from {ours:?}");
        }
    }

    #[test]
    fn a_process_is_told_by_its_start_or_by_the_pidfds_of_both() {
        let can_tell = |kept, start, pidfd| {
            let identity = Identity {
                pidfd: kept,
                start: 7,
                boot: String::new(),
                namespace: 8,
            };
            identity.can_tell(start, pidfd)
        };
        assert!(can_tell(None, Some(7), None));
        assert!(can_tell(Some(9), None, Some(9)));
        assert!(!can_tell(Some(9), None, None));
        assert!(!can_tell(None, None, Some(9)));
    }
}
