//! The queue of a fair lock, and how its object stores it.
//!
//! The queue is an annotation, since programs that know mutexes only keep those. A holder that
//! releases the lock names the next holder with the same write: its place becomes a lease, the
//! *grant*. The grant lasts long enough for the next holder to replace it by its own lease.

mod observed;
#[cfg(test)]
mod tests;

use std::{num::NonZeroU32, time::Duration};

use coord_core::BootInstant;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use self::observed::ObservedQueue;
use crate::{Lease, Mode, Record, Timestamp, store::Object};

/// The annotation with the queue.
const QUEUE: &str = "lockheed/queue";

/// How long the first place counts after it was written. The second counts twice as long, and so
/// on, so later waiters write less often.
const PLACE: Duration = Duration::from_secs(60);

/// How long a named waiter has to take the lock, if it is the only one named.
const GRANT: Duration = Duration::from_secs(5);

/// The extra time for each waiter that was named before it at the same time.
const GRANT_EACH: Duration = Duration::from_millis(100);

/// An object's annotations are limited to 256 KiB, and there are other annotations.
const LONGEST: usize = 128 * 1024;

/// A waiter in the queue of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// The ID that will hold the lock.
    pub id: String,
    /// When it began to wait, on the store's clock.
    pub since: Timestamp,
    /// Waiters with a higher priority come first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// How much the priority was raised: by one for each later waiter that was put before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub raised: u32,
    /// It wants the lock in shared mode.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shared: bool,
    /// It wants one of this many slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slots: Option<NonZeroU32>,
    /// How long the place counts after it was written.
    #[serde(rename = "durationMillis")]
    millis: u64,
    /// Distinguishes this write of the place from all others.
    nonce: String,
    #[serde(
        default,
        rename = "proofOfLife",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) alive: Option<u64>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The waiters, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    waiters: Vec<Waiter>,
}

impl Waiter {
    /// The mode in which it wants to hold the lock.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self.slots {
            Some(count) => Mode::Slots(count),
            None if self.shared => Mode::Shared,
            None => Mode::Exclusive,
        }
    }

    pub(crate) fn new(id: &str, mode: Mode, priority: u32, since: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            since,
            priority,
            raised: 0,
            shared: mode == Mode::Shared,
            slots: mode.slots(),
            millis: 0,
            nonce: String::new(),
            alive: None,
            other: Map::new(),
        }
    }

    pub(crate) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// How long the place counts after it was written.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_millis(self.millis)
    }

    /// The effective priority: the waiter's own, and what was added to it.
    #[must_use]
    pub fn rank(&self) -> u32 {
        self.priority.saturating_add(self.raised)
    }

    /// The lease that names it as a holder, when this many others were named before it.
    fn granted(&self, named: u32, now: Timestamp) -> Lease {
        let length = GRANT + GRANT_EACH * named;
        let mut lease = Lease::new(&self.id, now.plus(length), Some(length));
        lease.granted = Some(named);
        lease.nonce = Some(self.nonce.clone());
        lease.alive = self.alive;
        lease
    }
}

/// Whether a lock with this many holders admits one more, in the wanted mode.
pub(crate) fn admits(held: Mode, holders: usize, wanted: Mode) -> bool {
    let has_room = wanted.limit().is_none_or(|limit| holders < limit);
    holders == 0 || held == wanted && has_room
}

/// How long the place at this position counts.
fn length_at(position: usize) -> Duration {
    let times = u32::try_from(position).unwrap_or(u32::MAX);
    PLACE.saturating_mul(times.saturating_add(1))
}

/// When to write a place again, from when it was written and since when it has been at this
/// position. A queue that moves needs no such writes: its places were written to last longer.
pub(crate) fn renew_at(
    place: &Waiter,
    written: BootInstant,
    (position, since): (usize, BootInstant),
) -> BootInstant {
    let at = written.max(since) + length_at(position) / 3;
    at.min(written + place.length() * 2 / 3)
}

impl Queue {
    pub(crate) fn write(&self, object: &mut Object) {
        if self.waiters.is_empty() {
            object.annotations.remove(QUEUE);
        } else {
            object.annotations.insert(QUEUE.to_owned(), self.to_json());
        }
    }

    fn to_json(&self) -> String {
        // Fails only for maps whose keys are not strings, and there are none.
        serde_json::to_string(&self.waiters).unwrap_or_default()
    }

    /// Whether the queue is too long to be stored.
    pub(crate) fn is_too_long(&self) -> bool {
        self.to_json().len() > LONGEST
    }

    pub(crate) fn waiters(&self) -> &[Waiter] {
        &self.waiters
    }

    pub(crate) fn into_waiters(self) -> Vec<Waiter> {
        self.waiters
    }

    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.waiters.iter().position(|waiter| waiter.id == id)
    }

    /// How often the lock must change hands before it can be this waiter's turn.
    pub(crate) fn rounds_before(&self, id: &str) -> u32 {
        let Some(position) = self.position(id) else {
            return 0;
        };
        let (mut rounds, mut together) = (0_u32, None);
        for waiter in &self.waiters[..=position] {
            let wanted = waiter.mode();
            together = match together {
                Some((mode, count)) if admits(mode, count, wanted) => Some((mode, count + 1)),
                before => {
                    rounds += u32::from(before.is_some());
                    Some((wanted, 1))
                }
            };
        }
        rounds
    }

    pub(crate) fn retain(&mut self, keeps: impl FnMut(&Waiter) -> bool) {
        self.waiters.retain(keeps);
    }

    /// Gives a place to a waiter, or keeps the place it has. A new place comes after all waiters of
    /// the same or a higher rank. Each waiter behind it is raised by one, so nobody is passed more
    /// often than ranks differ.
    pub(crate) fn put(&mut self, mut waiter: Waiter, nonce: String) {
        let position = self.position(&waiter.id).unwrap_or_else(|| {
            let lower = self
                .waiters
                .iter()
                .position(|other| other.rank() < waiter.rank());
            let position = lower.unwrap_or(self.waiters.len());
            for passed in &mut self.waiters[position..] {
                passed.raised = passed.raised.saturating_add(1);
            }
            self.waiters.insert(position, waiter.clone());
            position
        });
        let before = &self.waiters[position];
        (waiter.since, waiter.raised) = (before.since, before.raised);
        waiter.other = before.other.clone();
        waiter.nonce = nonce;
        let length = length_at(position).as_millis();
        waiter.millis = u64::try_from(length).unwrap_or(u64::MAX);
        self.waiters[position] = waiter;
    }

    /// Removes this waiter, which takes its turn, and all that let their turn pass before it.
    pub(crate) fn take_turn(&mut self, id: &str) {
        if let Some(position) = self.position(id) {
            self.waiters.drain(..=position);
        }
    }

    /// Names the next holders, as many as the lock has room for.
    pub(crate) fn grant(&mut self, record: &mut Record, now: Timestamp) {
        let named = record.leases.values().filter_map(|lease| lease.granted);
        let mut named = named.max().map_or(0, |last| last.saturating_add(1));
        while let Some(next) = self.waiters.first()
            && admits(record.mode, record.leases.len(), next.mode())
        {
            record.mode = next.mode();
            let lease = next.granted(named, now);
            record.leases.insert(next.id.clone(), lease);
            self.waiters.remove(0);
            named = named.saturating_add(1);
        }
    }
}
