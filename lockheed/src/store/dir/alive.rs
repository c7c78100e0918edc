//! Whether a holder is alive, as far as the kernel knows.

use std::{
    cell::OnceCell,
    fs::{self, File},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
};

use coord_core::Errno;
use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};

use super::{
    failed,
    files::{Files, is_at},
    range::{Kind, range},
};
use crate::store::{StoreError, StoreErrorKind};

pub(super) const HOLDERS: &str = ".holders";

/// How many bits of a number are random.
const RANDOM_BITS: u32 = 21;

/// A lock on a byte of `.holders` that nobody else uses. The kernel frees it when the last copy of
/// this descriptor is closed, in whatever process.
#[derive(Debug)]
pub struct ProofOfLife {
    file: File,
    number: u64,
}

/// What is known of a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    Dead,
    /// The file with its proof no longer exists, or may not be read.
    Unknown,
}

impl ProofOfLife {
    pub(super) fn new(files: &Files) -> Result<Self, StoreError> {
        let path = files.path(HOLDERS);
        for _ in 0..100 {
            let file = files.open_shared(HOLDERS)?;
            let number = number(mark(&file), random()?);
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&byte(Kind::Write, number))) {
                Ok(_) if is_at(&file, &path) => return Ok(Self { file, number }),
                Ok(_) | Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => {}
                Err(error) => return Err(failed("lock", &path, error.into())),
            }
        }
        let text = format!("no byte of {path:?} is free: another process has locked it");
        let kind = StoreErrorKind::Unavailable;
        Err(StoreError::new(kind, Errno::EAGAIN, text))
    }

    /// The number by which a lease names it: it encodes the byte and the file.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}

/// A process that receives this descriptor proves the holder's life too.
impl AsFd for ProofOfLife {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Checks holders' bytes, and opens the file once for all of them.
pub(super) struct Holders<'a> {
    files: &'a Files,
    file: OnceCell<Result<Marked, StoreError>>,
}

/// The file and its mark.
type Marked = (File, u32);

impl<'a> Holders<'a> {
    pub(super) fn of(files: &'a Files) -> Self {
        Self {
            files,
            file: OnceCell::new(),
        }
    }

    /// Whether the holder with this number is alive.
    pub(super) fn life(&self, number: u64) -> Life {
        let (file, mark) = match self.file.get_or_init(|| self.open()) {
            Ok(marked) => marked,
            Err(error) if error.kind() == StoreErrorKind::Denied => return shown(number),
            Err(_) => return Life::Unknown,
        };
        if number >> RANDOM_BITS != u64::from(*mark) {
            return Life::Unknown;
        }
        let mut lock = byte(Kind::Read, number);
        match fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)) {
            Ok(_) if i32::from(lock.l_type) == libc::F_UNLCK => Life::Dead,
            Ok(_) => Life::Alive,
            Err(_) => Life::Unknown,
        }
    }

    fn open(&self) -> Result<Marked, StoreError> {
        let file = self.files.open_to_ask(HOLDERS)?;
        let mark = mark(&file);
        Ok((file, mark))
    }
}

/// Whether any holder is known to be alive. If so, this is still the boot in which it got its lock.
pub(super) fn is_any(files: &Files) -> bool {
    let Ok(file) = files.open_to_ask(HOLDERS) else {
        return false;
    };
    let mut all = range(Kind::Read, 0, 0);
    let asked = fcntl(&file, FcntlArg::F_OFD_GETLK(&mut all));
    asked.is_ok() && i32::from(all.l_type) != libc::F_UNLCK
}

/// What `/proc/locks` shows (`proc_locks(5)`), for users who may not open the file. They cannot
/// write to the directory either, and only display the result.
fn shown(number: u64) -> Life {
    let Ok(locks) = fs::read_to_string("/proc/locks") else {
        return Life::Unknown;
    };
    let number = number.to_string();
    let is_it = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.contains(&"OFDLCK") && fields.get(6) == Some(&&*number)
    };
    if locks.lines().any(is_it) {
        Life::Alive
    } else {
        Life::Dead
    }
}

/// Distinguishes this file from others of the same name: while it is open, no other file has its
/// inode number.
fn mark(file: &File) -> u32 {
    let inode = file.metadata().map_or(0, |file| file.ino());
    // The whole number, if inode numbers have 32 bits.
    u32::try_from((inode ^ inode >> 32) & u64::from(u32::MAX)).unwrap_or_default()
}

/// Fits a file offset, and also a double, which some JSON readers use for numbers.
fn number(mark: u32, random: u64) -> u64 {
    u64::from(mark) << RANDOM_BITS | random >> (u64::BITS - RANDOM_BITS)
}

/// The byte is beyond the end of the file, which stays empty.
fn byte(kind: Kind, number: u64) -> libc::flock {
    range(kind, number, 1)
}

fn random() -> Result<u64, StoreError> {
    getrandom::u64().map_err(|error| {
        let text = "no random number is to be had";
        StoreError::new(StoreErrorKind::Unavailable, Errno::EIO, text).caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path().to_owned()).unwrap();
        (dir, files)
    }

    fn life(files: &Files, number: u64) -> Life {
        Holders::of(files).life(number)
    }

    #[test]
    fn a_holder_is_dead_when_the_last_copy_is_closed() {
        let (_dir, files) = files();
        assert!(!is_any(&files));
        let proof = ProofOfLife::new(&files).unwrap();
        let other = ProofOfLife::new(&files).unwrap();
        let number = proof.number();
        assert_eq!(life(&files, number), Life::Alive);
        assert_eq!(shown(number), Life::Alive);
        let copy = proof.as_fd().try_clone_to_owned().unwrap();
        drop(proof);
        assert_eq!(life(&files, number), Life::Alive);
        drop(copy);
        assert_eq!(life(&files, number), Life::Dead);
        assert_eq!(shown(number), Life::Dead);
        assert_eq!(life(&files, other.number()), Life::Alive);
        assert!(is_any(&files));
        assert_eq!(life(&files, u64::MAX), Life::Unknown);
    }

    #[test]
    fn of_a_holder_whose_file_was_removed_nothing_is_known() {
        let (_dir, files) = files();
        let proof = ProofOfLife::new(&files).unwrap();
        fs::remove_file(files.path(HOLDERS)).unwrap();
        assert_eq!(life(&files, proof.number()), Life::Unknown);
        let other = ProofOfLife::new(&files).unwrap();
        assert_eq!(life(&files, proof.number()), Life::Unknown);
        assert_eq!(life(&files, other.number()), Life::Alive);
    }

    #[test]
    fn a_read_lock_of_others_proves_nothing() {
        let (_dir, files) = files();
        let number = ProofOfLife::new(&files).unwrap().number();
        let reader = files.open_to_ask(HOLDERS).unwrap();
        fcntl(&reader, FcntlArg::F_OFD_SETLK(&range(Kind::Read, 0, 0))).unwrap();
        assert_eq!(life(&files, number), Life::Dead);
    }
}
