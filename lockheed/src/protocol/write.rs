//! The writes of a contender that acquires, holds, releases or queues.

use std::time::Duration;

use coord_core::BootInstant;
use coord_lease::engine::{Failure, Moment, NewLease, Nonce, Write};

use super::{Contender, Mutex, Refusal, edit, latest};
use crate::{
    Lease, Mode, Record, Timestamp, Token,
    fair::{Waiter, renew_at},
    key,
    store::Object,
};

/// How long a newcomer leaves the lock to those who were named, so as not to disturb their writes.
const SETTLED: Duration = Duration::from_millis(100);

impl Mutex {
    /// The end that a new lease states is rather too late than too early: others must not take it
    /// early.
    pub(super) fn new_lease(&self, lease: NewLease, token: Option<Token>, now: Moment) -> Lease {
        let expires = lease
            .length
            .map_or(Timestamp::NEVER, |length| latest(now).plus(length));
        let mut new = Lease::new(&self.contender.id, expires, lease.length);
        new.nonce = Some(lease.nonce.to_string());
        new.passed = lease.passed.filter(|_| !self.contender.fair);
        new.alive = self.contender.alive;
        new.token = token;
        new
    }

    /// The length to give an existing lease when it is extended.
    pub(super) fn length(&self, wanted: Option<Duration>) -> Option<Duration> {
        match self.our_lease().filter(|_| self.keeps_length) {
            Some(lease) if lease.expires.is_never() => None,
            Some(lease) => lease.duration().or(wanted),
            None => wanted,
        }
    }

    /// The lock with our lease, beside others' leases where several can hold it.
    pub(super) fn acquired(
        &self,
        object: Option<&Object>,
        lease: Lease,
        now: Moment,
    ) -> Write<Object> {
        let name = &self.contender.name;
        let (Some(object), Ok(Some(record))) = (object, self.record()) else {
            let mut record = Record::mutex(name.as_str());
            record.mode = self.mode();
            return Write::Create(self.with(&Object::new(name), record, lease));
        };
        let mut record = record.clone();
        record.note_tokens(&object.version);
        self.make_room(&mut record, now);
        let mut queue = self.queue.living(now.boot);
        if self.contender.fair && !self.is_forced(now) {
            queue.take_turn(&lease.holder);
        } else {
            queue.retain(|waiter| waiter.id != lease.holder);
        }
        let mut object = self.with(object, record, lease);
        queue.write(&mut object);
        Write::Update(object)
    }

    fn with(&self, object: &Object, mut record: Record, lease: Lease) -> Object {
        let Contender { name, id, .. } = &self.contender;
        let (tags, reset) = (&self.contender.tags, self.contender.reset_tags);
        record.leases.insert(id.clone(), lease);
        key::keep(name, edit::acquired(object, record, id, tags, reset))
    }

    /// Removes expired leases and the leases that ours replaces.
    fn make_room(&self, record: &mut Record, now: Moment) {
        let mode = self.mode();
        let mut living: Vec<_> = self.living(now).collect();
        if mode == Mode::Exclusive || record.mode != mode {
            living.clear();
        }
        // If a holder is forced out, it is the one whose lease ends first.
        living.sort_by_key(|(_, end)| (end.is_none(), *end));
        let most = mode.limit().map_or(living.len(), |limit| limit - 1);
        let kept = &living[living.len().saturating_sub(most)..];
        record
            .leases
            .retain(|id, _| kept.iter().any(|(lease, _)| lease.holder == *id));
        record.mode = mode;
    }

    /// The lock without our lease and place, and with the next holders named; none if it has
    /// nothing of ours.
    pub(super) fn released(&self, object: &Object, record: &Record, now: Moment) -> Option<Object> {
        let id = &self.contender.id;
        if !record.leases.contains_key(id) && self.position.is_none() {
            return None;
        }
        let mut record = record.clone();
        record.note_tokens(&object.version);
        let lease = record.leases.remove(id);
        let mut queue = self.queue.living(now.boot);
        queue.retain(|waiter| waiter.id != *id);
        if !queue.waiters().is_empty() {
            let living: Vec<_> = self.living(now).map(|(lease, _)| &lease.holder).collect();
            record.leases.retain(|id, _| living.contains(&id));
            queue.grant(&mut record, latest(now));
        }
        let mut object = edit::released(object, record, lease.as_ref());
        queue.write(&mut object);
        Some(object)
    }

    /// When to write our place in the queue; none if no write is needed.
    pub(super) fn place_due_at(&self, now: Moment) -> Option<BootInstant> {
        let waits = self.contender.fair && !self.renews && self.our_grant().is_none();
        if !waits || !matches!(self.record(), Ok(Some(_))) {
            return None;
        }
        if let Some(position) = self.position {
            let (place, since) = self.queue.place(position.0)?;
            return Some(renew_at(place, since, position));
        }
        let named = self
            .living(now)
            .filter(|(lease, _)| lease.granted.is_some());
        let since = named.filter_map(|(lease, _)| self.observed.seen_since(&lease.holder));
        Some(since.max().map_or(now.boot, |since| since + SETTLED))
    }

    /// The lock with our place in its queue.
    pub(super) fn placed(
        &self,
        object: &Object,
        nonce: Nonce,
        now: Moment,
    ) -> Result<Object, Failure<Self>> {
        let contender = &self.contender;
        let (id, priority) = (&contender.id, contender.priority);
        let mut waiter = Waiter::new(id, contender.mode, priority, latest(now).to_the_second());
        waiter.alive = contender.alive;
        let mut queue = self.queue.living(now.boot);
        queue.put(waiter, nonce.to_string());
        if queue.is_too_long() {
            let before = queue.waiters().len() - 1;
            return Err(Failure::Refused(Refusal::QueueFull(before)));
        }
        let mut object = edit::kept(object);
        queue.write(&mut object);
        Ok(object)
    }
}
