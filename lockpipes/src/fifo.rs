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
    libc::{self, mode_t},
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
            return Err(Kind::NotFifo(describe(&metadata)));
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
    let metadata = fs::symlink_metadata(path)?;
    if metadata.file_type().is_fifo() {
        Ok(())
    } else {
        Err(Kind::NotFifo(describe(&metadata)))
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

fn describe(metadata: &fs::Metadata) -> &'static str {
    #[allow(clippy::cast_possible_truncation, reason = "it comes from a mode_t")]
    in_words(metadata.mode() as mode_t)
}

fn in_words(mode: mode_t) -> &'static str {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => "a directory",
        libc::S_IFLNK => "a symbolic link",
        libc::S_IFSOCK => "a socket",
        libc::S_IFCHR => "a character device",
        libc::S_IFBLK => "a block device",
        libc::S_IFREG => "a regular file",
        _ => "something that is not a named pipe",
    }
}

/// Whether a failed [`End::WriteNow`] only means that there is no reader yet.
pub(crate) fn lacks_reader(kind: &Kind) -> bool {
    matches!(kind, Kind::Io(error) if error.raw_os_error() == Some(Errno::ENXIO as i32))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::unistd::mkfifo;
    use tempfile::TempDir;

    use super::*;

    /// A directory with a FIFO of this name in it.
    fn found(name: &str) -> (TempDir, PathBuf, Fifo) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let fifo = Fifo::find(&path).unwrap().unwrap();
        (directory, path, fifo)
    }

    #[test]
    fn a_fifo_is_in_the_directory_where_its_links_lead() {
        let (directory, path, _) = found("below/fifo");
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        let below = fs::canonicalize(path.parent().unwrap()).unwrap();
        let fifo = Fifo::find(&link).unwrap().unwrap();
        assert_eq!(fs::canonicalize(fifo.directory().unwrap()).unwrap(), below);
        fs::remove_file(path).unwrap();
        fifo.directory().unwrap_err();
    }

    /// Without `/proc` it would be the other one that is opened.
    #[test]
    #[cfg(target_os = "linux")]
    fn what_was_found_is_opened_and_not_what_took_its_place() {
        let (directory, path, fifo) = found("fifo");
        fs::rename(&path, directory.path().join("moved")).unwrap();
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let opened = fifo.open(End::ReadNow).unwrap();
        assert_eq!(FileId::of(&opened.metadata().unwrap()), fifo.id);
        assert!(matches!(fifo.still_there(), Err(Kind::Removed)));
    }

    /// There is nothing but a link that leads to itself.
    #[test]
    fn a_path_that_cannot_be_looked_up_may_still_lead_to_the_fifo() {
        let (directory, path, fifo) = found("below/fifo");
        let below = path.parent().unwrap();
        fs::rename(below, directory.path().join("moved")).unwrap();
        assert!(matches!(fifo.still_there(), Err(Kind::Removed)));
        symlink(below, below).unwrap();
        fifo.still_there().unwrap();
        let found = Fifo::find(&path);
        assert!(matches!(found, Err(Kind::Io(_))), "{found:?}");
        assert!(nothing_at(&path).is_err());
        assert!(matches!(
            nothing_at(below),
            Err(Kind::NotFifo("a dangling symbolic link"))
        ));
        let appeared = nothing_at(directory.path());
        assert!(
            matches!(appeared, Ok(None)),
            "it appeared meanwhile: {appeared:?}"
        );
        assert!(
            nothing_at(&directory.path().join("gone"))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn only_a_fifo_without_a_reader_lacks_one() {
        let (_directory, _, fifo) = found("fifo");
        assert!(lacks_reader(&fifo.open(End::WriteNow).unwrap_err()));
        assert!(!lacks_reader(&Errno::EACCES.into()));
        assert!(!lacks_reader(&Kind::Removed));
    }

    #[test]
    fn what_is_no_fifo_is_named() {
        let types = [
            (libc::S_IFDIR, "a directory"),
            (libc::S_IFLNK, "a symbolic link"),
            (libc::S_IFSOCK, "a socket"),
            (libc::S_IFCHR, "a character device"),
            (libc::S_IFBLK, "a block device"),
            (libc::S_IFREG, "a regular file"),
            (0, "something that is not a named pipe"),
        ];
        for (kind, words) in types {
            assert_eq!(in_words(kind | 0o644), words);
        }
    }
}
