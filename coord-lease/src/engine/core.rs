//! What every phase knows and does.

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

/// The longest pause between two tries of a store that fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often in a row others of a crowd may be faster.
const IN_CROWD: u32 = 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Core<P: Protocol> {
    pub(super) protocol: P,
    pub(super) settings: Settings,
    pub(super) now: Moment,
    pub(super) object: Seen<P::Object>,
    /// What is known may be out of date.
    pub(super) stale: bool,
    /// The store is in an earlier state than one that was seen: it was restored.
    pub(super) went_back: bool,
    pub(super) pending: Option<Pending<P::Subject>>,
    /// What was known when the request was sent.
    known: Option<Version>,
    /// Writes of leases that may still be done.
    pub(super) in_doubt: Vec<Sent>,
    /// The nonces of the leases that this attempt has made, and has to take back if it fails.
    pub(super) created: Vec<Nonce>,
    pub(super) watch: Watcher,
    pub(super) beside: Beside<P::Subject>,
    pub(super) pause_until: Option<BootInstant>,
    pub(super) failures: Failures,
    /// It was told that the store does not answer.
    unreachable: bool,
    pub(super) contention: ContentionWindow,
    /// Our last write was refused since the object is said to be another than this.
    beaten: Option<Option<Version>>,
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
            beaten: None,
            random: Random::new(seed),
            wake: None,
            outputs: VecDeque::new(),
        }
    }

    pub(super) fn advance(&mut self, now: BootInstant) {
        self.now = self.now.at(now);
    }

    /// What the store's clock showed when it answered a request that was sent then.
    pub(super) fn set_clock(&mut self, shown: Option<Duration>, sent: BootInstant) {
        if let Some(earliest) = shown {
            let latest = earliest + P::CLOCK_UNIT + self.now.boot.since(sent);
            self.now.store = Some(StoreTime { earliest, latest });
        }
    }

    pub(super) fn there(&self) -> Option<&P::Object> {
        self.object.there()
    }

    /// A read or a write was answered. The answer is never older than what was known when it was sent, unless the store was put back; it
    /// may be older than what the watch has told since.
    pub(super) fn is_now(&mut self, object: Option<P::Object>) {
        let version = object.as_ref().map(|object| self.protocol.version(object));
        // Where the object has not changed, nobody was faster, and there is nobody to make room for.
        // Where there is none, as before, somebody may have created and deleted one.
        let beaten = self.beaten.take();
        if beaten.is_some_and(|base| base.is_none() || base != version) {
            self.contention.collided();
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

    /// The store was put back to this state, or to one from which this came. What is in doubt was
    /// to replace a version that is no more, and a watch may say nothing before that version is
    /// reached.
    fn was_put_back(&mut self, now: &Version) {
        self.went_back = true;
        let is_there = |base: &Version| !now.is_before(base);
        self.in_doubt
            .retain(|sent| sent.base.as_ref().is_none_or(is_there));
        self.watch.stop();
    }

    /// The watch has told of this state. What it tells may be older than what an answer has told.
    pub(super) fn heard(&mut self, object: P::Object) {
        if !self.is_old(&self.protocol.version(&object)) {
            self.put(Some(object), None);
        }
    }

    /// The watch has told of the deletion.
    pub(super) fn heard_of_deletion(&mut self, version: Version) {
        if !self.is_old(&version) {
            self.put(None, Some(version));
        }
    }

    fn put(&mut self, object: Option<P::Object>, deleted: Option<Version>) {
        self.protocol.observe(object.as_ref(), self.now);
        self.object = match object {
            Some(object) => Seen::There(Box::new(object)),
            // It was deleted after what is known.
            None => Seen::Absent(deleted.or_else(|| self.version())),
        };
        self.wants_subject();
    }

    /// Of what is known: the object's, or that of its deletion.
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

    /// A write that makes a lease has a nonce.
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

    /// A write that makes a place in the queue, or keeps one.
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

    /// Watches the lock, if that is not so already.
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

    /// Before a watch that has ended is begun again, one looks: something may have happened meanwhile.
    pub(super) fn resume_watch(&mut self) {
        match self.watch.again_at() {
            Some(at) if at <= self.now.boot => {
                self.watch.look();
                self.stale = true;
            }
            at => self.wake_by(at),
        }
    }

    /// Nothing more is expected of the request under way; a write of a lease may still be done.
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

    /// A write that makes no lease leaves nothing behind when it is done late.
    pub(super) fn doubt(&mut self, sent: Sent) {
        if sent.nonce.is_some() {
            self.in_doubt.push(sent);
        }
    }

    /// Whether a write in doubt can still be done, by what is known.
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

    /// Forgets the doubts that what is known has settled. A creation cannot be done where there is an object; that it may be once that is
    /// deleted, as long as it is on its way, is not reckoned with: nobody could ever leave.
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

    /// The write in doubt that made the lease that is there.
    pub(super) fn landed(&self) -> Option<Sent> {
        let nonce = self.protocol.nonce(self.there()?)?;
        let mut doubts = self.in_doubt.iter();
        doubts.find(|sent| sent.nonce == Some(nonce)).cloned()
    }

    /// Whether the lease that is there was made by this attempt.
    pub(super) fn created_it(&self) -> bool {
        let nonce = self.there().and_then(|object| self.protocol.nonce(object));
        nonce.is_some_and(|nonce| self.created.contains(&nonce))
    }

    /// Whether a pause lasts still; then nothing is sent before it is over.
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

    /// What was asked for was refused, or not answered: nothing is asked before the pause is over.
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

    /// What was asked for then was answered, even if not as it was hoped for.
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

    /// Others write too: at once for the first time, and more slowly each time after that. In a crowd
    /// of waiters one of them was faster, for which there are pauses of their own; a blind claim, and
    /// a holder's write, say nothing of that.
    pub(super) fn collided(&mut self, base: Option<Version>, in_crowd: bool) {
        self.beaten = in_crowd.then_some(base);
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
