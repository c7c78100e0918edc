//! Events of the directory from `inotify(7)`.

use std::mem;

use coord_core::{Errno, timer::Pollable};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::io::unix::AsyncFd;

use super::{DirStore, alive::HOLDERS, failed, files::Files};
use crate::store::{Scope, StoreError, StoreErrorKind};

/// The events of the directory.
#[derive(Debug, Default)]
pub(super) enum Events {
    /// There are no events: the user already has too many watches.
    #[default]
    Missing,
    Told(AsyncFd<Pollable<Inotify>>),
    /// The kernel queues the events, and they wake nobody.
    Kept(Inotify),
}

/// What has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Happened {
    /// A lock was changed.
    pub(super) changed: bool,
    /// A holder may have died.
    pub(super) maybe_dead: bool,
}

impl Events {
    pub(super) fn of(store: &DirStore) -> Result<Self, StoreError> {
        match inotify(store) {
            Err(error) if error.kind() == StoreErrorKind::Unavailable => Ok(Self::Missing),
            events => Ok(Self::Told(events?)),
        }
    }

    pub(super) fn are_there(&self) -> bool {
        !matches!(self, Self::Missing)
    }

    /// Stops events from waking anybody until somebody asks for them.
    pub(super) fn keep(&mut self) {
        *self = match mem::take(self) {
            Self::Told(events) => Self::Kept(events.into_inner().into_inner()),
            other => other,
        };
    }

    /// Returns when something has happened to these locks.
    pub(super) async fn next(
        &mut self,
        store: &DirStore,
        scope: &Scope,
    ) -> Result<Happened, StoreError> {
        let error = |error| failed("watch", store.path(), error);
        *self = match mem::take(self) {
            Self::Kept(events) => Self::Told(Pollable::register(events).map_err(error)?),
            other => other,
        };
        let Self::Told(events) = self else {
            return std::future::pending().await;
        };
        loop {
            let mut ready = events.readable().await.map_err(error)?;
            let read = match ready.get_inner().get().read_events() {
                Ok(read) => read,
                Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => {
                    ready.clear_ready();
                    continue;
                }
                Err(failure) => return Err(error(failure.into())),
            };
            let is = |what| read.iter().any(|event| meaning(event, scope) == what);
            if is(Meaning::Gone) {
                return Err(gone(store));
            }
            let happened = Happened {
                changed: is(Meaning::Changed),
                maybe_dead: is(Meaning::MaybeDead),
            };
            if happened != Happened::default() {
                return Ok(happened);
            }
        }
    }
}

#[derive(PartialEq)]
enum Meaning {
    Nothing,
    Changed,
    MaybeDead,
    Gone,
}

fn meaning(event: &InotifyEvent, scope: &Scope) -> Meaning {
    let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_IGNORED;
    let file = event.name.as_ref().and_then(|name| name.to_str());
    let is_other = |file| Files::name_of(file).is_none_or(|name| !scope.covers(&name));
    match file {
        _ if event.mask.intersects(gone) => Meaning::Gone,
        Some(HOLDERS) => Meaning::MaybeDead,
        Some(file) if is_other(file) => Meaning::Nothing,
        // Also covers lost events, which have no name.
        _ => Meaning::Changed,
    }
}

fn inotify(store: &DirStore) -> Result<AsyncFd<Pollable<Inotify>>, StoreError> {
    let error = |error: nix::errno::Errno| failed("watch", store.path(), error.into());
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(error)?;
    let flags = AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_ONLYDIR;
    let added = inotify.add_watch(store.path(), flags);
    added.map_err(|failure| match failure {
        // This is the limit of inotify watches, not of the disk.
        nix::errno::Errno::ENOSPC => error(nix::errno::Errno::EMFILE),
        failure => error(failure),
    })?;
    Pollable::register(inotify).map_err(|error| failed("watch", store.path(), error))
}

fn gone(store: &DirStore) -> StoreError {
    let text = format!("{:?} was removed while it was watched", store.path());
    StoreError::new(StoreErrorKind::NotFound, Errno::ENOENT, text)
}
