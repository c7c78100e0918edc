//! Who can have written a pidfile, and so whether it can be trusted.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fmt,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use nix::libc;

use crate::users;

/// The number of symbolic links that the kernel follows in one path, `path_resolution(7)`.
const MOST_LINKS: usize = 40;

/// Who, besides root and the caller, can have written a file or replaced it.
#[derive(Debug)]
pub(crate) enum Writers {
    Nobody,
    /// Only the file's owner.
    Owner(u32),
    Others(Doubt),
}

/// Why a file proves nothing about the process that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Others may write to this file or directory, which has this mode.
    Writable(PathBuf, u32),
    /// This user owns a directory or a link, and can replace what it leads to.
    Owned(PathBuf, u32),
    /// The file has another name too, and anybody may have given it this one.
    Linked,
    /// The file is this user's, but the process is not.
    NotTheOwners(u32),
    /// The file is this user's, and `/proc` does not show whose the process is.
    UnknownOwner(u32),
}

/// Determines who can have written the file that was opened at this path.
pub(crate) fn writers(path: &Path, file: &Metadata) -> io::Result<Writers> {
    let way = way_to(path)?;
    let owner = file.uid();
    // In a user namespace without a number for the real root, root's directories, such as `/`, seem
    // to be nobody's.
    let root = way[0].1.uid();
    let last = way.iter().rposition(|(_, found)| found.is_dir());
    for (index, (path, found)) in way.iter().enumerate() {
        let is_roots = found.uid() == root && Some(index) != last;
        let is_known = is_ours(found.uid()) || found.uid() == owner || is_roots;
        if !is_known {
            return Ok(Writers::Others(Doubt::Owned(path.clone(), found.uid())));
        }
        let is_sticky = found.mode() & libc::S_ISVTX != 0;
        if found.is_dir() && !is_sticky && others_may_write(found, owner) {
            let mode = found.mode() & 0o7777;
            return Ok(Writers::Others(Doubt::Writable(path.clone(), mode)));
        }
    }
    let directory = last.map(|last| &way[last].1);
    if file.nlink() > 1 && directory.is_some_and(|directory| others_may_write(directory, owner)) {
        return Ok(Writers::Others(Doubt::Linked));
    }
    Ok(match () {
        () if others_may_write(file, owner) => {
            Writers::Others(Doubt::Writable(path.to_owned(), file.mode() & 0o7777))
        }
        () if is_ours(owner) => Writers::Nobody,
        () => Writers::Owner(owner),
    })
}

/// Whether only root or the caller can have written into this file, wherever it is.
pub(crate) fn is_our_own(file: &Metadata) -> bool {
    is_ours(file.uid()) && file.mode() & 0o022 == 0
}

fn is_ours(user: u32) -> bool {
    user == 0 || user == nix::unistd::geteuid().as_raw()
}

/// Whether anybody except root, the caller and this owner may write: everybody, or a group with
/// other members. The mode also covers access control lists: it shows their mask as the group's
/// bits, `acl(5)`.
fn others_may_write(found: &Metadata, owner: u32) -> bool {
    let of_group = found.mode() & 0o020 != 0;
    let is_known = |user| is_ours(user) || user == owner;
    found.mode() & 0o002 != 0 || of_group && !users::are_all(found.gid(), is_known)
}

/// The directories in which the names of a path are looked up, starting at `/`, and the symbolic
/// links on the way.
fn way_to(path: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut at = PathBuf::from("/");
    let mut way = vec![(at.clone(), fs::symlink_metadata(&at)?)];
    let mut names = VecDeque::new();
    let mut links = 0;
    put_first(&mut names, &std::path::absolute(path)?);
    while let Some(name) = names.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let path = at.join(name);
        let found = match fs::symlink_metadata(&path) {
            // It was opened, and has been removed since.
            Err(error) if error.kind() == io::ErrorKind::NotFound && names.is_empty() => break,
            found => found?,
        };
        if found.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(io::Error::from_raw_os_error(libc::ELOOP));
            }
            let target = fs::read_link(&path)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            put_first(&mut names, &target);
        } else {
            at.clone_from(&path);
        }
        way.push((path, found));
    }
    way.retain(|(_, found)| found.is_dir() || found.is_symlink());
    Ok(way)
}

fn put_first(names: &mut VecDeque<std::ffi::OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => names.push_front(name.to_owned()),
            Component::ParentDir => names.push_front(OsStr::new("..").to_owned()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Writable(path, mode) => {
                write!(f, "others may write to {path:?} (mode {mode:04o})")
            }
            Doubt::Owned(path, user) => write!(f, "user {user} owns {path:?}"),
            Doubt::Linked => f.write_str("the file has another name, in a directory of others"),
            Doubt::NotTheOwners(user) => {
                write!(f, "user {user} owns the file, but not the process")
            }
            Doubt::UnknownOwner(user) => {
                write!(
                    f,
                    "user {user} owns the file, and the owner of the process is unknown"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{File, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    #[test]
    fn a_way_ends_where_something_has_gone_and_after_as_many_links_as_the_kernel_follows() {
        let dir = tempfile::tempdir().unwrap();
        let link = |number: usize| dir.path().join(number.to_string());
        let length = |path: &Path| way_to(path).map(|way| way.len());
        let to_directory = length(dir.path()).unwrap();
        assert_eq!(length(&dir.path().join("gone")).unwrap(), to_directory);
        length(&dir.path().join("gone/below")).unwrap_err();
        for number in 0..=MOST_LINKS {
            symlink((number + 1).to_string(), link(number)).unwrap();
        }
        let links = to_directory + MOST_LINKS;
        assert_eq!(length(&link(1)).unwrap(), links);
        let error = length(&link(0)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn a_file_that_others_may_write_to_is_shown_with_its_permissions_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pid");
        let file = File::create(&path).unwrap();
        file.set_permissions(Permissions::from_mode(0o646)).unwrap();
        let writers = writers(&path, &file.metadata().unwrap()).unwrap();
        let Writers::Others(doubt) = writers else {
            panic!("{writers:?}");
        };
        assert_eq!(doubt, Doubt::Writable(path, 0o646));
    }
}
