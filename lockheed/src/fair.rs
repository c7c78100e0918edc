//! Those who wait for a lock in turn, as they are kept in its object.
//!
//! The queue is an annotation, since programs that know mutexes only keep those. Whoever releases
//! the lock names the next holder with the same write: its place becomes a lease, the *grant*, that
//! is long enough for it to come and make the lease its own.

use std::{num::NonZeroU32, time::Duration};

use coord_core::BootInstant;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use crate::{Lease, Mode, Record, Timestamp, members::GROUP, store::Object};

/// The annotation with the queue.
const QUEUE: &str = "lockheed/queue";

/// How long the first place counts after it was written. The second counts twice as long, and so
/// on: who comes later does not have to write as often.
const PLACE: Duration = Duration::from_secs(60);

/// How long whoever was named has to come, if it is the only one that was named.
const GRANT: Duration = Duration::from_secs(5);

/// How much longer for each that was named with it before it.
const GRANT_EACH: Duration = Duration::from_millis(100);

/// An object's annotations have 256 KiB at most, and there are others.
const LONGEST: usize = 128 * 1024;

/// Somebody who waits in the queue of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// The ID that will hold the lock.
    pub id: String,
    /// Since when it waits, on the store's clock.
    pub since: Timestamp,
    /// Those with a higher one come first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// By how much the priority was raised: once for each waiter that came later and was put
    /// before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub raised: u32,
    /// It wants the lock beside other holders.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shared: bool,
    /// It wants one of so many slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slots: Option<NonZeroU32>,
    /// How long the place counts from when it was written.
    #[serde(rename = "durationMillis")]
    millis: u64,
    /// Tells this write of the place from every other one.
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

/// The waiters, who comes first is first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    waiters: Vec<Waiter>,
    /// The text of each as it was read, so that those that stay are not read again.
    texts: Vec<Box<str>>,
}

impl Waiter {
    /// How it wants to hold the lock.
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

    /// How long the place counts from when it was written.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_millis(self.millis)
    }

    /// The priority that counts, with what it was raised by.
    #[must_use]
    pub fn rank(&self) -> u32 {
        self.priority.saturating_add(self.raised)
    }

    /// The lease by which it is named as a holder, as one of so many that were named before it.
    fn granted(&self, named: u32, now: Timestamp) -> Lease {
        let length = GRANT + GRANT_EACH * named;
        let mut lease = Lease::new(&self.id, now.plus(length), Some(length));
        lease.granted = Some(named);
        lease.nonce = Some(self.nonce.clone());
        lease.alive = self.alive;
        lease
    }
}

/// Whether a lock that so many hold can be held by one more, who wants it so.
pub(crate) fn admits(held: Mode, holders: usize, wanted: Mode) -> bool {
    let has_room = wanted.limit().is_none_or(|limit| holders < limit);
    holders == 0 || held == wanted && has_room
}

/// How long the place at this position counts.
fn length_at(position: usize) -> Duration {
    let times = u32::try_from(position).unwrap_or(u32::MAX);
    PLACE.saturating_mul(times.saturating_add(1))
}

/// When to write a place again that was written then, and has been at this position since then. A
/// queue that moves is not written for that: its places were written to last longer.
pub(crate) fn renew_at(
    place: &Waiter,
    written: BootInstant,
    (position, since): (usize, BootInstant),
) -> BootInstant {
    let at = written.max(since) + length_at(position) / 3;
    at.min(written + place.length() * 2 / 3)
}

impl Queue {
    /// What cannot be read says nothing, and goes with the next write. So does a waiter whose ID
    /// no holder can have.
    pub(crate) fn read(object: &Object) -> Self {
        Self::default().read_again(object)
    }

    /// The same of a later state. In a long queue hardly anybody is new.
    pub(crate) fn read_again(&self, object: &Object) -> Self {
        let text = object.annotations.get(QUEUE);
        let texts = text.and_then(|text| serde_json::from_str::<Vec<&RawValue>>(text).ok());
        let mut known = self.texts.iter().zip(&self.waiters);
        let mut new = Self::default();
        for text in texts.unwrap_or_default().into_iter().map(RawValue::get) {
            // They are in the order in which they were.
            let mut rest = known.clone();
            let waiter = match rest.find(|(known, _)| ***known == *text) {
                Some((_, waiter)) => {
                    known = rest;
                    waiter.clone()
                }
                None => match serde_json::from_str::<Waiter>(text) {
                    Ok(waiter) => waiter,
                    Err(_) => return Self::default(),
                },
            };
            if !waiter.id.is_empty() && waiter.id != GROUP {
                new.waiters.push(waiter);
                new.texts.push(text.into());
            }
        }
        new
    }

    pub(crate) fn write(&self, object: &mut Object) {
        if self.waiters.is_empty() {
            object.annotations.remove(QUEUE);
        } else {
            object.annotations.insert(QUEUE.to_owned(), self.to_json());
        }
    }

    fn to_json(&self) -> String {
        // It fails only for maps whose keys are not texts, and there are none.
        serde_json::to_string(&self.waiters).unwrap_or_default()
    }

    /// Whether it is too long to be kept.
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

    pub(crate) fn retain(&mut self, keeps: impl FnMut(&Waiter) -> bool) {
        self.waiters.retain(keeps);
    }

    /// Gives a place to a waiter, or keeps the one that it has. It comes after all who have its
    /// rank or a higher one. Each that it comes before is raised by one, so that nobody is put off
    /// more often than ranks differ.
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

    /// Whoever has let its turn pass, and this one, which takes it, leave the queue.
    pub(crate) fn take_turn(&mut self, id: &str) {
        if let Some(position) = self.position(id) {
            self.waiters.drain(..=position);
        }
    }

    /// Names the next holders, as many as the lock has room for beside those that it has.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(count: u32) -> Mode {
        Mode::Slots(NonZeroU32::new(count).unwrap())
    }

    fn waiter(id: &str, mode: Mode, priority: u32) -> Waiter {
        Waiter::new(id, mode, priority, Timestamp::NEVER)
    }

    fn queue(waiters: &[(&str, Mode, u32)]) -> Queue {
        let mut queue = Queue::default();
        for (id, mode, priority) in waiters {
            queue.put(waiter(id, *mode, *priority), (*id).to_owned());
        }
        queue
    }

    fn ids(queue: &Queue) -> Vec<&str> {
        queue
            .waiters
            .iter()
            .map(|waiter| waiter.id.as_str())
            .collect()
    }

    #[test]
    fn what_was_written_is_read_and_what_is_not_known_is_kept() {
        let queue = queue(&[("a", Mode::Exclusive, 0), ("b", slots(3), 7)]);
        let mut object = Object::new(&"x".parse().unwrap());
        queue.write(&mut object);
        assert_eq!(Queue::read(&object).waiters, queue.waiters);
        let text = &object.annotations[QUEUE];
        let noted = text.replace(r#""id":"a""#, r#""id":"a","note":1"#);
        object.annotations.insert(QUEUE.to_owned(), noted);
        let mut queue = Queue::read(&object);
        queue.put(waiter("a", Mode::Exclusive, 0), "again".to_owned());
        queue.write(&mut object);
        assert!(object.annotations[QUEUE].contains(r#""note":1"#));
        let nobody = object.annotations[QUEUE].replace(r#""id":"a""#, r#""id":"""#);
        object.annotations.insert(QUEUE.to_owned(), nobody);
        assert_eq!(ids(&Queue::read(&object)), ["b"]);
        object.annotations.insert(QUEUE.to_owned(), "{".to_owned());
        assert_eq!(Queue::read(&object).waiters, []);
        Queue::default().write(&mut object);
        assert!(object.annotations.is_empty());
    }

    /// Somebody else may have written anything there.
    #[test]
    fn no_number_is_too_large() {
        let text = r#"[{"id":"a","since":"9999-12-31T23:59:59Z","priority":4294967295,"raised":4294967295,"durationMillis":18446744073709551615,"nonce":""}]"#;
        let mut object = Object::new(&"x".parse().unwrap());
        object.annotations.insert(QUEUE.to_owned(), text.to_owned());
        let mut queue = Queue::read(&object);
        let late = BootInstant::after_boot(Duration::MAX);
        assert_eq!(renew_at(&queue.waiters[0], late, (usize::MAX, late)), late);
        queue.put(waiter("b", Mode::Exclusive, u32::MAX), String::new());
        assert_eq!(
            (ids(&queue), queue.waiters[0].rank()),
            (vec!["a", "b"], u32::MAX)
        );
        let mut record = Record::mutex("x");
        let mut last = Lease::new("c", Timestamp::NEVER, None);
        last.granted = Some(u32::MAX);
        record.mode = Mode::Shared;
        record.leases.insert("c".to_owned(), last);
        queue.waiters[0].shared = true;
        queue.grant(&mut record, Timestamp::NEVER);
        assert_eq!(record.leases["a"].granted, Some(u32::MAX));
    }

    #[test]
    fn a_later_state_is_read_as_if_it_were_the_first() {
        let ids_of = |queue: &Queue| ids(queue).join(" ");
        let mut object = Object::new(&"x".parse().unwrap());
        let mut known = Queue::default();
        let mut edited = queue(&["a", "b", "c"].map(|id| (id, Mode::Exclusive, 0)));
        let edits: [fn(&mut Queue); 4] = [
            |_| {},
            |queue| queue.take_turn("a"),
            |queue| queue.put(waiter("d", Mode::Shared, 3), "d".to_owned()),
            |queue| queue.retain(|waiter| waiter.id != "b"),
        ];
        for (edit, expected) in edits.into_iter().zip(["a b c", "b c", "d b c", "d c"]) {
            edit(&mut edited);
            edited.write(&mut object);
            known = known.read_again(&object);
            assert_eq!(ids_of(&known), expected);
            assert_eq!(known.waiters, Queue::read(&object).waiters);
        }
    }

    #[test]
    fn who_comes_first_is_first_among_equals() {
        let all = ["c", "a", "b"].map(|id| (id, Mode::Exclusive, 0));
        assert_eq!(ids(&queue(&all)), ["c", "a", "b"]);
    }

    /// A place is kept where it is, and for longer the farther from the head it is.
    #[test]
    fn a_place_is_kept() {
        let mut queue = queue(&["a", "b", "c"].map(|id| (id, Mode::Exclusive, 0)));
        queue.put(waiter("b", Mode::Exclusive, 0), "again".to_owned());
        assert_eq!(ids(&queue), ["a", "b", "c"]);
        assert_eq!(queue.waiters[1].nonce(), "again");
        let lengths = queue.waiters.iter().map(Waiter::length);
        assert_eq!(lengths.collect::<Vec<_>>(), [PLACE, PLACE * 2, PLACE * 3]);
    }

    #[test]
    fn the_higher_priority_comes_first_and_nobody_is_put_off_for_ever() {
        let mut queue = queue(&[("low", Mode::Exclusive, 1), ("high", Mode::Exclusive, 3)]);
        assert_eq!(ids(&queue), ["high", "low"]);
        // Once more, and they are equals.
        for id in ["1", "2", "3"] {
            queue.put(waiter(id, Mode::Exclusive, 3), id.to_owned());
        }
        assert_eq!(ids(&queue), ["high", "1", "low", "2", "3"]);
    }

    #[test]
    fn as_many_are_named_as_there_is_room_for_in_turn() {
        let shared = Mode::Shared;
        let waiting = [
            ("w", Mode::Exclusive, 0),
            ("r", shared, 0),
            ("s", shared, 0),
            ("x", Mode::Exclusive, 0),
            ("t", shared, 0),
        ];
        let mut queue = queue(&waiting);
        let mut record = Record::mutex("x");
        let mut rounds = Vec::new();
        for _ in 0..4 {
            record.leases.clear();
            queue.grant(&mut record, Timestamp::NEVER);
            let named = record.leases.keys().cloned().collect::<Vec<_>>();
            rounds.push((named.join(" "), record.mode));
        }
        let alone = Mode::Exclusive;
        let expected = [("w", alone), ("r s", shared), ("x", alone), ("t", shared)];
        assert_eq!(rounds, expected.map(|(ids, mode)| (ids.to_owned(), mode)));
    }

    #[test]
    fn who_is_named_with_others_has_longer_to_come() {
        let mut queue = queue(&["a", "b", "c", "d"].map(|id| (id, slots(3), 0)));
        let mut record = Record::mutex("x");
        queue.grant(&mut record, Timestamp::from_unix(Duration::ZERO));
        let granted = record.leases.values();
        let granted: Vec<_> = granted.map(|it| (it.granted, it.duration())).collect();
        let length = |named| (Some(named), Some(GRANT + GRANT_EACH * named));
        assert_eq!(granted, [length(0), length(1), length(2)]);
        assert_eq!(ids(&queue), ["d"]);
    }

    #[test]
    fn who_has_let_its_turn_pass_leaves_the_queue() {
        let mut queue = queue(&["a", "b", "c"].map(|id| (id, Mode::Exclusive, 0)));
        queue.take_turn("b");
        assert_eq!(ids(&queue), ["c"]);
        queue.take_turn("nobody");
        assert_eq!(ids(&queue), ["c"]);
    }
}
