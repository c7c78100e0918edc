//! Everybody who may write to the directory may use the files made in it.

use std::{
    fs::{File, Metadata, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
};

/// The directory's group, and the classes of users that may write to the directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sharing {
    /// Read and write permission for each class of users that may write to the directory.
    writers: u32,
    group: u32,
}

impl Sharing {
    /// Reads this from the directory.
    pub(super) fn of(dir: &Metadata) -> Self {
        let writers = dir.mode() & 0o222;
        Self {
            writers: 0o600 | writers | writers << 1,
            group: dir.gid(),
        }
    }

    /// Lets all who may write to the directory use a new file, whatever the umask and the maker's
    /// group.
    pub(super) fn apply(self, file: &File) -> io::Result<()> {
        let made = file.metadata()?;
        let mut mode = made.mode() & 0o666 | self.writers;
        let is_for_group = mode >> 3 & 7 != mode & 7;
        if is_for_group && made.gid() != self.group && fchown(file, None, Some(self.group)).is_err()
        {
            // The file's group is not the directory's, so its members get the permissions of
            // others.
            mode = mode & !0o070 | (mode & 0o007) << 3;
        }
        if made.mode() & 0o777 == mode {
            return Ok(());
        }
        file.set_permissions(Permissions::from_mode(mode))
    }

    /// Repairs the permissions of a file, which only its owner can do. The maker may have been
    /// killed before it set them, or a power loss may have undone them. Also withdraws permission
    /// from users who may only read the directory, since everybody who can open a file can lock it
    /// (`flock(2)`). An earlier version made the file readable.
    pub(super) fn repair(self, file: &File) -> io::Result<()> {
        let _ = self.apply(file);
        let mode = file.metadata()?.mode() & 0o777;
        let writers = mode & 0o222;
        let exclusive = mode & (writers | writers << 1);
        if exclusive != mode {
            let _ = file.set_permissions(Permissions::from_mode(exclusive));
        }
        Ok(())
    }
}
