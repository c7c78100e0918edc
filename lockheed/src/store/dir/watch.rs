//! Watching the directory: by `inotify(7)`, and by looking again now and then, for what it does not tell.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use coord_core::Errno;
use coord_lease::Pollable;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::{io::unix::AsyncFd, time::sleep};

use super::{DirStore, failed, files::Files};
use crate::{
    LockName,
    store::{Change, Object, Scope, StoreError, StoreErrorKind, Version, Watch},
};

/// How often it is looked at beside the events: a holder's death is an event too, but one that comes a little early.
const SELDOM: Duration = Duration::from_secs(1);

/// How often where there are no events, since the user has too many watches already (`max_user_instances`, `inotify(7)`).
const OFTEN: Duration = Duration::from_millis(100);

/// A closed file is told before its locks are free; by these it is.
const SOON: [Duration; 4] = [
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(25),
    Duration::from_millis(100),
];

/// The changes of a directory, or of one lock in it.
#[derive(Debug)]
pub struct DirWatch {
    store: DirStore,
    scope: Scope,
    events: Option<AsyncFd<Pollable<Inotify>>>,
    seen: BTreeMap<LockName, Object>,
    /// What whoever watches knows. It is told all the same: the holder may have died since, which makes no new version.
    since: Option<Version>,
    queue: VecDeque<Change>,
    /// How many of the early looks are to come.
    soon: usize,
    /// It has been looked at once.
    begun: bool,
    /// Something may have changed since it was last looked at; kept here, since a look may be given up half-way.
    due: bool,
}

impl DirWatch {
    pub(super) async fn begin(
        store: DirStore,
        scope: Scope,
        since: Option<&Version>,
    ) -> Result<Self, StoreError> {
        let events = match inotify(&store) {
            Err(error) if error.kind() == StoreErrorKind::Unavailable => None,
            events => Some(events?),
        };
        Ok(Self {
            store,
            scope,
            events,
            seen: BTreeMap::new(),
            since: since.cloned(),
            queue: VecDeque::new(),
            soon: 0,
            begun: false,
            due: true,
        })
    }

    /// Looks, and queues what is other than before.
    async fn look(&mut self) -> Result<(), StoreError> {
        let scope = self.scope.clone();
        let look = move |store: &DirStore| {
            let last = store.files.counted()?;
            let found = match scope {
                Scope::All => store.all()?,
                Scope::Lock(name) => match store.look(&name) {
                    Err(error) if error.kind() == StoreErrorKind::NotFound => Vec::new(),
                    object => vec![object?],
                },
            };
            Ok((last, found))
        };
        let (last, found) = self.store.blocking(look).await?;
        self.due = false;
        self.compare(last, found);
        Ok(())
    }

    fn compare(&mut self, last: u64, found: Vec<Object>) {
        let first = !std::mem::replace(&mut self.begun, true);
        let mut before = std::mem::take(&mut self.seen);
        for object in found {
            let known = before
                .remove(&object.name)
                .is_some_and(|known| known == object);
            if !known {
                self.queue.push_back(Change::Written(object.clone()));
            }
            self.seen.insert(object.name.clone(), object);
        }
        self.queue_gone(before, &Version::new(last.to_string()), first);
    }

    /// What was there and is not; and a lock that was gone before it was first looked at.
    fn queue_gone(&mut self, before: BTreeMap<LockName, Object>, version: &Version, first: bool) {
        let mut gone: Vec<_> = before.into_values().collect();
        let known = first && self.since.is_some() && self.seen.is_empty();
        if let (true, Scope::Lock(name)) = (known, &self.scope) {
            gone.push(Object::new(name));
        }
        let deleted = gone.into_iter().map(|object| {
            let version = version.clone();
            Change::Deleted(Object { version, ..object })
        });
        self.queue.extend(deleted);
    }

    /// Returns when it is time to look again.
    async fn wait(&mut self) -> Result<(), StoreError> {
        let pause = match (self.soon.checked_sub(1), &self.events) {
            (Some(left), _) => SOON[SOON.len() - 1 - left],
            (None, Some(_)) => SELDOM,
            (None, None) => OFTEN,
        };
        let may_be_dead = tokio::select! {
            () = sleep(pause) => false,
            told = told(self.events.as_ref(), &self.store, &self.scope) => told?,
        };
        self.soon = if may_be_dead {
            SOON.len()
        } else {
            self.soon.saturating_sub(1)
        };
        self.due = true;
        Ok(())
    }
}

impl Watch for DirWatch {
    async fn next(&mut self) -> Result<Option<Change>, StoreError> {
        loop {
            if let Some(change) = self.queue.pop_front() {
                return Ok(Some(change));
            }
            if !self.due {
                self.wait().await?;
            }
            self.look().await?;
        }
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
    inotify
        .add_watch(store.path(), flags)
        .map_err(|failure| match failure {
            // The limit of watches, not of the disk.
            nix::errno::Errno::ENOSPC => error(nix::errno::Errno::EMFILE),
            failure => error(failure),
        })?;
    Pollable::register(inotify).map_err(|error| failed("watch", store.path(), error))
}

/// Returns when something has happened to a lock (false), or a holder may have died (true).
async fn told(
    events: Option<&AsyncFd<Pollable<Inotify>>>,
    store: &DirStore,
    scope: &Scope,
) -> Result<bool, StoreError> {
    let Some(events) = events else {
        return std::future::pending().await;
    };
    let error = |error| failed("watch", store.path(), error);
    loop {
        let mut ready = events.readable().await.map_err(error)?;
        let told = match ready.get_inner().get().read_events() {
            Ok(told) => told,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => {
                ready.clear_ready();
                continue;
            }
            Err(failure) => return Err(error(failure.into())),
        };
        match judge(&told, scope) {
            Told::Nothing => {}
            Told::Changed => return Ok(false),
            Told::MaybeDead => return Ok(true),
            Told::Gone => return Err(gone(store)),
        }
    }
}

#[derive(PartialEq)]
enum Told {
    Nothing,
    Changed,
    MaybeDead,
    Gone,
}

fn judge(events: &[InotifyEvent], scope: &Scope) -> Told {
    let all = || events.iter().map(|event| meaning(event, scope));
    let order = [Told::Gone, Told::MaybeDead, Told::Changed];
    let most = order.into_iter().find(|told| all().any(|one| one == *told));
    most.unwrap_or(Told::Nothing)
}

fn meaning(event: &InotifyEvent, scope: &Scope) -> Told {
    let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_IGNORED;
    let file = event.name.as_ref().and_then(|name| name.to_str());
    match file {
        _ if event.mask.intersects(gone) => Told::Gone,
        Some(".holders") => Told::MaybeDead,
        Some(file) if Files::name_of(file).is_none_or(|name| !scope.covers(&name)) => Told::Nothing,
        // Also when events were lost, and no name is told.
        _ => Told::Changed,
    }
}

fn gone(store: &DirStore) -> StoreError {
    let text = format!("{:?} was removed while it was watched", store.path());
    StoreError::new(StoreErrorKind::NotFound, Errno::ENOENT, text)
}
