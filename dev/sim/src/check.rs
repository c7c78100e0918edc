//! What must be so at every moment of a history.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use lockheed::{Record, Timestamp, Token, store::Object};

use super::objects::is_new;

/// A promise that was broken, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The virtual time.
    pub at: Duration,
    /// Which promise, and by whom.
    pub what: String,
}

/// Who believes to hold the lock, and what was promised never to come back.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// Until when, by holder; none for one that believes until it is told otherwise.
    believers: BTreeMap<String, Option<Duration>>,
    /// Those of them that go by their own wall clocks.
    foreign: BTreeSet<String>,
    highest: Option<Token>,
    gone: BTreeSet<String>,
    /// It was deleted once: a creation that had failed in doubt, since the lock was there, may be done after all. That is the one thing that
    /// cannot be prevented, and is documented.
    was_deleted: bool,
    reservation: Option<(String, Duration)>,
    /// Whose leases there are.
    leased: BTreeSet<String>,
    /// Whose leases a foreign writer replaced; they may not know yet.
    robbed: BTreeSet<String>,
}

impl Check {
    /// Somebody acquired the lock, and believes so until then.
    pub(super) fn acquired(
        &mut self,
        who: &str,
        token: Token,
        until: Option<Duration>,
        at: Duration,
    ) -> Result<(), Violation> {
        if self.robbed.contains(who) {
            return Ok(());
        }
        if let Some((other, _)) = self.believing(at).find(|(other, _)| *other != who) {
            return violated(
                at,
                format!("{who} acquired the lock while {other} holds it"),
            );
        }
        if self.highest.is_some_and(|highest| highest >= token) {
            return violated(
                at,
                format!("{who} got token {token}, which is not higher than all before"),
            );
        }
        self.highest = Some(token);
        self.believers.insert(who.to_owned(), until);
        Ok(())
    }

    pub(super) fn renewed(
        &mut self,
        who: &str,
        until: Option<Duration>,
        at: Duration,
    ) -> Result<(), Violation> {
        if let Some((other, _)) = self
            .believing(at)
            .find(|(other, _)| *other != who && !self.foreign.contains(*other))
        {
            return violated(
                at,
                format!("{who} renewed its lease while {other} holds the lock"),
            );
        }
        self.believers.insert(who.to_owned(), until);
        Ok(())
    }

    /// A writer in the manner of Go programs took it. Its own clock decides when it may, so that ours may hold it still.
    pub(super) fn taken_by_foreigner(&mut self, who: &str, until: Duration) {
        self.foreign.insert(who.to_owned());
        self.believers.insert(who.to_owned(), Some(until));
    }

    /// The lock was deleted, with whatever was reserved.
    pub(super) fn deleted(&mut self) {
        self.reservation = None;
        self.leased.clear();
        self.was_deleted = true;
    }

    /// Whoever believes to hold the lock while a foreign writer takes it is excused, and not yet told.
    pub(super) fn excuse(&mut self, taker: &str) {
        self.believers.retain(|who, _| who == taker);
        let others = self.leased.iter().filter(|who| *who != taker);
        self.robbed.extend(others.cloned());
    }

    /// It said that something of it may be left.
    pub(super) fn may_come_back(&mut self, who: &str) {
        self.ended(who);
        self.gone.remove(who);
    }

    pub(super) fn ended(&mut self, who: &str) {
        self.believers.remove(who);
    }

    /// It said that nothing of it is left.
    pub(super) fn gone(&mut self, who: &str) {
        self.gone.insert(who.to_owned());
    }

    /// Something was written: whether nobody has a lease now.
    pub(super) fn written(
        &mut self,
        writer: &str,
        object: &Object,
        at: Duration,
        clock: Timestamp,
    ) -> Result<bool, Violation> {
        let record = object
            .data
            .get("lock")
            .and_then(|text| Record::from_json(text).ok());
        let leases = record.map(|record| record.leases).unwrap_or_default();
        let created = is_new(object);
        let back = |id: &&String| self.gone.contains(*id) && !self.leased.contains(*id);
        let back = leases.keys().find(back);
        if let Some(id) = back.filter(|_| !(created && self.was_deleted)) {
            return violated(at, format!("a lease of {id} came back after {id} had left"));
        }
        if let (Some((by, since)), true) = (&self.reservation, leases.contains_key(writer)) {
            let fresh = by != writer && at < *since + Duration::from_secs(2);
            let acquiring = !self.leased.contains(writer);
            if fresh && acquiring {
                return violated(
                    at,
                    format!("{writer} acquired the lock over a fresh reservation by {by}"),
                );
            }
        }
        self.leased = leases.into_keys().collect();
        self.note_reservation(object, at, clock);
        Ok(self.leased.is_empty())
    }

    fn note_reservation(&mut self, object: &Object, at: Duration, clock: Timestamp) {
        let annotation = |key| object.annotations.get(key).cloned();
        let live = annotation("reserved/expires").and_then(|text| text.parse::<Timestamp>().ok());
        let live = live.is_some_and(|until| until > clock.plus(super::SKEW));
        self.reservation = match (
            annotation("reserved/by").filter(|_| live),
            self.reservation.take(),
        ) {
            (Some(by), Some((known, since))) if by == known => Some((by, since)),
            (by, _) => by.map(|by| (by, at)),
        };
    }

    fn believing(&self, at: Duration) -> impl Iterator<Item = (&str, &Option<Duration>)> {
        let believing = self
            .believers
            .iter()
            .filter(move |(_, until)| until.is_none_or(|until| until > at));
        believing.map(|(who, until)| (who.as_str(), until))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:?}: {}", self.at, self.what)
    }
}

pub(super) fn violated<T>(at: Duration, what: String) -> Result<T, Violation> {
    Err(Violation { at, what })
}
