//! What inotify says about a directory, `inotify(7)`.

use std::{
    ffi::OsStr,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use log::warn;
use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
};

use crate::{dir::FILE, error::Kind};

/// The events of one directory. Its looks at the directory cause none, or five hundred followers would wake each other.
#[derive(Debug)]
pub(crate) struct Events(Inotify);

impl Events {
    /// None, with a warning, when inotify is used up.
    pub(crate) fn of(dir: &Path) -> Result<Option<Self>, Kind> {
        match Self::watch(dir) {
            Ok(events) => Ok(Some(Self(events))),
            Err(
                error @ (Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOSPC
                | Errno::ENOMEM
                | Errno::ENOSYS),
            ) => {
                warn!("no events for {dir:?}, looking four times a second: {error}");
                Ok(None)
            }
            Err(error) => Err(Kind::io("watch")(error)),
        }
    }

    /// Takes what is there; true when a record was closed after writing.
    pub(crate) fn drain(&self) -> bool {
        let mut written = false;
        while let Ok(events) = self.0.read_events() {
            written |= events.iter().any(|event| {
                let closed = event.mask.contains(AddWatchFlags::IN_CLOSE_WRITE);
                closed && event.name.as_deref() == Some(OsStr::new(FILE))
            });
        }
        written
    }

    fn watch(dir: &Path) -> nix::Result<Inotify> {
        let events = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let wanted = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        events.add_watch(dir, wanted)?;
        Ok(events)
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
