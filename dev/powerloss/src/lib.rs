//! What a file system may contain after a power loss.
//!
//! [`record`] runs a program under `strace(1)`, and notes what it does to the files of a directory.
//! [`Disk`] applies this. For each name, sector, length and mode, it knows the values that may be
//! on the disk. [`crashes`] returns the trees that are possible when the power fails between two
//! calls.
//!
//! The rule is that of ALICE (OSDI '14). After a power loss, each name, each sector of 512 bytes,
//! each length and each mode is as it was at some moment since it was last synced, independently of
//! all others. So a rename may be there without the data of its file. A file may have its length,
//! and zeros as data. A name may be in both places, or in none. `fsync(2)` of a file syncs its
//! data, length and mode; `fdatasync(2)` does not sync its mode. Only `fsync(2)` of its directory
//! syncs a name. A sector is on the disk as a whole or not at all.

mod call;
mod crash;
mod disk;
mod strace;

pub use self::{
    crash::{Crash, Image, Node, crashes},
    disk::Disk,
    strace::{Run, record},
};

use std::path::PathBuf;

/// What a program did. Paths are below the recorded directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A file was opened with `O_CREAT`, and was created if it did not exist.
    Create {
        /// Its name.
        path: PathBuf,
        /// The mode of a new one.
        mode: u32,
    },
    /// A directory was created.
    MakeDirectory {
        /// Its name.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file got another name, too.
    Link {
        /// The old one.
        from: PathBuf,
        /// The new one.
        to: PathBuf,
    },
    /// A name was removed.
    Unlink {
        /// The name.
        path: PathBuf,
    },
    /// A name replaced another one.
    Rename {
        /// The old one.
        from: PathBuf,
        /// The new one.
        to: PathBuf,
    },
    /// Bytes were written.
    Write {
        /// The file's name.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// The bytes.
        data: Vec<u8>,
    },
    /// The length was set.
    SetLength {
        /// The file's name.
        path: PathBuf,
        /// The length.
        length: u64,
    },
    /// The mode was set.
    SetMode {
        /// The name of the file or directory.
        path: PathBuf,
        /// The mode.
        mode: u32,
    },
    /// `fsync(2)` or `fdatasync(2)` returned.
    Sync {
        /// The name of the file or directory.
        path: PathBuf,
        /// Whether it was `fdatasync(2)`.
        only_data: bool,
        /// How many of the events just before this one ended during the call. Those are not synced.
        beside: usize,
    },
    /// Something was written to standard output.
    Output(Vec<u8>),
    /// A program was executed, with these variables.
    Execute(Vec<String>),
}
