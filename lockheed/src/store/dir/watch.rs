//! Watches the directory with `inotify(7)`, and looks from time to time for changes without events.
//! Of those who wait for one lock, only the one with the turn sees events.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use coord_core::errno::with_sources;
use log::debug;
use tokio::time::sleep;

use super::{
    DirStore, Written, counter,
    events::{Events, Happened},
    format,
    queue::{Queue, Turn, Waiter},
};
use crate::{
    LockName,
    store::{Change, Object, Scope, StoreError, StoreErrorKind, Version, Watch},
};

/// How often to look in addition to events, which do not report that another directory has taken
/// the path.
const SELDOM: Duration = Duration::from_secs(10);

/// How often a waiter without the turn looks, since it sees no events.
const IN_LINE: Duration = Duration::from_secs(1);

/// How often to look if there are no events, because the user has too many inotify instances
/// (`max_user_instances`, `inotify(7)`).
const OFTEN: Duration = Duration::from_millis(100);

/// Without events, those far back in a fair queue look only once in so many of their rests, or
/// hundreds that wait would keep the processors busy. It is 10 ms for each waiter ahead: among so
/// many, a lock hardly changes hands faster.
const RESTS: u32 = 5;

/// The longest rest, so that the time of its end can be computed.
const LONGEST_REST: Duration = Duration::from_secs(86_400);

/// How seldom to look at most without events, if all who were ahead may have left at once. A waiter
/// that is named has 5 s to take the lock.
const FAR_BACK: Duration = Duration::from_secs(2);

/// When to look after a holder may have died, each counted from the look before. The event for a
/// closed file comes before its locks are free, on a busy machine long before.
const SOON: [Duration; 6] = [
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// How many of these looks to skip if many watch one lock, as in a fair queue, where each holder
/// that leaves wakes all of them.
const TOGETHER: usize = 2;

/// How long the waiter with the turn may leave a free lock alone. After that others pass it, since
/// it may be stopped.
const GRACE: Duration = Duration::from_secs(1);

/// The changes of a directory, or of one lock in it.
///
/// The watcher of one lock joins the queue for it, unless it holds the lock by a write through the
/// same store. It always sees who holds the lock. It sees that the lock is free only when it has
/// the turn, or when the waiter with the turn has left the lock free for a second.
#[derive(Debug)]
pub struct DirWatch {
    store: DirStore,
    scope: Scope,
    line: Line,
    written: Written,
    /// Since when the waiter with the turn has left the lock free, in this version.
    free: Option<(Version, Instant)>,
    events: Events,
    seen: BTreeMap<LockName, Object>,
    /// The version that the watcher knows. It is reported all the same, since the holder may have
    /// died meanwhile, which makes no new version.
    since: Option<Version>,
    queue: VecDeque<Change>,
    /// For how long nothing needs to be reported, and until when that is after the last look.
    rest: Duration,
    rest_until: Option<Instant>,
    /// When it looked last.
    looked: Instant,
    /// How many of the early looks remain.
    soon: usize,
    /// The first look has happened.
    begun: bool,
    /// Something may have changed since the last look. It is stored here because a look may be
    /// abandoned halfway.
    due: bool,
}

/// The watch's place in the queue.
#[derive(Debug)]
enum Line {
    /// It is in no queue, and sees everything.
    Outside,
    Waiting(Waiter),
    /// It has the turn, and sees everything.
    Turn(#[expect(dead_code, reason = "others have no turn while it is there")] Turn),
}

/// What a look found.
struct Sight {
    /// The number of the last write in the directory.
    last: u64,
    found: Vec<Object>,
    /// The number of the queue for the lock.
    queue: u64,
}

impl DirWatch {
    pub(super) async fn begin(
        store: DirStore,
        scope: Scope,
        since: Option<&Version>,
    ) -> Result<Self, StoreError> {
        let mut watch = Self {
            written: store.written.subscribe(),
            store,
            scope,
            line: Line::Outside,
            free: None,
            events: Events::default(),
            seen: BTreeMap::new(),
            since: since.cloned(),
            queue: VecDeque::new(),
            rest: Duration::ZERO,
            rest_until: None,
            looked: Instant::now(),
            soon: 0,
            begun: false,
            due: true,
        };
        let scope = watch.scope.clone();
        match scope {
            Scope::All | Scope::EachChange(_) => watch.listen()?,
            Scope::Lock(name) => watch.line_up(Queue { name, number: 0 }).await?,
        }
        Ok(watch)
    }

    /// Joins this queue, or a later one that the lock names.
    async fn line_up(&mut self, queue: Queue) -> Result<(), StoreError> {
        let holds = self
            .since
            .as_ref()
            .is_some_and(|since| self.is_ours(&queue.name, since));
        let line_up = move |store: &DirStore| {
            let named = store.read(&queue.name).map_or(0, |lock| lock.queue);
            let queue = Queue {
                number: queue.number.max(named),
                ..queue.clone()
            };
            match store.queues.try_turn(&store.files, &queue) {
                Ok(Some(turn)) => Line::Turn(turn),
                Ok(None) if !holds => {
                    let waiter = store.queues.wait(&store.files, &queue);
                    waiter.map_or(Line::Outside, Line::Waiting)
                }
                Ok(None) => Line::Outside,
                Err(error) => {
                    debug!("no queue for lock {}: {}", queue.name, with_sources(&error));
                    Line::Outside
                }
            }
        };
        self.line = self.store.blocking(move |store| Ok(line_up(store))).await?;
        self.free = None;
        self.listen()
    }

    /// Enables events for a watch that sees everything, and looks for what it has missed.
    fn listen(&mut self) -> Result<(), StoreError> {
        self.due = true;
        if matches!(self.line, Line::Waiting(_)) {
            return Ok(());
        }
        self.events = Events::of(&self.store)?;
        Ok(())
    }

    /// Whether this version of the lock was written through this store, by a holder.
    fn is_ours(&self, name: &LockName, version: &Version) -> bool {
        self.written.borrow().get(name) == Some(version)
    }

    /// Looks, and queues the changes to report.
    async fn look(&mut self) -> Result<(), StoreError> {
        let (scope, first) = (self.scope.clone(), !self.begun);
        let look = move |store: &DirStore| store.sight(&scope, first);
        let sight = self.store.blocking(look).await?;
        self.looked = Instant::now();
        self.due = false;
        if let Line::Waiting(waiter) = &self.line {
            let queue = waiter.queue().clone();
            if !self.concerns_a_waiter(&queue, &sight).await? {
                return Ok(());
            }
        }
        self.compare(sight.last, sight.found);
        Ok(())
    }

    /// Whether to report this to a waiter without the turn. A free lock is not reported.
    async fn concerns_a_waiter(
        &mut self,
        queue: &Queue,
        sight: &Sight,
    ) -> Result<bool, StoreError> {
        let lock = sight.found.first();
        if lock.is_some_and(|lock| self.is_ours(&queue.name, &lock.version)) {
            self.line = Line::Outside;
            self.listen()?;
            return Ok(true);
        }
        if sight.queue > queue.number {
            let number = sight.queue;
            self.line_up(Queue {
                number,
                ..queue.clone()
            })
            .await?;
            return Ok(false);
        }
        if lock.is_some_and(|lock| !format::is_free(lock)) {
            self.free = None;
            return Ok(true);
        }
        let version = lock.map(|lock| lock.version.clone()).unwrap_or_default();
        self.pass(queue, version).await?;
        Ok(false)
    }

    /// Takes the turn in a later queue when the waiter with the turn leaves the lock free: in the
    /// next queue first, and in the one after that if the waiter with the turn there does nothing
    /// either.
    async fn pass(&mut self, queue: &Queue, version: Version) -> Result<(), StoreError> {
        let since = match &self.free {
            Some((known, since)) if *known == version => *since,
            _ => {
                self.free = Some((version, Instant::now()));
                return Ok(());
            }
        };
        let graces = since.elapsed().as_secs() / GRACE.as_secs();
        if graces == 0 {
            return Ok(());
        }
        let later = Queue {
            number: queue.number + graces,
            ..queue.clone()
        };
        let take = move |store: &DirStore| store.queues.try_turn(&store.files, &later);
        if let Some(turn) = self.store.blocking(take).await? {
            self.line = Line::Turn(turn);
            self.listen()?;
        }
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

    /// Queues the deletions, including that of a lock that was gone before the first look.
    fn queue_gone(&mut self, before: BTreeMap<LockName, Object>, version: &Version, first: bool) {
        let mut gone: Vec<_> = before.into_values().collect();
        let known = first && self.since.is_some() && self.seen.is_empty();
        if let (true, Scope::Lock(name) | Scope::EachChange(name)) = (known, &self.scope) {
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
        match &mut self.line {
            Line::Waiting(waiter) => {
                let turn = tokio::select! {
                    turn = waiter.turn() => Some(turn),
                    () = sleep(IN_LINE) => None,
                    _ = self.written.changed() => None,
                };
                if let Some(turn) = turn {
                    self.line = turn.map_or(Line::Outside, Line::Turn);
                    self.listen()?;
                }
                self.due = true;
                Ok(())
            }
            Line::Outside | Line::Turn(_) => self.wait_for_event().await,
        }
    }

    async fn wait_for_event(&mut self) -> Result<(), StoreError> {
        if let Some(until) = self.rest_until {
            self.events.keep();
            sleep(until.saturating_duration_since(Instant::now())).await;
            self.rest_until = None;
        }
        while !self.due {
            let since = |pause| (self.looked + pause).saturating_duration_since(Instant::now());
            let pause = match self.soon.checked_sub(1) {
                Some(left) => SOON[SOON.len() - 1 - left],
                None if self.events.are_there() => since(SELDOM),
                None => since(self.without_events()),
            };
            let is_time = Happened {
                changed: true,
                ..Happened::default()
            };
            let happened = tokio::select! {
                () = sleep(pause) => is_time,
                happened = self.events.next(&self.store, &self.scope) => happened?,
            };
            let together = matches!(self.scope, Scope::EachChange(_));
            self.due = happened.changed || !together;
            self.soon = match (happened.maybe_dead, together) {
                (true, true) => SOON.len() - TOGETHER,
                (true, false) => SOON.len(),
                (false, _) => self.soon.saturating_sub(1),
            };
        }
        // An instance may be free by now. Those far back leave it to those ahead.
        if !self.events.are_there() && self.without_events() == OFTEN {
            self.events = Events::of(&self.store)?;
        }
        Ok(())
    }

    /// How often to look without events.
    fn without_events(&self) -> Duration {
        (self.rest * RESTS).clamp(OFTEN, FAR_BACK)
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

    fn rest(&mut self, pause: impl FnOnce() -> Duration) {
        self.rest = pause().min(LONGEST_REST);
        self.rest_until = (!self.rest.is_zero()).then(|| Instant::now() + self.rest);
    }
}

impl DirStore {
    fn sight(&self, scope: &Scope, first: bool) -> Result<Sight, StoreError> {
        let last = counter::last(&self.files)?;
        let (mut found, mut queue) = (Vec::new(), 0);
        match scope {
            Scope::All => found = self.all(first)?,
            Scope::Lock(name) | Scope::EachChange(name) => match self.read(name) {
                Err(error) if error.kind() == StoreErrorKind::NotFound => {}
                lock => {
                    let lock = lock?;
                    queue = lock.queue;
                    found.push(lock.object);
                }
            },
        }
        Ok(Sight { last, found, queue })
    }
}

#[cfg(test)]
mod tests;
