//! A FIFO that is checked before it is opened.
//!
//! Opening a file can have effects: a device may act, and opening a regular file for writing would
//! be the first step to damage. So we open the path with `O_PATH`, which touches nothing
//! (`open(2)`). Only a file that proved to be a FIFO is then opened for reading or writing, through
//! `/proc/self/fd`: see [`handle`](crate::handle).

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::stat::Mode,
};

use crate::{error::Kind, handle::Handle};

/// A FIFO that has been found.
#[derive(Debug)]
pub(crate) struct Fifo {
    handle: Handle,
    path: PathBuf,
    id: FileId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

/// Which end to open.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// For reading, at once, whether there is a writer or not.
    #[cfg(target_os = "linux")]
    ReadNow,
    /// For writing, at once; `ENXIO` without a reader.
    WriteNow,
    /// For reading, as soon as there is a writer.
    #[cfg(not(target_os = "linux"))]
    Read,
    /// For writing, as soon as there is a reader.
    Write,
}

impl Fifo {
    /// Finds the FIFO at the path, following symbolic links. Returns `None` if nothing is there.
    pub(crate) fn find(path: &Path) -> Result<Option<Self>, Kind> {
        let handle = match Handle::find(path) {
            Ok(handle) => handle,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return nothing_at(path),
            Err(error) => return Err(error.into()),
        };
        let metadata = handle.metadata()?;
        if !metadata.file_type().is_fifo() {
            return Err(Kind::NotFifo(describe(metadata.file_type())));
        }
        Ok(Some(Self {
            handle,
            path: path.to_owned(),
            id: FileId::of(&metadata),
        }))
    }

    /// The path where it was found.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that contains this very file, wherever symbolic links led.
    pub(crate) fn directory(&self) -> io::Result<PathBuf> {
        let this_file = self.handle.path();
        let place = this_file.and_then(|this_file| fs::read_link(this_file).ok());
        let place = place.unwrap_or_else(|| self.path.clone());
        if FileId::of(&fs::symlink_metadata(&place)?) != self.id {
            return Err(io::ErrorKind::NotFound.into());
        }
        let directory = place.parent().filter(|path| !path.as_os_str().is_empty());
        Ok(directory.unwrap_or(Path::new(".")).to_owned())
    }

    /// Opens one end of this very file.
    ///
    /// Without `/proc` it opens the path again and compares the file afterwards. A file that was
    /// put there in between is opened, but not read, written or truncated.
    pub(crate) fn open(&self, end: End) -> Result<File, Kind> {
        let file = self.reached(|path| open_interruptibly(path, end))?;
        if FileId::of(&file.metadata()?) == self.id {
            Ok(file)
        } else {
            Err(Kind::Removed)
        }
    }

    /// Calls `act` with a path that leads to this very file, or without `/proc` with the path where
    /// it was found.
    pub(crate) fn reached<T>(&self, act: impl Fn(&Path) -> nix::Result<T>) -> nix::Result<T> {
        match self.handle.path().map(|this_file| act(&this_file)) {
            None | Some(Err(Errno::ENOENT)) => act(&self.path),
            Some(done) => done,
        }
    }

    /// Fails when the path no longer names this file. If that cannot be checked, the wait
    /// continues.
    pub(crate) fn still_there(&self) -> Result<(), Kind> {
        match fs::metadata(&self.path) {
            Ok(metadata) if FileId::of(&metadata) != self.id => Err(Kind::Removed),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Err(Kind::Removed)
            }
            _ => Ok(()),
        }
    }
}

impl FileId {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

impl End {
    /// No `O_CREAT`, no `O_TRUNC`.
    fn flags(self) -> OFlag {
        match self {
            #[cfg(target_os = "linux")]
            Self::ReadNow => OFlag::O_RDONLY | OFlag::O_NONBLOCK,
            Self::WriteNow => OFlag::O_WRONLY | OFlag::O_NONBLOCK,
            #[cfg(not(target_os = "linux"))]
            Self::Read => OFlag::O_RDONLY,
            Self::Write => OFlag::O_WRONLY,
        }
    }
}

/// The standard library would retry after a signal, and then a wait could not be cancelled.
fn open_interruptibly(path: &Path, end: End) -> nix::Result<File> {
    open(path, end.flags() | OFlag::O_CLOEXEC, Mode::empty()).map(File::from)
}

/// Fails unless the path itself is a FIFO. A symbolic link to a FIFO does not count.
pub(crate) fn check_is_no_link(path: &Path) -> Result<(), Kind> {
    let file_type = fs::symlink_metadata(path)?.file_type();
    if file_type.is_fifo() {
        Ok(())
    } else {
        Err(Kind::NotFifo(describe(file_type)))
    }
}

/// Handles `ENOENT`: nothing is there, or a symbolic link to nothing.
fn nothing_at(path: &Path) -> Result<Option<Fifo>, Kind> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_symlink() => {
            Err(Kind::NotFifo("a dangling symbolic link"))
        }
        // Something appeared in between. The caller then tries to create it, or checks again.
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn describe(file_type: fs::FileType) -> &'static str {
    match file_type {
        t if t.is_dir() => "a directory",
        t if t.is_symlink() => "a symbolic link",
        t if t.is_socket() => "a socket",
        t if t.is_char_device() => "a character device",
        t if t.is_block_device() => "a block device",
        t if t.is_file() => "a regular file",
        _ => "something that is not a named pipe",
    }
}

/// Whether a failed [`End::WriteNow`] only means that there is no reader yet.
pub(crate) fn lacks_reader(kind: &Kind) -> bool {
    matches!(kind, Kind::Io(error) if error.raw_os_error() == Some(Errno::ENXIO as i32))
}
