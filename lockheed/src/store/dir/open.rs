//! Opens files in a directory that others may write to. Nothing they put there can redirect this
//! process, make it wait, or fill its memory.

use std::{
    fs::{File, OpenOptions},
    io::Read,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use coord_core::{Errno, HasErrno};
use nix::libc;

use super::{failed, invalid};
use crate::store::StoreError;

/// Opens a regular file; fails if the path is a symbolic link.
///
/// # Errors
/// `EINVAL` when it is not a regular file; otherwise as for `open(2)`.
pub(super) fn open(options: &OpenOptions, path: &Path) -> Result<File, StoreError> {
    // Opening must not wait for the other end of a FIFO, or for another process's file lease
    // (`fcntl(2)`).
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = options.clone().custom_flags(flags).open(path);
    let file = opened.map_err(|error| match error.errno() {
        Errno::ELOOP => not_regular(path, "a symbolic link"),
        Errno::EISDIR => not_regular(path, "a directory"),
        Errno::ENXIO => not_regular(path, "a socket, FIFO or device"),
        _ => failed("open", path, error),
    })?;
    let metadata = file
        .metadata()
        .map_err(|error| failed("examine", path, error))?;
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => Ok(file),
        () if kind.is_dir() => Err(not_regular(path, "a directory")),
        () if kind.is_fifo() => Err(not_regular(path, "a FIFO")),
        () => Err(not_regular(path, "a device")),
    }
}

/// Opens a file to change its content in place. The file must have no other name elsewhere.
///
/// # Errors
/// As for [`open`]; `EINVAL` when it has several names.
pub(super) fn open_to_change(options: &OpenOptions, path: &Path) -> Result<File, StoreError> {
    let file = open(options, path)?;
    let metadata = file
        .metadata()
        .map_err(|error| failed("examine", path, error))?;
    if metadata.nlink() > 1 {
        let text = format!(
            "{path:?} has another name too, which might be another program's file: remove it"
        );
        return Err(invalid(Errno::EINVAL, text));
    }
    Ok(file)
}

/// Opens a file and reads it, if it has at most this many bytes.
///
/// # Errors
/// As [`open`]; `EFBIG`; those of `read(2)`.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, StoreError> {
    let file = open(OpenOptions::new().read(true), path)?;
    read_all(&file, path, most)
}

/// The same for an open file that was not read before.
///
/// # Errors
/// `EFBIG`; those of `read(2)`.
pub(super) fn read_all(file: &File, path: &Path, most: u64) -> Result<Vec<u8>, StoreError> {
    let size = file.metadata().map_or(0, |file| file.len());
    let mut content = Vec::with_capacity(usize::try_from(size.min(most)).unwrap_or(0) + 1);
    let read = file.take(most + 1).read_to_end(&mut content);
    read.map_err(|error| failed("read", path, error))?;
    if content.len() as u64 > most {
        let text = format!("{path:?} has more than {most} bytes: this program did not write it");
        return Err(invalid(Errno::EFBIG, text));
    }
    Ok(content)
}

fn not_regular(path: &Path, what: &str) -> StoreError {
    let text = format!("{path:?} is {what}, not a regular file: remove it");
    invalid(Errno::EINVAL, text)
}
