//! What must be so at every moment of a history.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use lockheed::Timestamp;

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
    highest: Option<u64>,
    /// Who said that nothing of it is left.
    gone: BTreeSet<String>,
    /// Who has made certain, since it sent its last creation, that the name was taken. When it is free again, the creation may be done after
    /// all, as long as it is on its way: the one thing that cannot be prevented, and is documented.
    certain: BTreeSet<String>,
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
        token: Option<u64>,
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
        if let Some(token) = token {
            if self.highest.is_some_and(|highest| highest >= token) {
                return violated(
                    at,
                    format!("{who} got token {token}, which is not higher than all before"),
                );
            }
            self.highest = Some(token);
        }
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

    /// It sends a creation.
    pub(super) fn creates(&mut self, who: &str) {
        self.certain.remove(who);
    }

    /// It was shown that the name is taken.
    pub(super) fn is_taken(&mut self, who: &str) {
        self.certain.insert(who.to_owned());
    }

    /// It said that nothing of it is left.
    pub(super) fn gone(&mut self, who: &str) {
        self.gone.insert(who.to_owned());
    }

    /// Something was written: whose leases there are now, whether it was created, and who has announced a write.
    pub(super) fn written(
        &mut self,
        writer: &str,
        holders: BTreeSet<String>,
        is_new: bool,
        reservation: Option<(String, Timestamp)>,
        (at, clock): (Duration, Timestamp),
    ) -> Result<(), Violation> {
        let is_back = |id: &&String| self.gone.contains(*id) && !self.leased.contains(*id);
        if let Some(id) = holders.iter().find(is_back)
            && !(is_new && self.certain.contains(id))
        {
            return violated(at, format!("a lease of {id} came back after {id} had left"));
        }
        if let (Some((by, since)), true) = (&self.reservation, holders.contains(writer)) {
            let fresh = by != writer && at < *since + Duration::from_secs(2);
            let acquiring = !self.leased.contains(writer);
            if fresh && acquiring {
                return violated(
                    at,
                    format!("{writer} acquired the lock over a fresh reservation by {by}"),
                );
            }
        }
        self.leased = holders;
        self.note_reservation(reservation, at, clock);
        Ok(())
    }

    fn note_reservation(
        &mut self,
        reservation: Option<(String, Timestamp)>,
        at: Duration,
        clock: Timestamp,
    ) {
        let live = reservation.filter(|(_, until)| *until > clock.plus(super::SKEW));
        self.reservation = match (live, self.reservation.take()) {
            (Some((by, _)), Some((known, since))) if by == known => Some((by, since)),
            (live, _) => live.map(|(by, _)| (by, at)),
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
