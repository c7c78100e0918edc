//! What inotify reports about a directory, `inotify(7)`.

use std::{
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use log::warn;
use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent},
};

use crate::{
    entries::{FILE, LOST_AND_FOUND},
    error::Kind,
};

/// The events of one directory. Reading the directory causes none of them; otherwise five hundred
/// followers would wake each other.
#[derive(Debug)]
pub(crate) struct Events(Inotify);

/// What has happened since the last call.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// The directory must be read again.
    pub(crate) any: bool,
    /// The directory was removed and is no longer watched.
    pub(crate) gone: bool,
    /// An entry was created, whether it is still there or not.
    pub(crate) made: bool,
    /// A record was closed after writing.
    pub(crate) written: bool,
    /// A file was closed after writing, perhaps the leader's.
    pub(crate) closed: bool,
}

impl Events {
    /// Returns `None`, with a warning, when inotify instances are used up or inotify is refused.
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

    /// Takes the events that are waiting.
    pub(crate) fn drain(&self, changes: &mut Changes) {
        while let Ok(events) = self.0.read_events() {
            events.into_iter().for_each(|event| changes.note(event));
        }
    }

    fn watch(dir: &Path) -> Result<Self, (&'static str, Errno)> {
        let events = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(|error| ("inotify_init1", error))?;
        let wanted = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let added = events.add_watch(dir, wanted);
        added.map_err(|error| ("inotify_add_watch", error))?;
        Ok(Self(events))
    }
}

impl Changes {
    fn note(&mut self, event: InotifyEvent) {
        let is = |mask| event.mask.intersects(mask);
        self.any = true;
        self.gone |= is(AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_IGNORED);
        // Any event may be among those that were dropped.
        self.closed |= is(AddWatchFlags::IN_Q_OVERFLOW);
        let Some(name) = event.name else { return };
        if is(AddWatchFlags::IN_CLOSE_WRITE) {
            self.written |= name == FILE;
            self.closed = true;
        } else if is(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO) {
            self.made |= name != LOST_AND_FOUND;
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File, Permissions},
        os::unix::fs::PermissionsExt,
    };

    use super::*;

    #[test]
    fn events_that_were_dropped_may_have_been_of_the_leaders_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        File::create(&file).unwrap();
        let events = Events::of(dir.path()).unwrap().unwrap();
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let most: usize = most.trim().parse().unwrap();
        // Two of the same kind, one after the other, would be one event.
        for changed in [dir.path(), &file].iter().cycle().take(most + 1) {
            fs::set_permissions(changed, Permissions::from_mode(0o700)).unwrap();
        }
        let mut changes = Changes::default();
        events.drain(&mut changes);
        assert!(changes.any && changes.closed && !changes.made);
    }
}
