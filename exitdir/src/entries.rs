//! The entries of the directory: reading them, writing the record, and removing what may be
//! removed.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use coord_core::{Errno, HasErrno};
use log::debug;
use nix::{
    fcntl::{AT_FDCWD, AtFlags},
    libc,
    unistd::linkat,
};

use crate::{Record, error::Kind};

/// The leader's entry.
pub(crate) const FILE: &str = "exitFile";

/// The only entry that is never a signal: filesystems create it.
pub(crate) const LOST_AND_FOUND: &str = "lost+found";

/// How long a leader may still be writing an empty record.
pub(crate) const WRITING: Duration = Duration::from_millis(200);

/// Longer than any record; a longer file is not a record.
const LONGEST: u64 = 64 * 1024;

/// What the directory contains.
#[derive(Debug)]
pub(crate) enum Found {
    /// No entry that counts.
    Nothing,
    /// It is time to exit.
    Signal(Record),
    /// An empty record, so new that its leader may still be writing it.
    Empty,
}

/// The entries that signal.
pub(crate) fn names(dir: &Path) -> io::Result<Vec<OsString>> {
    let names = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name()));
    names
        .filter(|name| !matches!(name, Ok(name) if name == OsStr::new(LOST_AND_FOUND)))
        .collect()
}

pub(crate) fn look(dir: &Path) -> Result<Found, Kind> {
    let names = names(dir).map_err(Kind::io("read"))?;
    if names.is_empty() {
        return Ok(Found::Nothing);
    }
    if !names.iter().any(|name| name == FILE) {
        return Ok(Found::Signal(Record::default()));
    }
    // An unreadable record, or an entry with another name, only says that it is time to exit.
    Ok(read(dir).unwrap_or_else(|_| Found::Signal(Record::default())))
}

/// Does not block, whatever is in the record's place.
fn read(dir: &Path) -> io::Result<Found> {
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(dir.join(FILE))?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    if bytes.is_empty() && is_new(&metadata) {
        return Ok(Found::Empty);
    }
    Ok(Found::Signal(Record::parse(&bytes)))
}

/// Goes by the change time, `inode(7)`. A change time in the future counts as new.
fn is_new(file: &fs::Metadata) -> bool {
    let seconds = u64::try_from(file.ctime()).unwrap_or_default();
    let nanos = u32::try_from(file.ctime_nsec()).unwrap_or_default();
    let changed = UNIX_EPOCH + Duration::new(seconds, nanos);
    let age = SystemTime::now().duration_since(changed);
    age.map_or(true, |age| age < WRITING)
}

/// Writes the record, in one step where possible. The link needs `/proc`. If it fails, the record
/// is created under its name; an obstacle to any record then fails again.
pub(crate) fn write(dir: &Path, line: &[u8]) -> io::Result<()> {
    if let Ok(mut file) = nameless(dir) {
        file.write_all(line)?;
        if link(&file, dir).is_ok() {
            return Ok(());
        }
    }
    create(dir, line)
}

/// Stands in for the record: an empty file, such as earlier programs leave.
pub(crate) fn write_empty(dir: &Path) -> io::Result<()> {
    create(dir, b"")
}

/// A file without a name; it disappears with its last descriptor.
pub(crate) fn nameless(dir: &Path) -> io::Result<File> {
    let mut options = File::options();
    options
        .write(true)
        .mode(0o644)
        .custom_flags(libc::O_TMPFILE)
        .open(dir)
}

/// The errors that filesystems and kernels without `O_TMPFILE` return, `open(2)`, and those of
/// system call filters.
pub(crate) fn has_no_nameless_files(error: &io::Error) -> bool {
    let answers = [
        Errno::EOPNOTSUPP,
        Errno::EISDIR,
        Errno::EINVAL,
        Errno::EPERM,
        Errno::ENOSYS,
    ];
    answers.contains(&error.errno())
}

fn link(file: &File, dir: &Path) -> io::Result<()> {
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    let follow = AtFlags::AT_SYMLINK_FOLLOW;
    let linked = linkat(AT_FDCWD, source.as_str(), AT_FDCWD, &dir.join(FILE), follow);
    Ok(linked?)
}

/// For filesystems where a file needs a name, or cannot be given one later. If the write fails, the
/// record is removed again.
fn create(dir: &Path, line: &[u8]) -> io::Result<()> {
    let target = dir.join(FILE);
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&target)?;
    file.write_all(line).inspect_err(|_| {
        let _ = fs::remove_file(&target);
    })
}

/// Removes what signalling left, if there is nothing else.
pub(crate) fn remove_signal(dir: &Path) -> Result<(), Kind> {
    let names = names(dir).map_err(Kind::io("read"))?;
    let foreign: Vec<_> = names
        .iter()
        .filter(|name| *name != FILE || is_filled_directory(&dir.join(name)))
        .cloned()
        .collect();
    if !foreign.is_empty() {
        return Err(Kind::Foreign(foreign));
    }
    names
        .iter()
        .try_for_each(|name| remove(&dir.join(name), |entry| fs::remove_dir(entry)))
        .map_err(Kind::io("clear"))
}

/// Removes every entry, and everything below it.
pub(crate) fn remove_all(dir: &Path) -> Result<(), Kind> {
    let names = names(dir).map_err(Kind::io("read"))?;
    names
        .iter()
        .try_for_each(|name| remove(&dir.join(name), |entry| fs::remove_dir_all(entry)))
        .map_err(Kind::io("clear"))
}

/// An entry that has disappeared meanwhile counts as removed.
fn remove(entry: &Path, directory: fn(&Path) -> io::Result<()>) -> io::Result<()> {
    debug!("removing {entry:?}");
    let is_directory = fs::symlink_metadata(entry).is_ok_and(|entry| entry.is_dir());
    let removed = if is_directory {
        directory(entry)
    } else {
        fs::remove_file(entry)
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn is_filled_directory(entry: &Path) -> bool {
    let is_directory = fs::symlink_metadata(entry).is_ok_and(|entry| entry.is_dir());
    is_directory && fs::read_dir(entry).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_gone_meanwhile_need_not_be_removed_and_what_stays_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let remove = |entry: &Path| remove(entry, |entry| fs::remove_dir(entry));
        remove(&dir.path().join("gone")).unwrap();
        fs::write(dir.path().join("entry"), "").unwrap();
        let error = remove(dir.path()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTEMPTY));
    }
}
