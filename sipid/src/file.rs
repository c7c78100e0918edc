//! The pidfile on disk: opened safely, and locked on the inode that the path names.

#[cfg(test)]
mod tests;

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use log::debug;
use nix::libc;

use crate::{
    Pid,
    error::{Kind, While},
};

/// How long we try to get a lock that somebody holds: longer than a short `status` or `kill` holds
/// it.
const LOCK_PATIENCE: Duration = Duration::from_millis(200);
const LOCK_RETRY: Duration = Duration::from_millis(2);

/// The maximum length of a pidfile's first line, including white space.
const LONGEST: usize = 64;

/// The content of a pidfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Empty,
    Pid(Pid),
    /// A PID in the first line, and more lines below it, as in a `postmaster.pid`.
    PidAndMore(Pid),
    /// Anything else; with the start of it, quoted.
    Invalid(String),
}

impl Content {
    /// The PID, if it is valid.
    pub(crate) fn pid(&self) -> Result<Option<Pid>, Kind> {
        match self {
            Self::Empty => Ok(None),
            Self::Pid(pid) | Self::PidAndMore(pid) => Ok(Some(*pid)),
            Self::Invalid(quoted) => Err(Kind::Invalid(quoted.clone())),
        }
    }
}

/// Opens the pidfile for reading. Returns `None` if it is missing.
pub(crate) fn open(path: &Path) -> Result<Option<File>, Kind> {
    match open_with(OpenOptions::new().read(true), path) {
        Err(Kind::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {
            if path.is_symlink() {
                Err(Kind::DanglingLink)
            } else {
                Ok(None)
            }
        }
        opened => opened.map(Some),
    }
}

/// Opens the pidfile for a claim. If it is missing, it is created with this mode. If its directory
/// is missing, that is created so that all who may read the file can enter it.
pub(crate) fn open_or_create(path: &Path, mode: u32) -> Result<File, Kind> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(mode);
    let is_missing = |opened: &Result<File, Kind>| matches!(opened, Err(Kind::Io(_, error)) if error.kind() == io::ErrorKind::NotFound);
    // Does not pass O_CREAT for an existing file: the kernel may refuse that for another user's
    // file, `fs.protected_regular` of proc_sys_fs(5).
    let opened = open_with(&mut options, path);
    if !is_missing(&opened) {
        return opened;
    }
    let made = open_with(options.create(true), path);
    if !is_missing(&made) {
        return made;
    }
    make_directory(
        directory(path),
        0o700 | (mode & 0o044) | (mode & 0o044) >> 2,
    )?;
    open_with(&mut options, path)
}

fn make_directory(directory: &Path, mode: u32) -> Result<(), Kind> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(directory);
    match made {
        // EEXIST is reserved for a running process.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(io::Error::from_raw_os_error(libc::ENOTDIR))
        }
        made => made,
    }
    .during("make the directory of")
}

fn open_with(options: &mut OpenOptions, path: &Path) -> Result<File, Kind> {
    // Does not block: opening a FIFO must not wait for its other end.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = match options.custom_flags(flags | libc::O_NOFOLLOW).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            check_directory_is_safe(path)?;
            options.custom_flags(flags).open(path)
        }
        opened => opened,
    }
    .during("open")?;
    let kind = file.metadata().during("examine")?.file_type();
    match () {
        () if kind.is_file() => Ok(file),
        () if kind.is_dir() => Err(Kind::Io("use", io::Error::from_raw_os_error(libc::EISDIR))),
        () if kind.is_fifo() => Err(Kind::NotAFile("a FIFO")),
        () => Err(Kind::NotAFile("a device")),
    }
}

/// Follows a link only where nobody except root and the caller could have created it.
fn check_directory_is_safe(path: &Path) -> Result<(), Kind> {
    let directory = fs::metadata(directory(path)).during("examine the directory of")?;
    let owned = [0, nix::unistd::geteuid().as_raw()].contains(&directory.uid());
    if owned && directory.mode() & 0o022 == 0 {
        Ok(())
    } else {
        Err(Kind::Link)
    }
}

/// The directory of the file, according to the path.
pub(crate) fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Takes the exclusive lock, trying for a moment. Returns false if somebody else keeps it.
pub(crate) fn lock(file: &File) -> Result<bool, Kind> {
    let try_lock = || is_locked_now(fs2::FileExt::try_lock_exclusive(file));
    if try_lock()? {
        return Ok(true);
    }
    let patience = Instant::now() + LOCK_PATIENCE;
    while Instant::now() < patience {
        thread::sleep(LOCK_RETRY);
        if try_lock()? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes a shared lock, unless somebody holds the exclusive one.
pub(crate) fn lock_shared(file: &File) -> Result<bool, Kind> {
    is_locked_now(fs2::FileExt::try_lock_shared(file))
}

fn is_locked_now(locked: io::Result<()>) -> Result<bool, Kind> {
    match locked {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EWOULDBLOCK) => Ok(false),
        Err(error) => Err(Kind::Io("lock", error)),
    }
}

/// Whether the path still names this file.
pub(crate) fn is_at(file: &File, path: &Path) -> Result<bool, Kind> {
    let ours = file.metadata().during("examine")?;
    match fs::metadata(path) {
        Ok(theirs) => Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Kind::Io("examine", error)),
    }
}

/// Reads the content, and the metadata at that moment. Either hold the lock or use
/// [`read_unlocked`].
pub(crate) fn read(file: &File) -> Result<(Content, Metadata), Kind> {
    let mut buffer = [0; LONGEST + 1];
    let mut length = 0;
    loop {
        let count = file
            .read_at(&mut buffer[length..], length as u64)
            .during("read")?;
        length += count;
        if count == 0 || length == buffer.len() {
            return Ok((parse(&buffer[..length]), file.metadata().during("examine")?));
        }
    }
}

/// Reads until two reads agree: without the lock, somebody may be writing meanwhile.
pub(crate) fn read_unlocked(file: &File) -> Result<(Content, Metadata), Kind> {
    let mut last = read(file)?;
    loop {
        thread::sleep(Duration::from_millis(1));
        let now = read(file)?;
        if agree(&now, &last) {
            return Ok(now);
        }
        last = now;
    }
}

/// Whether two reads saw the same content, and no write in between.
fn agree(one: &(Content, Metadata), other: &(Content, Metadata)) -> bool {
    one.0 == other.0 && same_version(&one.1, &other.1)
}

/// Whether both are the same inode with the same modification time.
pub(crate) fn same_version(one: &Metadata, other: &Metadata) -> bool {
    let version = |file: &Metadata| (file.dev(), file.ino(), file.mtime(), file.mtime_nsec());
    version(one) == version(other)
}

/// The first line that is not empty counts; everything after it may even be binary. Zeros at the
/// end are left by a power loss, for bytes that were not yet on the disk. A start that is all zeros
/// counts as empty only if it is the whole file.
fn parse(bytes: &[u8]) -> Content {
    let is_whole = bytes.len() <= LONGEST;
    let is_text = |byte: &u8| *byte != 0 && !(is_whole && byte.is_ascii_whitespace());
    let last = bytes.iter().rposition(is_text);
    let written = &bytes[..last.map_or(0, |last| last + 1)];
    let text = written.trim_ascii_start();
    let mut lines = text.splitn(2, |&byte| byte == b'\n');
    let line = lines.next().unwrap_or_default();
    let rest = lines.next();
    let is_cut_off = written.len() > LONGEST;
    match Pid::from_bytes(line) {
        Some(pid) if rest.is_some_and(|rest| is_cut_off || !rest.trim_ascii().is_empty()) => {
            Content::PidAndMore(pid)
        }
        Some(pid) if !is_cut_off => Content::Pid(pid),
        None if text.is_empty() && is_whole => Content::Empty,
        _ => Content::Invalid(quoted(bytes)),
    }
}

/// The start of the content, as it is shown in errors.
fn quoted(bytes: &[u8]) -> String {
    let more = if bytes.len() > LONGEST { "..." } else { "" };
    let start = bytes[..bytes.len().min(LONGEST)].escape_ascii();
    format!("\"{start}\"{more}")
}

/// Writes a PID over the existing content, with the lock held.
///
/// It writes at least the old length in one write, padded with blanks, and then cuts the blanks
/// off. So digits of the old PID never follow the new one. In a longer file it writes the first
/// line in this way. If there is no room for the whole PID, the old content stays. `old` is the
/// metadata from when the lock was taken.
///
/// After a power loss the file may have the length of one moment and the bytes of another. So this
/// waits for the disk where the result could be part of a PID: before it cuts a file off, and
/// before it writes a PID into a shorter file.
pub(crate) fn write(file: &File, pid: Pid, old: &Metadata) -> Result<(), Kind> {
    let digits = pid.to_string();
    let mut buffer = [0; LONGEST];
    let old_start = file.read_at(&mut buffer, 0).during("read")?;
    let put = |bytes: &[u8], offset: usize| {
        let written = file.write_at(bytes, offset as u64).during("write to")?;
        if offset + written >= digits.len() {
            return Ok(());
        }
        // There was room for what was written, so there is room for what was there before.
        file.write_at(&buffer[..old_start.min(written)], 0)
            .and_then(|_| file.set_len(old.len()))
            .during("put back the content of")?;
        let no_room = io::Error::from_raw_os_error(libc::ENOSPC);
        Err(Kind::Io("write to", no_room))
    };
    if (1..digits.len()).contains(&old_start) {
        put(" ".repeat(digits.len() - old_start).as_bytes(), old_start)?;
        wait_for_disk(file);
    }
    let mut padded = format!("{digits:<old_start$}").into_bytes();
    if old.len() > LONGEST as u64 {
        padded[digits.len()] = b'\n';
    }
    put(&padded, 0)?;
    // The length as it is now: a program that takes no lock may have written since.
    let length = file.metadata().during("examine")?.len();
    if length > digits.len() as u64 {
        wait_for_disk(file);
        file.set_len(digits.len() as u64).during("write to")?;
    }
    Ok(())
}

/// If the sync fails, the claim still succeeds.
fn wait_for_disk(file: &File) {
    if let Err(error) = file.sync_data() {
        debug!("cannot sync the pidfile: {error}");
    }
}

/// Removes a file; succeeds if there is none.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Empties the file that was opened for reading, if the path still leads to it.
pub(crate) fn empty(file: &File, path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let writable = options
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let id = |file: &File| file.metadata().map(|file| (file.dev(), file.ino()));
    if id(&writable)? != id(file)? {
        return Err(io::Error::from_raw_os_error(libc::ESTALE));
    }
    writable.set_len(0)?;
    wait_for_disk(&writable);
    Ok(())
}

/// Whether a name cannot be removed from its directory: the directory is another user's, or the
/// file system is read-only.
pub(crate) fn is_not_ours_to_remove(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EACCES | libc::EPERM | libc::EROFS | libc::EBUSY)
    )
}
