//! Whether a holder lives, as the kernel knows it.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd},
};

use coord_core::Errno;
use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};

use super::{failed, files::Files};
use crate::store::{StoreError, StoreErrorKind};

const HOLDERS: &str = ".holders";

/// A lock on a byte of `.holders` that nobody else has. It is free when the last copy of this descriptor is closed, in whatever process.
#[derive(Debug)]
pub struct ProofOfLife {
    file: File,
    number: u64,
}

impl ProofOfLife {
    pub(super) fn new(files: &Files) -> Result<Self, StoreError> {
        let path = files.path(HOLDERS);
        let file = files.open_shared(HOLDERS)?;
        for _ in 0..100 {
            let number = random_offset()?;
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&byte(number))) {
                Ok(_) => return Ok(Self { file, number }),
                Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => {}
                Err(error) => return Err(failed("lock", &path, error.into())),
            }
        }
        let text = format!("no byte of {path:?} is free");
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            Errno::EAGAIN,
            text,
        ))
    }

    /// What a lease names it by.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}

/// Hand it to another process, and that proves the holder's life too.
impl AsFd for ProofOfLife {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Whether nobody has that byte any more. Where it cannot be told, the holder lives until its lease is over.
pub(super) fn is_dead(files: &Files, number: u64) -> bool {
    let Ok(file) = File::open(files.path(HOLDERS)) else {
        return false;
    };
    if i64::try_from(number).is_err() {
        return false;
    }
    let mut lock = byte(number);
    let asked = fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock));
    asked.is_ok() && i32::from(lock.l_type) == libc::F_UNLCK
}

/// Beyond the end of the file, which stays empty.
fn byte(offset: u64) -> libc::flock {
    // SAFETY: flock is plain numbers, for which all zeros are valid; architectures differ in its padding.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = i16::try_from(libc::F_WRLCK).unwrap_or(1);
    lock.l_whence = i16::try_from(libc::SEEK_SET).unwrap_or(0);
    lock.l_start = i64::try_from(offset).unwrap_or(i64::MAX - 1);
    lock.l_len = 1;
    lock
}

/// Fits a file offset, and a double, which is what some JSON readers make of a number.
fn random_offset() -> Result<u64, StoreError> {
    let number = getrandom::u64().map_err(|error| {
        StoreError::new(
            StoreErrorKind::Unavailable,
            Errno::EIO,
            "no random number is to be had",
        )
        .caused_by(error)
    })?;
    Ok(number >> 11)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_dead_when_the_last_copy_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path().to_owned());
        let proof = ProofOfLife::new(&files).unwrap();
        let other = ProofOfLife::new(&files).unwrap();
        let number = proof.number();
        assert!(!is_dead(&files, number));
        let copy = proof.as_fd().try_clone_to_owned().unwrap();
        drop(proof);
        assert!(!is_dead(&files, number));
        drop(copy);
        assert!(is_dead(&files, number));
        assert!(!is_dead(&files, other.number()));
        assert!(!is_dead(&files, u64::MAX));
    }
}
