//! The locking logic: what to do when what happens, without clocks, waiting or I/O of its own.
//!
//! Whoever drives it hands in what has happened ([`Input`]) with the time, carries out what comes back ([`Action`]), and comes again at
//! [`Machine::wake_at`]. One request is under way at a time, and one watch. The same machine runs in the driver, over a real store and
//! real clocks, and in the simulation, over a store that loses answers and clocks that stop.
//!
//! Invariants: a belief ends by `sent + length` on `CLOCK_BOOTTIME`, where `sent` is from before the write that it rests on; nothing is
//! written but on top of the version that was judged; and who gives up leaves no write behind that may still be done.

mod acquire;
mod answers;
mod edit;
mod hold;
mod leave;
mod sight;
mod signal;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, mem, time::Duration};

pub(crate) use coord_lease::{Backoff, Random};
pub(crate) use sight::{Moment, Sightings, Verdict};
pub(crate) use signal::{Action, Goal, Input, News, Settings, Wait};

use crate::{
    Lease, Record, Timestamp,
    error::{Error, Kind},
    store::{Object, Version},
};
use coord_lease::Crowd;

/// See the module.
#[derive(Debug)]
pub(crate) struct Machine {
    me: Settings,
    phase: Phase,
    now: Moment,
    /// How much later than `now.store` it may be at the store: the answer that told its time may have been under way for so long.
    slack: Duration,
    latest: Latest,
    /// What is known may be out of date.
    stale: bool,
    sightings: Sightings,
    pending: Option<Pending>,
    /// Writes that may still be done.
    doubts: Vec<Write>,
    /// The nonces of the leases that this attempt has made, and has to take back if it fails.
    made: Vec<String>,
    watch: WatchState,
    pause_until: Option<Duration>,
    backoff: Backoff,
    crowd: Crowd,
    random: Random,
    unreachable: bool,
    wake: Option<Duration>,
    actions: VecDeque<Action>,
}

#[derive(Debug)]
enum Phase {
    Acquiring(acquire::Acquiring),
    Holding(hold::Holding),
    Lost,
    Leaving(leave::Leaving),
    Done,
}

/// The lock as it was last seen.
#[derive(Debug)]
enum Latest {
    Unknown,
    /// There is none; the version of its deletion, if that is known.
    Absent(Option<Version>),
    There(Box<Object>, Result<Record, String>),
}

#[derive(Debug)]
enum Pending {
    Read { sent: Duration },
    Write(Write),
}

/// A write of ours.
#[derive(Clone, Debug)]
struct Write {
    /// From before it was sent.
    sent: Duration,
    /// In the lease that it makes; none for one that makes no lease.
    nonce: Option<String>,
    /// The version that it is to replace; none for a creation.
    base: Option<Version>,
    /// A lease of this ID was there before, so that it does no harm when it is done late.
    extends: bool,
}

#[derive(Debug, PartialEq)]
enum WatchState {
    Off,
    On,
    /// It may not be had; what it is for goes on without it.
    Denied,
}

impl Machine {
    /// Begins at this `CLOCK_BOOTTIME`; all that is random follows from the seed.
    pub(crate) fn new(me: Settings, boot: Duration, seed: u64) -> Self {
        let phase = match me.goal {
            Goal::Release => Phase::Leaving(leave::Leaving::by_id(boot, me.length)),
            _ => Phase::Acquiring(acquire::Acquiring::new(boot, me.wait)),
        };
        let longest = me
            .length
            .map_or(Duration::from_secs(5), |length| length / 8);
        let store = Timestamp::from_unix(Duration::ZERO);
        Self {
            me,
            phase,
            now: Moment { boot, store },
            slack: Duration::ZERO,
            latest: Latest::Unknown,
            stale: true,
            sightings: Sightings::default(),
            pending: None,
            doubts: Vec::new(),
            made: Vec::new(),
            watch: WatchState::Off,
            pause_until: None,
            backoff: Backoff::new(longest.min(Duration::from_secs(5))),
            crowd: Crowd::new(),
            random: Random::new(seed),
            unreachable: false,
            wake: None,
            actions: VecDeque::new(),
        }
    }

    /// Something has happened, at this `CLOCK_BOOTTIME`.
    pub(crate) fn handle(&mut self, input: Input, boot: Duration) {
        self.advance(boot);
        self.end_belief_in_time();
        match input {
            Input::Time => {}
            Input::Read(answer) => self.read(answer),
            Input::Written(answer) => self.written(answer),
            Input::Changed(change) => self.changed(change),
            Input::WatchEnded(error) => self.watch_ended(error),
            Input::Renew => self.renew_now(),
            Input::Release => self.leave(leave::Leaving::by_id(boot, self.me.length)),
            Input::Cancel => self.give_up(Kind::Cancelled),
            Input::Abandoned => match self.phase {
                Phase::Acquiring(_) => self.give_up(Kind::Cancelled),
                _ => self.leave(leave::Leaving::by_id(boot, self.me.length)),
            },
        }
        self.decide();
    }

    /// What is to be done next; none when everything is under way.
    pub(crate) fn action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to come again with [`Input::Time`], if nothing happens before.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.wake
    }

    /// Nothing will happen any more.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    fn advance(&mut self, boot: Duration) {
        let passed = boot.saturating_sub(self.now.boot);
        self.now.boot += passed;
        self.now.store = self.now.store.plus(passed);
    }

    /// What to do next; a phase that has just begun decides too.
    fn decide(&mut self) {
        loop {
            let phase = mem::discriminant(&self.phase);
            self.wake = None;
            match self.phase {
                Phase::Acquiring(_) => self.acquire(),
                Phase::Holding(_) => self.hold(),
                Phase::Leaving(_) => self.go(),
                Phase::Lost | Phase::Done => {}
            }
            if mem::discriminant(&self.phase) == phase {
                return;
            }
        }
    }

    /// The lock as it was last seen; what cannot be read is an error.
    fn view(&self) -> Result<Option<(&Object, &Record)>, Kind> {
        match &self.latest {
            Latest::There(object, Ok(record))
                if record.lock_type.is_empty() || record.lock_type == crate::record::MUTEX =>
            {
                Ok(Some((object, record)))
            }
            Latest::There(_, Ok(record)) => Err(Kind::Record(format!(
                "its type {:?} is not known",
                record.lock_type
            ))),
            Latest::There(_, Err(reason)) => Err(Kind::Record(reason.clone())),
            Latest::Absent(_) | Latest::Unknown => Ok(None),
        }
    }

    fn send_read(&mut self) {
        self.pending = Some(Pending::Read {
            sent: self.now.boot,
        });
        self.actions.push_back(Action::Read);
    }

    fn send_write(&mut self, object: Object, nonce: Option<String>, extends: bool) {
        let creates = matches!(self.latest, Latest::Absent(_));
        let base = (!creates).then(|| object.version.clone());
        self.pending = Some(Pending::Write(Write {
            sent: self.now.boot,
            nonce,
            base,
            extends,
        }));
        self.actions.push_back(if creates {
            Action::Create(object)
        } else {
            Action::Update(object)
        });
    }

    /// Watches the lock, if that is not so already.
    fn see(&mut self) {
        let since = match &self.latest {
            Latest::There(object, _) => Some(object.version.clone()),
            Latest::Absent(_) => None,
            Latest::Unknown => return,
        };
        if self.watch == WatchState::Off {
            self.watch = WatchState::On;
            self.actions.push_back(Action::Watch(since));
        }
    }

    /// Whether a pause after a failure lasts still; then nothing is sent before it is over.
    fn pausing(&mut self) -> bool {
        let pausing = self.pause_until.is_some_and(|until| until > self.now.boot);
        if pausing {
            self.wake_by(self.pause_until);
        } else {
            self.pause_until = None;
        }
        pausing
    }

    fn wake_by(&mut self, at: Option<Duration>) {
        self.wake = [self.wake, at].into_iter().flatten().min();
    }

    /// A lease of ours from now on. What it says of its end is rather too late than too early, or others would take it for over.
    fn new_lease(&mut self) -> (Lease, String) {
        let nonce = format!("{:016x}", self.random.number());
        let latest = self.now.store.plus(self.slack);
        let mut lease = edit::lease(&self.me.id, latest, self.me.length, nonce.clone());
        lease.alive = self.me.alive;
        (lease, nonce)
    }

    fn nonce(&mut self) -> String {
        format!("{:016x}", self.random.number())
    }

    fn tell(&mut self, news: News) {
        self.actions.push_back(Action::Tell(news));
    }

    fn error(&self, kind: Kind) -> Error {
        kind.of(&self.me.name)
    }
}
