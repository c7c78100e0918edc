//! Proof that the leader is alive, which only processes that may write into the directory can give.
//!
//! A leader creates a file without a name in the directory (`O_TMPFILE`, `open(2)`). It holds a
//! write lock on that file (`F_OFD_SETLK`, `fcntl_locking(2)`). Nobody else can open the file, the
//! kernel drops the lock however the leader ends, and inotify tells everyone who watches the
//! directory when the file is closed. An extended attribute of the directory (`xattr(7)`) names the
//! file; setting it needs the right to write there. `/proc/locks` (`proc_locks(5)`) shows whether
//! the lock is held, in all PID namespaces alike.
//!
//! If one of these is missing, the leader uses a read lock on the directory itself. Anybody who may
//! read the directory can take such a lock, and nobody is notified when it is released.

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::Path,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use log::debug;
use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};
use rustix::{
    fs::{XattrFlags, fgetxattr, fsetxattr},
    io::Errno,
};

use crate::{entries, error::Kind};

const ATTRIBUTE: &str = "user.exitdir.leader";

/// The attribute's value for a leader that can only lock the directory itself.
const BY_DIRECTORY: &str = "directory";

/// How often we search for a lock that is not shown, see [`shown`].
const TRIES: usize = 5;

/// What proves that a leader is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The write lock on the leader's own file.
    File(Lock),
    /// The read lock on the directory.
    Directory,
}

/// A lock as `/proc/locks` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    /// Device and inode number, such as `fe:00:4711`.
    file: String,
    /// The first byte, which distinguishes the lock from one on an earlier file with the same inode
    /// number.
    start: libc::off_t,
}

/// What the directory's attribute says about its leader.
enum Attribute {
    Is(Proof),
    Missing,
    Unsupported,
}

impl Proof {
    /// Whether a closed file is the one with this lock. The kernel names nameless files by inode
    /// number.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        let Self::File(lock) = self else { return false };
        let number = lock.file.rsplit(':').next();
        name.strip_prefix('#')
            .is_some_and(|name| Some(name) == number)
    }
}

/// Whether the directory can name its leader. If it cannot, its lock must be polled.
pub(crate) fn can_be_told(dir: &File) -> bool {
    !matches!(
        attribute(dir),
        Attribute::Unsupported | Attribute::Is(Proof::Directory)
    )
}

/// The leader that the directory names, whether it is still alive or not.
pub(crate) fn last(dir: &File) -> Option<Proof> {
    match attribute(dir) {
        Attribute::Is(proof) => Some(proof),
        Attribute::Missing => None,
        Attribute::Unsupported => Some(Proof::Directory),
    }
}

/// The leader that is alive.
pub(crate) fn living(dir: &File) -> Result<Option<Proof>, Kind> {
    let Some(proof) = last(dir) else {
        return Ok(None);
    };
    let lives = match &proof {
        Proof::File(lock) => match lock.is_held() {
            Some(held) => held || lock.is_held_after_all(dir),
            None => is_locked(dir)?,
        },
        Proof::Directory => is_locked(dir)?,
    };
    Ok(lives.then_some(proof))
}

/// Creates and locks the leader's file, which proves that the leader is alive while the file is
/// open. Returns `None` where only the lock on the directory is possible.
///
/// By then it is certain that the directory is writable, before the leader does anything.
pub(crate) fn begin(path: &Path) -> Result<Option<(File, Lock)>, Kind> {
    let file = match entries::nameless(path) {
        Ok(file) => file,
        Err(error) if entries::has_no_nameless_files(&error) => {
            check_writable(path)?;
            return Ok(None);
        }
        Err(error) => return Err(Kind::Io("write to", error)),
    };
    let start = unique();
    fcntl(&file, FcntlArg::F_OFD_SETLK(&byte(start)))
        .map_err(Kind::call("lock a file in", "fcntl(F_OFD_SETLK)"))?;
    let lock = Lock::of(start).map_err(Kind::io("find the lock on"))?;
    Ok(lock.map(|lock| (file, lock)))
}

/// Names the leader in the directory's attribute.
///
/// # Errors
/// Those of `setxattr(2)`; `EOPNOTSUPP` also where the attribute does not count.
pub(crate) fn announce(dir: &File, lock: Option<&Lock>) -> Result<(), Errno> {
    if is_sticky(dir) {
        return Err(Errno::OPNOTSUPP);
    }
    let value = lock.map_or(BY_DIRECTORY.to_owned(), ToString::to_string);
    fsetxattr(dir, ATTRIBUTE, value.as_bytes(), XattrFlags::empty())
}

/// Whether somebody holds a lock on the directory itself.
fn is_locked(dir: &File) -> Result<bool, Kind> {
    let mut lock = whole(libc::F_WRLCK);
    fcntl(dir, FcntlArg::F_OFD_GETLK(&mut lock))
        .map_err(Kind::call("ask for the leader of", "fcntl(F_OFD_GETLK)"))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// Takes the read lock on the directory, for followers that can check nothing else and for earlier
/// versions.
pub(crate) fn lock_directory(dir: &File) -> Result<(), Kind> {
    fcntl(dir, FcntlArg::F_OFD_SETLK(&whole(libc::F_RDLCK)))
        .map(drop)
        .map_err(Kind::call("lock", "fcntl(F_OFD_SETLK)"))
}

/// In a sticky directory only the owner may set attributes, whoever may write, `xattr(7)`. So the
/// attribute does not count there.
fn is_sticky(dir: &File) -> bool {
    let mode = dir.metadata().map(|dir| dir.permissions().mode());
    mode.is_ok_and(|mode| mode & libc::S_ISVTX != 0)
}

/// Who is named by another attribute, if it exists and names a process.
pub(crate) fn named(dir: &File, attribute: &str) -> Option<Proof> {
    match read(dir, attribute) {
        Attribute::Is(proof) => Some(proof),
        Attribute::Missing | Attribute::Unsupported => None,
    }
}

fn attribute(dir: &File) -> Attribute {
    if is_sticky(dir) {
        return Attribute::Unsupported;
    }
    read(dir, ATTRIBUTE)
}

fn read(dir: &File, attribute: &str) -> Attribute {
    let mut value = [0; 128];
    match fgetxattr(dir.as_fd(), attribute, &mut value[..]) {
        Ok(length) => {
            let text = String::from_utf8_lossy(&value[..length]);
            text.parse().map_or(Attribute::Missing, Attribute::Is)
        }
        Err(Errno::NODATA | Errno::RANGE) => Attribute::Missing,
        Err(error) => {
            debug!("the directory has no extended attributes: {error}");
            Attribute::Unsupported
        }
    }
}

impl Lock {
    /// The lock that begins there, or `None` if `/proc/locks` does not show it.
    ///
    /// # Errors
    /// `EMFILE` and `ENFILE`: the lock may exist, but the list cannot be read.
    fn of(start: libc::off_t) -> io::Result<Option<Self>> {
        for _ in 0..TRIES {
            match shown() {
                Ok(locks) => {
                    if let Some(lock) = locks.into_iter().find(|lock| lock.start == start) {
                        return Ok(Some(lock));
                    }
                }
                Err(error) if is_used_up(&error) => return Err(error),
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Returns `None` if the list cannot be read.
    fn is_held(&self) -> Option<bool> {
        Some(shown().ok()?.contains(self))
    }

    /// Whether the list only skipped the lock. A living leader has locked the directory too; if the
    /// directory is not locked, the leader is dead.
    fn is_held_after_all(&self, dir: &File) -> bool {
        is_locked(dir).unwrap_or(true) && (0..TRIES).any(|_| self.is_held() == Some(true))
    }

    /// The same for a process that may not have locked the directory yet.
    pub(crate) fn is_held_or_unknown(&self) -> bool {
        (0..TRIES).any(|_| self.is_held() != Some(false))
    }

    /// Parses `1: OFDLCK ADVISORY  WRITE -1 fe:00:4711 1234 1234`. A waiting request has an arrow
    /// before the kind.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace().skip(1);
        let kind = [fields.next()?, fields.next()?, fields.next()?];
        let (_process, file) = (fields.next()?, fields.next()?);
        let start = fields.next()?.parse().ok()?;
        let file = file.to_owned();
        (kind == ["OFDLCK", "ADVISORY", "WRITE"]).then_some(Self { file, start })
    }
}

impl std::fmt::Display for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.file, self.start)
    }
}

impl FromStr for Proof {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == BY_DIRECTORY {
            return Ok(Self::Directory);
        }
        let (file, start) = text.split_once(' ').ok_or(())?;
        let start = start.parse().map_err(|_| ())?;
        let file = file.to_owned();
        Ok(Self::File(Lock { file, start }))
    }
}

/// The write locks in `/proc/locks`. The kernel returns the list a page at a time, and skips a lock
/// when an earlier one is released between two pages.
fn shown() -> io::Result<Vec<Lock>> {
    let mut locks = File::open("/proc/locks")?;
    let mut text = Vec::with_capacity(16 * 1024);
    locks.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().filter_map(Lock::parse).collect())
}

fn is_used_up(error: &io::Error) -> bool {
    [libc::EMFILE, libc::ENFILE]
        .map(Some)
        .contains(&error.raw_os_error())
}

fn check_writable(path: &Path) -> Result<(), Kind> {
    use nix::{
        fcntl::{AT_FDCWD, AtFlags},
        unistd::{AccessFlags, faccessat},
    };
    let wanted = AccessFlags::W_OK | AccessFlags::X_OK;
    faccessat(AT_FDCWD, path, wanted, AtFlags::AT_EACCESS).map_err(Kind::io("write to"))
}

/// Where the lock begins: not at an earlier leader's offset, and within the range of a lock on any
/// architecture.
fn unique() -> libc::off_t {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.unwrap_or_default().as_nanos() & 0x7fff_ffff;
    libc::off_t::from(i32::try_from(nanos).unwrap_or_default())
}

/// A write lock of one byte.
fn byte(start: libc::off_t) -> libc::flock {
    libc::flock {
        l_start: start,
        l_len: 1,
        ..whole(libc::F_WRLCK)
    }
}

/// A lock of this kind on the whole file.
fn whole(kind: i32) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
