//! Ranges of a file to lock, in the form of `fcntl_locking(2)`.

use nix::libc;

/// A write lock excludes everybody; a read lock excludes only write locks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Read,
    Write,
}

/// This many bytes from `start`; zero means to the end.
pub(super) fn range(kind: Kind, start: u64, length: i64) -> libc::flock {
    let kind = match kind {
        Kind::Read => libc::F_RDLCK,
        Kind::Write => libc::F_WRLCK,
    };
    // SAFETY: flock contains only integers, for which all zeros are valid. Its padding differs
    // between architectures.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = i16::try_from(kind).unwrap_or_default();
    lock.l_whence = i16::try_from(libc::SEEK_SET).unwrap_or_default();
    lock.l_start = i64::try_from(start).unwrap_or(i64::MAX - 1);
    lock.l_len = length;
    lock
}
