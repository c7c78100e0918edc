//! What all phases know and do.

use std::{collections::VecDeque, time::Duration};

use coord_core::{BootInstant, errno::with_sources};

use super::{
    Event, Moment, NewLease, Nonce, Output, Protocol, RequestError, Settings, StoreTime, Write,
    failures::{Asked, Failures},
    known::{Pending, Seen, Sent},
    subject::Beside,
    watcher::Watcher,
};
use crate::{ContentionWindow, Random, Version};

/// The longest pause between two requests to a failing store.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often in a row others in a crowd may be faster.
const IN_CROWD: u32 = 10;

/// A holder pauses for about this long at most while others' writes are faster, since its lease is
/// running out. Several holders may collide with each other: together they try once in this time.
const AMONG_OTHERS: Duration = Duration::from_millis(50);

/// Our last write was refused, supposedly because the object no longer is in this state.
#[derive(Debug)]
struct Collision {
    base: Option<Version>,
    in_crowd: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Core<P: Protocol> {
    pub(super) protocol: P,
    pub(super) settings: Settings,
    pub(super) now: Moment,
    pub(super) object: Seen<P::Object>,
    /// What is known may be out of date.
    pub(super) stale: bool,
    /// The store is in an earlier state than one seen before: it was restored.
    pub(super) went_back: bool,
    pub(super) pending: Option<Pending<P::Subject>>,
    /// The version that was known when the request was sent.
    known: Option<Version>,
    /// Writes of leases that may still be done.
    pub(super) in_doubt: Vec<Sent>,
    /// The nonces of the leases that this attempt has created, and must remove if it fails.
    pub(super) created: Vec<Nonce>,
    pub(super) watch: Watcher,
    pub(super) beside: Beside<P::Subject>,
    pub(super) pause_until: Option<BootInstant>,
    pub(super) failures: Failures,
    /// The user was told that the store does not answer.
    unreachable: bool,
    pub(super) contention: ContentionWindow,
    collision: Option<Collision>,
    pub(super) random: Random,
    pub(super) wake: Option<BootInstant>,
    pub(super) outputs: VecDeque<Output<P>>,
}

impl<P: Protocol> Core<P> {
    pub(super) fn new(protocol: P, settings: Settings, now: Moment, seed: u64) -> Self {
        let eighth = settings.length.map_or(LONGEST_PAUSE, |length| length / 8);
        let longest_pause = eighth.min(LONGEST_PAUSE);
        let object = if P::CLAIMS_UNSEEN {
            Seen::Absent(None)
        } else {
            Seen::Unknown
        };
        Self {
            stale: !P::CLAIMS_UNSEEN,
            protocol,
            settings,
            now,
            object,
            went_back: false,
            pending: None,
            known: None,
            in_doubt: Vec::new(),
            created: Vec::new(),
            watch: Watcher::new(longest_pause, now.boot),
            beside: Beside::new(longest_pause, now.boot),
            pause_until: None,
            failures: Failures::new(longest_pause),
            unreachable: false,
            contention: ContentionWindow::new(),
            collision: None,
            random: Random::new(seed),
            wake: None,
            outputs: VecDeque::new(),
        }
    }

    pub(super) fn advance(&mut self, now: BootInstant) {
        self.now = self.now.at(now);
    }

    /// Sets the store's clock from the answer to a request that was sent at this time.
    pub(super) fn set_clock(&mut self, shown: Option<Duration>, sent: BootInstant) {
        if let Some(earliest) = shown {
            let latest = earliest + P::CLOCK_UNIT + self.now.boot.since(sent);
            self.now.store = Some(StoreTime { earliest, latest });
        }
    }

    pub(super) fn there(&self) -> Option<&P::Object> {
        self.object.there()
    }

    /// Takes the answer to a read or a write. Unless the store was restored, the answer is at least
    /// as new as what was known when the request was sent. It may be older than what the watch has
    /// reported since.
    pub(super) fn is_now(&mut self, object: Option<P::Object>) {
        let version = object.as_ref().map(|object| self.protocol.version(object));
        // If the object has not changed, nobody was faster: there is no crowd to make room for, and
        // the server refuses our writes. If there was no object and is none, somebody in a crowd
        // may have created and deleted one.
        if let Some(Collision { base, in_crowd }) = self.collision.take() {
            if in_crowd && (base.is_none() || base != version) {
                self.contention.collided();
            } else if !in_crowd && base != version {
                let longest = AMONG_OTHERS.saturating_mul(self.protocol.leases());
                self.failures.write.shorten(longest);
            }
        }
        if let Some(version) = version {
            let went_back = self
                .known
                .as_ref()
                .is_some_and(|known| version.is_before(known));
            if self.is_old(&version) && !went_back {
                return;
            }
            if went_back {
                self.was_put_back(&version);
            }
        }
        self.put(object, None);
    }

    /// The store was restored to this state, or to one that led to it. The writes in doubt were to
    /// replace a version that no longer exists. The watch may stay silent until that version is
    /// reached.
    fn was_put_back(&mut self, now: &Version) {
        self.went_back = true;
        let is_there = |base: &Version| !now.is_before(base);
        self.in_doubt
            .retain(|sent| sent.base.as_ref().is_none_or(is_there));
        self.watch.stop();
    }

    /// The watch has reported this state, which may be older than the last answer.
    pub(super) fn heard(&mut self, object: P::Object) {
        if !self.is_old(&self.protocol.version(&object)) {
            self.put(Some(object), None);
        }
    }

    /// The watch has reported the deletion.
    pub(super) fn heard_of_deletion(&mut self, version: Version) {
        if !self.is_old(&version) {
            self.put(None, Some(version));
        }
    }

    fn put(&mut self, object: Option<P::Object>, deleted: Option<Version>) {
        self.protocol.observe(object.as_ref(), self.now);
        self.object = match object {
            Some(object) => Seen::There(Box::new(object)),
            // The object was deleted after what is known.
            None => Seen::Absent(deleted.or_else(|| self.version())),
        };
        self.wants_subject();
    }

    /// The known version: the object's, or its deletion's.
    fn version(&self) -> Option<Version> {
        match &self.object {
            Seen::There(object) => Some(self.protocol.version(object)),
            Seen::Absent(deleted) => deleted.clone(),
            Seen::Unknown => None,
        }
    }

    /// Whether something newer is known.
    fn is_old(&self, version: &Version) -> bool {
        self.version()
            .is_some_and(|known| version.is_before(&known))
    }

    pub(super) fn read(&mut self) {
        let sent = self.now.boot;
        self.known = self.version();
        self.pending = Some(Pending::Read { sent });
        self.outputs.push_back(Output::Read);
    }

    /// Sends a write. It has a nonce if it creates a lease.
    pub(super) fn write(&mut self, write: Write<P::Object>, nonce: Option<Nonce>, extends: bool) {
        let base = match &write {
            Write::Create(_) => None,
            Write::Update(object) | Write::Delete(object) => Some(self.protocol.version(object)),
        };
        self.known = self.version();
        self.pending = Some(Pending::Write(Sent {
            at: self.now.boot,
            nonce,
            base,
            extends,
            is_place: false,
        }));
        self.outputs.push_back(Output::Write(write));
    }

    /// Sends a write that creates or keeps a place in the queue.
    pub(super) fn write_place(&mut self, write: Write<P::Object>, nonce: Nonce, extends: bool) {
        self.write(write, Some(nonce), extends);
        if let Some(Pending::Write(sent)) = &mut self.pending {
            sent.is_place = true;
        }
    }

    pub(super) fn nonce(&mut self) -> Nonce {
        Nonce(self.random.number())
    }

    pub(super) fn new_lease(&mut self) -> NewLease {
        NewLease {
            nonce: self.nonce(),
            length: self.settings.length,
            passed: self.contention.passed(),
        }
    }

    /// Watches the lock, if it is not watched already.
    pub(super) fn watch(&mut self) {
        let since = match &self.object {
            Seen::There(object) => Some(self.protocol.version(object)),
            Seen::Absent(_) => None,
            Seen::Unknown => return,
        };
        if self.watch.begin(self.now.boot) {
            self.outputs.push_back(Output::Watch(since));
        }
    }

    /// Reads the lock before a watch that ended is started again: something may have happened
    /// meanwhile.
    pub(super) fn resume_watch(&mut self) {
        match self.watch.again_at() {
            Some(at) if at <= self.now.boot => {
                self.watch.look();
                self.stale = true;
            }
            at => self.wake_by(at),
        }
    }

    /// Stops waiting for the request in flight. A write of a lease may still be done.
    pub(super) fn abandon(&mut self) {
        match self.pending.take() {
            Some(Pending::Write(sent)) => {
                self.doubt(sent);
                self.stale = true;
            }
            Some(_) => {}
            None => return,
        }
        self.outputs.push_back(Output::Abandon);
    }

    /// A late write that creates no lease leaves nothing behind.
    pub(super) fn doubt(&mut self, sent: Sent) {
        if sent.nonce.is_some() {
            self.in_doubt.push(sent);
        }
    }

    /// Whether a write in doubt can still be done, as far as is known.
    pub(super) fn may_land(&self, sent: &Sent) -> bool {
        match (&self.object, &sent.base) {
            (Seen::Unknown, _) => true,
            (Seen::Absent(_), base) => base.is_none(),
            (Seen::There(_), None) => self.stale,
            (Seen::There(object), Some(base)) => {
                self.stale || !base.is_before(&self.protocol.version(object))
            }
        }
    }

    /// Forgets the doubts that are now settled. A creation cannot be done while the object exists.
    /// In theory it could be done after the object is deleted, if it is still in flight. That is
    /// ignored, since otherwise nobody could ever leave.
    pub(super) fn settle_doubts(&mut self) {
        let doubts = std::mem::take(&mut self.in_doubt);
        let open = doubts.into_iter().filter(|sent| self.may_land(sent));
        self.in_doubt = open.collect();
    }

    /// This write was done.
    pub(super) fn is_done(&mut self, nonce: Option<Nonce>) {
        self.in_doubt.retain(|sent| sent.nonce != nonce);
        self.settle_doubts();
    }

    pub(super) fn any_may_land(&self) -> bool {
        self.in_doubt.iter().any(|sent| self.may_land(sent))
    }

    /// The write in doubt that created the lease that exists.
    pub(super) fn landed(&self) -> Option<Sent> {
        let nonce = self.protocol.nonce(self.there()?)?;
        let mut doubts = self.in_doubt.iter();
        doubts.find(|sent| sent.nonce == Some(nonce)).cloned()
    }

    /// Whether this attempt created the lease that exists.
    pub(super) fn created_it(&self) -> bool {
        let nonce = self.there().and_then(|object| self.protocol.nonce(object));
        nonce.is_some_and(|nonce| self.created.contains(&nonce))
    }

    /// Whether a pause is still running; nothing is sent until it is over.
    pub(super) fn pausing(&mut self) -> bool {
        let pausing = self.pause_until.is_some_and(|until| until > self.now.boot);
        if pausing {
            self.wake_by(self.pause_until);
        } else {
            self.pause_until = None;
        }
        pausing
    }

    pub(super) fn wake_by(&mut self, at: Option<BootInstant>) {
        self.wake = [self.wake, at].into_iter().flatten().min();
    }

    /// A request was refused or not answered: nothing is sent until the pause is over.
    pub(super) fn failed(&mut self, asked: Asked, error: Option<&P::Error>) {
        let wanted = error.and_then(RequestError::retry_after);
        let failing = self.failures.of(asked);
        failing.count += u32::from(error.is_some());
        let pause = failing.pause(&mut self.random, wanted);
        self.pause_until = Some(self.now.boot + pause);
    }

    pub(super) fn unreachable(&mut self, error: &P::Error) {
        if !std::mem::replace(&mut self.unreachable, true) {
            self.tell(Event::Unreachable(with_sources(error)));
        }
    }

    /// A request was answered, even if not as hoped.
    pub(super) fn answered(&mut self, asked: Asked, sent: BootInstant) {
        self.contention.answered_after(self.now.boot.since(sent));
        self.works(asked);
    }

    pub(super) fn works(&mut self, asked: Asked) {
        self.failures.of(asked).reset();
        if self.unreachable && !self.failures.is_away() {
            self.unreachable = false;
            self.tell(Event::Reachable);
        }
    }

    /// Our write conflicted with somebody else's. It is retried at once the first time, and more
    /// slowly each time after that. In a crowd of waiters one of the others was faster, which has
    /// pauses of its own. A blind claim or a holder's write says nothing about the waiters.
    pub(super) fn collided(&mut self, base: Option<Version>, in_crowd: bool) {
        self.collision = Some(Collision { base, in_crowd });
        self.stale = true;
        self.failures.conflicts += 1;
        // A lock that is claimed unseen is held by then.
        let by_chance = if in_crowd && !P::CLAIMS_UNSEEN {
            IN_CROWD
        } else {
            1
        };
        if self.failures.conflicts > by_chance {
            self.failed(Asked::Write, None);
        }
    }

    pub(super) fn tell(&mut self, event: Event<P>) {
        self.outputs.push_back(Output::Tell(event));
    }
}
