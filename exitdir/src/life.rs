//! Proof that the leader is alive, which only processes that may write into the directory can give.
//!
//! A leader creates a file without a name in the directory (`O_TMPFILE`, `open(2)`). It holds a
//! write lock on that file (`F_OFD_SETLK`, `fcntl_locking(2)`). No other user can open it, the
//! kernel drops the lock however the leader ends, and inotify tells everyone who watches the
//! directory when the file is closed. An extended attribute of the directory (`xattr(7)`) names the
//! file; setting it needs the right to write there. `/proc/locks` (`proc_locks(5)`) shows whether
//! the lock is held, in all PID namespaces alike.
//!
//! If one of these is missing, the leader is known only by its read lock on the directory itself.
//! Anybody who may read the directory can take such a lock, and nobody is notified when it is
//! released.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::Path,
    str::FromStr,
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use coord_core::text::decimal;
use log::debug;
use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};
use rustix::{
    fs::{Mode, OFlags, XattrFlags, fgetxattr, fsetxattr, openat},
    io::Errno,
};

use crate::{entries, error::Kind};

const ATTRIBUTE: &str = "user.exitdir.leader";

/// Begins the attribute's value for a leader that can only lock the directory itself. A number
/// follows, which distinguishes it from others of this kind.
const BY_DIRECTORY: &str = "directory";

/// The number of a leader of the directory that is not named.
const ANY: libc::off_t = 0;

/// How often, and after what pause, we search for a lock that is not shown, see [`shown`].
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(1);

/// What proves that a leader is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The write lock on the leader's own file.
    File(Lock),
    /// The read lock on the directory, of the leader with this number.
    Directory(libc::off_t),
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
    /// That of a leader without a file of its own.
    pub(crate) fn of_directory() -> Self {
        Self::Directory(unique())
    }
}

/// Whether the directory can name its leader. If it cannot, its lock must be polled.
pub(crate) fn can_be_told(dir: &File) -> bool {
    !matches!(
        attribute(dir),
        Attribute::Unsupported | Attribute::Is(Proof::Directory(_))
    )
}

/// Whether the directory has attributes that count.
pub(crate) fn has_attributes(dir: &File) -> bool {
    !matches!(attribute(dir), Attribute::Unsupported)
}

/// The leader that the directory names, whether it is still alive or not.
pub(crate) fn last(dir: &File) -> Option<Proof> {
    match attribute(dir) {
        Attribute::Is(proof) => Some(proof),
        Attribute::Missing => None,
        Attribute::Unsupported => Some(Proof::Directory(ANY)),
    }
}

/// The leader that is alive.
pub(crate) fn living(dir: &File) -> Result<Option<Proof>, Kind> {
    match last(dir) {
        Some(proof) if lives(dir, &proof)? => Ok(Some(proof)),
        _ => Ok(None),
    }
}

/// Whether a leader is alive. It has locked its part of the directory before it is named.
pub(crate) fn lives(dir: &File, proof: &Proof) -> Result<bool, Kind> {
    let locked = is_locked(dir, proof);
    let Proof::File(lock) = proof else {
        return locked;
    };
    // If the question is refused, `/proc/locks` answers it.
    if !matches!(locked, Ok(false)) {
        for tried in 1..=TRIES {
            match lock.is_held() {
                Ok(true) => return Ok(true),
                Ok(false) if tried < TRIES => sleep(PAUSE),
                Ok(false) => {}
                Err(_) => return locked,
            }
        }
    }
    Ok(false)
}

/// Creates and locks the leader's file, which proves that the leader is alive while the file is
/// open. Returns `None` where only the lock on the directory is possible.
///
/// By then it is certain that the directory is writable, before the leader does anything.
pub(crate) fn begin(dir: &File, path: &Path) -> Result<Option<(File, Lock)>, Kind> {
    let nameless = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = match openat(dir, ".", nameless, Mode::RUSR).map_err(io::Error::from) {
        Ok(file) => File::from(file),
        Err(error) if entries::has_no_nameless_files(&error) => {
            check_writable(path)?;
            return Ok(None);
        }
        Err(error) => return Err(Kind::Io("write to", error)),
    };
    let start = unique();
    fcntl(&file, FcntlArg::F_OFD_SETLK(&byte(start, libc::F_WRLCK)))
        .map_err(Kind::call("lock a file in", "fcntl(F_OFD_SETLK)"))?;
    let lock = Lock::of(&file, start).map_err(Kind::io("find the lock on"))?;
    Ok(lock.map(|lock| (file, lock)))
}

/// Names the leader in the directory's attribute.
///
/// # Errors
/// Those of `setxattr(2)`; `EOPNOTSUPP` also where the attribute does not count.
pub(crate) fn announce(dir: &File, leader: &Proof) -> Result<(), Errno> {
    if is_sticky(dir) {
        return Err(Errno::OPNOTSUPP);
    }
    let value = leader.to_string();
    fsetxattr(dir, ATTRIBUTE, value.as_bytes(), XattrFlags::empty())
}

/// Whether a lock on the directory itself may be this leader's. A lock on all of it, which anybody
/// may take who may read it, looks the same.
fn is_locked(dir: &File, leader: &Proof) -> Result<bool, Kind> {
    let mut lock = part(leader, libc::F_WRLCK);
    fcntl(dir, FcntlArg::F_OFD_GETLK(&mut lock))
        .map_err(Kind::call("ask for the leader of", "fcntl(F_OFD_GETLK)"))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// Takes the read lock on the directory, for those who cannot check anything else, and for earlier
/// versions. It locks the byte that the leader's name contains, so that it is not taken for
/// another's.
pub(crate) fn lock_directory(dir: &File, own: &Proof) -> Result<(), Kind> {
    fcntl(dir, FcntlArg::F_OFD_SETLK(&part(own, libc::F_RDLCK)))
        .map(drop)
        .map_err(Kind::call("lock", "fcntl(F_OFD_SETLK)"))
}

/// Whether this is still the directory at the path.
pub(crate) fn is_at(dir: &File, path: &Path) -> Result<bool, Kind> {
    let (dir, now) = (dir.metadata(), path.metadata());
    let (dir, now) = (
        dir.map_err(Kind::io("examine"))?,
        now.map_err(Kind::io("examine"))?,
    );
    Ok((dir.dev(), dir.ino()) == (now.dev(), now.ino()))
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
    /// The lock that this file has there, or `None` if `/proc` does not show it.
    ///
    /// # Errors
    /// `EMFILE` and `ENFILE`: the lock may exist, but `/proc` cannot be read.
    fn of(file: &File, start: libc::off_t) -> io::Result<Option<Self>> {
        match Self::found(file, start) {
            Err(error) if is_used_up(&error) => Err(error),
            found => Ok(found.ok().flatten()),
        }
    }

    /// It reads `/proc/PID/fdinfo` (`proc_pid_fdinfo(5)`) first, since anybody can have a lock that
    /// begins there on another file.
    fn found(file: &File, start: libc::off_t) -> io::Result<Option<Self>> {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
        let mut locks = info.lines().filter_map(|line| line.strip_prefix("lock:"));
        let own = locks.find_map(|lock| Self::parse(lock).filter(|lock| lock.start == start));
        let Some(own) = own else { return Ok(None) };
        for _ in 0..TRIES {
            if own.is_held()? {
                return Ok(Some(own));
            }
        }
        Ok(None)
    }

    fn is_held(&self) -> io::Result<bool> {
        Ok(shown()?.contains(self))
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

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(Lock { file, start }) => write!(f, "{file} {start}"),
            Self::Directory(number) => write!(f, "{BY_DIRECTORY} {number}"),
        }
    }
}

impl FromStr for Proof {
    type Err = ();

    /// Only what a leader writes is a proof: it becomes a part of an attribute's name.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (file, number) = text.split_once(' ').ok_or(())?;
        let start = decimal(number).ok_or(())?;
        let is_number = |text: &str| {
            let mut digits = text.bytes();
            digits.len() > 0 && digits.all(|byte| byte.is_ascii_hexdigit())
        };
        if file == BY_DIRECTORY {
            Ok(Self::Directory(start))
        } else if file.split(':').count() == 3 && file.split(':').all(is_number) {
            let file = file.to_owned();
            Ok(Self::File(Lock { file, start }))
        } else {
            Err(())
        }
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

/// A number that no earlier leader of the directory had, but for a chance of one in a thousand
/// million. A lock can begin there on any architecture. It is not [`ANY`].
fn unique() -> libc::off_t {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = (now.unwrap_or_default().as_nanos() & 0x7fff_ffff) | 1;
    libc::off_t::from(i32::try_from(nanos).unwrap_or_default())
}

/// A lock of this kind on a leader's part of the directory.
fn part(leader: &Proof, kind: i32) -> libc::flock {
    match leader {
        Proof::Directory(ANY) => whole(kind),
        Proof::File(Lock { start, .. }) | Proof::Directory(start) => byte(*start, kind),
    }
}

/// A lock of this kind on one byte.
fn byte(start: libc::off_t, kind: i32) -> libc::flock {
    libc::flock {
        l_start: start,
        l_len: 1,
        ..whole(kind)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Anybody can have a lock at the same place of another file.
    // Holds exitdir-3.
    #[test]
    fn a_leader_names_its_own_file() {
        let files = [(); 3].map(|()| tempfile::tempfile().unwrap());
        for file in &files {
            fcntl(file, FcntlArg::F_OFD_SETLK(&byte(7, libc::F_WRLCK))).unwrap();
        }
        for file in &files {
            let named = Lock::of(file, 7).unwrap().unwrap();
            let number = file.metadata().unwrap().ino().to_string();
            assert_eq!(named.file.rsplit(':').next(), Some(number.as_str()));
        }
    }
}
