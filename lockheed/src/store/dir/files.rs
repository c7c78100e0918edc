//! The files of the directory, which are changed so that none is ever half-written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use coord_core::Errno;
use nix::{libc, unistd::syncfs};

use super::{
    failed,
    guard::{Guard, Line},
    invalid, open,
    sharing::Sharing,
};
use crate::{
    LockName,
    store::{StoreError, StoreErrorKind},
};

/// The suffix of a lock's file name.
const SUFFIX: &str = ".json";

/// The longest name of a lock. A file name has at most 255 bytes, and temporary names are longer.
const LONGEST: usize = 244;

/// The largest lock: four times as much as a ConfigMap may have.
const LARGEST: u64 = 4 << 20;

/// The directory.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    sharing: Sharing,
    /// The kernel's ID of this boot.
    boot: String,
    pub(super) line: Line,
}

impl Files {
    /// Opens an existing directory.
    pub(super) fn open(dir: PathBuf) -> Result<Self, StoreError> {
        let metadata = fs::metadata(&dir).map_err(|error| failed("open", &dir, error))?;
        if !metadata.is_dir() {
            let error = io::Error::from_raw_os_error(libc::ENOTDIR);
            return Err(failed("open", &dir, error));
        }
        let sharing = Sharing::of(&metadata);
        let path = Path::new("/proc/sys/kernel/random/boot_id");
        let boot = fs::read_to_string(path).map_err(|error| failed("read", path, error))?;
        let boot = boot.trim().to_owned();
        Ok(Self {
            dir,
            sharing,
            boot,
            line: Line::default(),
        })
    }

    /// The boot ID as this process sees it.
    pub(super) fn boot(&self) -> &str {
        &self.boot
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    fn lock_path(&self, name: &LockName) -> PathBuf {
        self.dir.join(format!("{name}{SUFFIX}"))
    }

    /// The text of a lock.
    pub(super) fn read(&self, name: &LockName) -> Result<String, StoreError> {
        if name.as_str().len() > LONGEST {
            let text = format!(
                "its name has more than the {LONGEST} characters that are possible in a directory"
            );
            return Err(invalid(Errno::EINVAL, text));
        }
        let bytes = open::read(&self.lock_path(name), LARGEST)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The names of all locks, in order.
    pub(super) fn names(&self) -> Result<Vec<LockName>, StoreError> {
        let error = |error| failed("list", &self.dir, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(error)? {
            let file = entry.map_err(error)?.file_name();
            names.extend(file.to_str().and_then(Self::name_of));
        }
        names.sort();
        Ok(names)
    }

    /// The lock whose file this is, if it is a lock's file.
    pub(super) fn name_of(file: &str) -> Option<LockName> {
        let name = file.strip_suffix(SUFFIX)?;
        name.parse().ok().filter(|_| name.len() <= LONGEST)
    }

    /// Opens a file that every writer locks, and creates it if needed. Users who may only read the
    /// directory cannot open it. An existing file is never opened with `O_CREAT`: in a sticky
    /// directory the kernel refuses that for another user's file (`protected_regular`,
    /// `proc_sys_fs(5)`).
    pub(super) fn open_shared(&self, file: &str) -> Result<File, StoreError> {
        let path = self.path(file);
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        loop {
            match open::open(&options, &path) {
                Err(error) if error.kind() == StoreErrorKind::NotFound => {}
                opened => {
                    let file = opened?;
                    let repaired = self.sharing.repair(&file);
                    repaired.map_err(|error| failed("examine", &path, error))?;
                    return Ok(file);
                }
            }
            match open::open(options.clone().create_new(true), &path) {
                Err(error) if error.errno() == Errno::EEXIST => {}
                created => {
                    let file = created?;
                    let shared = self.sharing.apply(&file);
                    shared.map_err(|error| failed("share", &path, error))?;
                    return Ok(file);
                }
            }
        }
    }

    /// Opens such a file to ask who has locked it, if it exists.
    pub(super) fn open_to_ask(&self, file: &str) -> Result<File, StoreError> {
        open::open(OpenOptions::new().read(true), &self.path(file))
    }

    /// Replaces a lock's file completely or not at all.
    pub(super) fn replace(
        &self,
        guard: &Guard,
        name: &LockName,
        text: &str,
    ) -> Result<(), StoreError> {
        guard.check(self)?;
        self.write_whole(&format!("{name}{SUFFIX}"), text)
    }

    /// Removes a lock.
    pub(super) fn remove(&self, guard: &Guard, name: &LockName) -> Result<(), StoreError> {
        guard.check(self)?;
        let path = self.lock_path(name);
        let removed = fs::remove_file(&path).and_then(|()| self.sync());
        removed.map_err(|error| failed("remove", &path, error))
    }

    /// Writes the file under a temporary name and to the disk first, and then renames it. When this
    /// returns, a new name is on the disk too. For an existing name, a crash leaves either the old
    /// content or the new one, and both are complete. The caller must hold the guard.
    pub(super) fn write_whole(&self, file: &str, text: &str) -> Result<(), StoreError> {
        let (path, new) = (self.path(file), self.path(&format!(".{file}.new")));
        let write = || {
            // A file that a killed writer left may belong to another user.
            let _ = fs::remove_file(&new);
            let mut options = OpenOptions::new();
            let options = options.write(true).create_new(true).mode(0o644);
            let mut written = options.open(&new)?;
            self.sharing.apply(&written)?;
            written.write_all(text.as_bytes())?;
            // The mode is on the disk too, so after a power loss the same users can open the file.
            written.sync_all()?;
            let is_new = fs::symlink_metadata(&path).is_err();
            fs::rename(&new, &path)?;
            if is_new { self.sync() } else { Ok(()) }
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&new);
            self.explain(failed("write", &path, error))
        })
    }

    /// Puts the names in the directory on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    /// Puts the directory's own name on the disk, and those of its parents up to the root of its
    /// file system, since somebody may just have created them.
    pub(super) fn sync_above(&self) -> io::Result<()> {
        let id = |file: &File| file.metadata().map(|file| id_of(&file));
        let mut path = self.dir.clone();
        let mut below = id(&File::open(&path)?)?;
        loop {
            path.push("..");
            let above = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Ok(syncfs(File::open(&self.dir)?)?);
                }
                opened => opened?,
            };
            let here = id(&above)?;
            if here.0 != below.0 || here == below {
                return Ok(());
            }
            above.sync_all()?;
            below = here;
        }
    }

    /// In a sticky directory nobody can replace another user's file, `unlink(2)`.
    fn explain(&self, error: StoreError) -> StoreError {
        let is_sticky = || fs::metadata(&self.dir).is_ok_and(|dir| dir.mode() & 0o1000 != 0);
        if error.errno() != Errno::EPERM || !is_sticky() {
            return error;
        }
        let text = format!(
            "{error}: {:?} is sticky, so its files cannot be replaced by other users: chmod -t it",
            self.dir
        );
        StoreError::new(StoreErrorKind::Denied, Errno::EPERM, text)
    }
}

/// Creates the directory and its parents; the directory gets this mode, if there is one.
pub(super) fn make(dir: &Path, mode: Option<u32>) -> io::Result<()> {
    let made = match mode {
        None => fs::create_dir_all(dir),
        Some(mode) => make_with(dir, mode),
    };
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::metadata(dir)? {
            there if there.is_dir() => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::ENOTDIR)),
        },
        made => made,
    }
}

fn make_with(dir: &Path, mode: u32) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::DirBuilder::new().mode(0o700).create(dir)?;
    // Sets the mode regardless of the umask.
    fs::set_permissions(dir, fs::Permissions::from_mode(mode))
}

/// The device and the inode.
pub(super) type FileId = (u64, u64);

pub(super) fn id_of(file: &fs::Metadata) -> FileId {
    (file.dev(), file.ino())
}

/// Whether the path still names this file.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let ours = file.metadata().map(|file| id_of(&file));
    let theirs = fs::symlink_metadata(path).map(|file| id_of(&file));
    matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_directory_and_a_link_to_nowhere_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        fs::write(&file, "").unwrap();
        let dangling = dir.path().join("dangling");
        std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
        for mode in [None, Some(0o700)] {
            let error = make(&file, mode).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
            make(dir.path(), mode).unwrap();
            let error = make(&dangling, mode).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}
