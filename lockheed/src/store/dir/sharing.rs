//! Who may use what is made in the directory: whoever may write to the directory.

use std::{
    fs::{File, Metadata, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
};

/// The classes of users that may write to the directory, and its group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sharing {
    /// For each class of the directory's mode that may write, read and write.
    writers: u32,
    group: u32,
}

impl Sharing {
    /// As this directory has it.
    pub(super) fn of(dir: &Metadata) -> Self {
        let writers = dir.mode() & 0o222;
        Self {
            writers: 0o600 | writers | writers << 1,
            group: dir.gid(),
        }
    }

    /// Lets all who may write to the directory use a file that was just made, whatever the umask
    /// and the maker's group are.
    pub(super) fn apply(self, file: &File) -> io::Result<()> {
        let made = file.metadata()?;
        let mut mode = made.mode() & 0o666 | self.writers;
        let is_for_group = mode >> 3 & 7 != mode & 7;
        if is_for_group && made.gid() != self.group && fchown(file, None, Some(self.group)).is_err()
        {
            // The file's group is not the directory's, so its members are like all others.
            mode = mode & !0o070 | (mode & 0o007) << 3;
        }
        if made.mode() & 0o777 == mode {
            return Ok(());
        }
        file.set_permissions(Permissions::from_mode(mode))
    }

    /// Lets those use a file who may write to the directory, in case its maker was killed before
    /// that was done, or a power loss undid it; and takes it from those who may only read it:
    /// whoever can open it can lock it, `flock(2)`. An earlier version made it readable. Only the
    /// owner can do that.
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
