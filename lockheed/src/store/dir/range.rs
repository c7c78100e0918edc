//! Ranges of a file to lock, as `fcntl_locking(2)` wants them.

use nix::libc;

/// Who is kept out: of a write lock everybody, of a read lock those who want a write lock.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Read,
    Write,
}

/// So many bytes from there on; zero for all.
pub(super) fn range(kind: Kind, start: u64, length: i64) -> libc::flock {
    let kind = match kind {
        Kind::Read => libc::F_RDLCK,
        Kind::Write => libc::F_WRLCK,
    };
    // SAFETY: flock is plain numbers, for which all zeros are valid; architectures differ in its
    // padding.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = i16::try_from(kind).unwrap_or_default();
    lock.l_whence = i16::try_from(libc::SEEK_SET).unwrap_or_default();
    lock.l_start = i64::try_from(start).unwrap_or(i64::MAX - 1);
    lock.l_len = length;
    lock
}
