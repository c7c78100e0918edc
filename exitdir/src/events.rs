//! What inotify says about a directory, `inotify(7)`.

use std::{
    ffi::{OsStr, OsString},
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use log::warn;
use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor},
};

use crate::{
    entries::{FILE, LOST_AND_FOUND},
    error::Kind,
};

/// The events of one directory. Its looks at the directory cause none, or five hundred followers would wake each other.
#[derive(Debug)]
pub(crate) struct Events {
    inotify: Inotify,
    /// The directories above it, which are told when it goes, and its name there.
    parents: Vec<(WatchDescriptor, OsString)>,
    /// Whether the directory can go without an event.
    pub(crate) may_go_unseen: bool,
}

/// What has happened since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// There is reason to look.
    pub(crate) any: bool,
    /// An entry was made, whether it is still there or not.
    pub(crate) made: bool,
    /// A record was closed after writing.
    pub(crate) written: bool,
    /// Files that were closed after writing: a leader's may be among them.
    pub(crate) closed: Vec<OsString>,
}

impl Events {
    /// None, with a warning, when inotify is used up or refused.
    pub(crate) fn of(dir: &Path) -> Result<Option<Self>, Kind> {
        match Self::watch(dir) {
            Ok(events) => Ok(Some(events)),
            Err((
                call,
                error @ (Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOSPC
                | Errno::ENOMEM
                | Errno::EPERM
                | Errno::ENOSYS),
            )) => {
                warn!("no events for {dir:?}, looking four times a second: {error} ({call})");
                Ok(None)
            }
            Err((call, error)) => Err(Kind::call("watch", call)(error)),
        }
    }

    /// Takes what is there.
    pub(crate) fn drain(&self, news: &mut News) {
        while let Ok(events) = self.inotify.read_events() {
            for event in events {
                self.note(news, event);
            }
        }
    }

    fn note(&self, news: &mut News, event: InotifyEvent) {
        let of_parent = self.parents.iter().any(|(watch, _)| *watch == event.wd);
        let is_about = |name: &OsStr| {
            let mut parents = self.parents.iter();
            !of_parent || parents.any(|(watch, own)| *watch == event.wd && own == name)
        };
        news.any |= event.name.as_deref().is_none_or(is_about);
        let Some(name) = event.name.filter(|_| !of_parent) else {
            return;
        };
        if event.mask.contains(AddWatchFlags::IN_CLOSE_WRITE) {
            news.written |= name == FILE;
            news.closed.push(name);
        } else if event
            .mask
            .intersects(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)
        {
            news.made |= name != LOST_AND_FOUND;
        }
    }

    /// The parents first: what happens to the directory while it is being watched is then told by them.
    fn watch(dir: &Path) -> Result<Self, (&'static str, Errno)> {
        const ADD: &str = "inotify_add_watch";
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(|error| ("inotify_init1", error))?;
        let going = AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ONLYDIR;
        let mut parents = Vec::new();
        let mut may_go_unseen = false;
        for (parent, name) in parents_of(dir) {
            match inotify.add_watch(&parent, going) {
                Ok(watch) => parents.push((watch, name)),
                Err(error @ (Errno::EACCES | Errno::ENOENT | Errno::ENOTDIR)) => {
                    warn!(
                        "cannot watch {parent:?}, looking once a second whether {dir:?} is still there: {error}"
                    );
                    may_go_unseen = true;
                }
                Err(error) => return Err((ADD, error)),
            }
        }
        let wanted = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inotify
            .add_watch(dir, wanted)
            .map_err(|error| (ADD, error))?;
        Ok(Self {
            inotify,
            parents,
            may_go_unseen,
        })
    }
}

/// Where the directory is listed: under the path's own name, and where its symbolic links lead.
fn parents_of(dir: &Path) -> Vec<(PathBuf, OsString)> {
    let listed = |path: &Path| {
        let parent = path.parent()?;
        let parent = if parent == "" { Path::new(".") } else { parent };
        Some((parent.to_owned(), path.file_name()?.to_owned()))
    };
    let real = dir.canonicalize().ok().and_then(|real| listed(&real));
    let mut parents: Vec<_> = listed(dir).into_iter().chain(real).collect();
    parents.dedup();
    parents
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn a_directory_is_listed_where_its_links_lead_too() {
        let place = tempfile::tempdir().unwrap();
        let real = place.path().canonicalize().unwrap();
        fs::create_dir_all(real.join("a/dir")).unwrap();
        symlink("a/dir", real.join("link")).unwrap();
        let name = |name: &str| OsStr::new(name).to_owned();
        let expected = [(real.clone(), name("link")), (real.join("a"), name("dir"))];
        assert_eq!(parents_of(&real.join("link")), expected);
        assert_eq!(parents_of(&real.join("a/dir")), expected[1..]);
        assert_eq!(parents_of(Path::new("/")), []);
    }
}
