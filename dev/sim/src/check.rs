//! The promises that must hold at every moment of a history.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use lockheed::{Mode, Timestamp};

/// A promise that was broken, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The virtual time.
    pub at: Duration,
    /// Which promise, and who broke it.
    pub what: String,
}

/// Who believes to hold the lock, and who must never come back.
#[derive(Debug)]
pub(super) struct Check {
    /// The mode in which each holder holds the lock.
    mode: fn(&str) -> Mode,
    /// When each holder's belief ends; none for a holder that believes until it is told otherwise.
    believers: BTreeMap<String, Option<Duration>>,
    /// The holders that go by their own wall clocks.
    foreign: BTreeSet<String>,
    /// The highest token of all, and the highest of exclusive holders.
    highest: Option<u64>,
    highest_alone: Option<u64>,
    /// Who said that nothing of it is left.
    gone: BTreeSet<String>,
    /// Contenders that have made certain that the name was taken, and the last request that they
    /// had sent by then. If the name becomes free again, a creation that is still in flight may be
    /// done after all. This is the one thing that cannot be prevented, and it is documented.
    certain: BTreeMap<String, u64>,
    reservation: Option<(String, Duration)>,
    /// Who was alive when the store was restored: they act on what they knew before.
    unaware: BTreeSet<String>,
    /// Whose reservation came back with an earlier state of the store.
    old_reservation: Option<String>,
    /// Whose leases exist.
    leased: BTreeSet<String>,
    /// Whose leases a foreign writer replaced; they may not know yet.
    robbed: BTreeSet<String>,
    /// Who held the lock when the store was restored; they may not know yet.
    undone: BTreeSet<String>,
}

impl Check {
    pub(super) fn new(mode: fn(&str) -> Mode) -> Self {
        Self {
            mode,
            believers: BTreeMap::new(),
            foreign: BTreeSet::new(),
            highest: None,
            highest_alone: None,
            gone: BTreeSet::new(),
            certain: BTreeMap::new(),
            reservation: None,
            unaware: BTreeSet::new(),
            old_reservation: None,
            leased: BTreeSet::new(),
            robbed: BTreeSet::new(),
            undone: BTreeSet::new(),
        }
    }

    /// Somebody who holds the lock although this holder excludes them.
    fn excluded<'a>(&self, who: &str, others: &[&'a str]) -> Option<&'a str> {
        let mode = (self.mode)(who);
        let is_other = |other: &&&str| mode == Mode::Exclusive || (self.mode)(other) != mode;
        let most = mode.slots().map(|count| count.get() as usize);
        let too_many = most.is_some_and(|most| others.len() >= most);
        let other = others.iter().find(is_other);
        other.or(others.first().filter(|_| too_many)).copied()
    }

    /// Somebody acquired the lock, and believes so until this time.
    pub(super) fn acquired(
        &mut self,
        who: &str,
        token: Option<u64>,
        until: Option<Duration>,
        at: Duration,
    ) -> Result<(), Violation> {
        if self.robbed.contains(who) || self.undone.contains(who) {
            return Ok(());
        }
        let others: Vec<_> = self.believing(at).map(|(other, _)| other).collect();
        let others: Vec<_> = others.into_iter().filter(|other| *other != who).collect();
        if let Some(other) = self.excluded(who, &others) {
            return violated(
                at,
                format!("{who} acquired the lock while {other} holds it"),
            );
        }
        if let Some(token) = token {
            let is_alone = (self.mode)(who) == Mode::Exclusive;
            // Of several holders, one may learn of its write later.
            let before = if is_alone {
                self.highest
            } else {
                self.highest_alone
            };
            if before.is_some_and(|highest| highest >= token) {
                return violated(
                    at,
                    format!("{who} got token {token}, which is not higher than all before"),
                );
            }
            self.highest = self.highest.max(Some(token));
            if is_alone {
                self.highest_alone = Some(token);
            }
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
        if self.undone.contains(who) {
            return Ok(());
        }
        let ours = |other: &&str| *other != who && !self.foreign.contains(*other);
        let others = self.believing(at).map(|(other, _)| other).filter(ours);
        let others: Vec<_> = others.collect();
        if let Some(other) = self.excluded(who, &others) {
            return violated(
                at,
                format!("{who} renewed its lease while {other} holds the lock"),
            );
        }
        self.believers.insert(who.to_owned(), until);
        Ok(())
    }

    /// A writer like a Go program took the lock. Its own clock decides when it may, so our holder
    /// may still hold it.
    pub(super) fn taken_by_foreigner(&mut self, who: &str, until: Duration) {
        self.foreign.insert(who.to_owned());
        self.believers.insert(who.to_owned(), Some(until));
    }

    /// The lock was deleted, with its reservation.
    pub(super) fn deleted(&mut self) {
        self.reservation = None;
        self.leased.clear();
    }

    /// The store was restored to a state with these leases, in which `reserved_by` has announced a
    /// write. Tokens start again, and a contender that left may be back.
    pub(super) fn restored(
        &mut self,
        living: impl Iterator<Item = String>,
        holders: BTreeSet<String>,
        reserved_by: Option<String>,
    ) {
        self.gone.clear();
        self.unaware.extend(living);
        self.old_reservation = reserved_by;
        self.undone
            .extend(std::mem::take(&mut self.believers).into_keys());
        self.undone
            .extend(std::mem::replace(&mut self.leased, holders));
        self.reservation = None;
        (self.highest, self.highest_alone) = (None, None);
    }

    /// Holders that believe in the lock while a foreign writer takes it are excused, and do not
    /// know yet.
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

    /// It has seen, after it had sent this request, that the name is taken.
    pub(super) fn is_taken(&mut self, who: &str, sent: u64) {
        let latest = self.certain.entry(who.to_owned()).or_default();
        *latest = sent.max(*latest);
    }

    /// It said that nothing of it is left.
    pub(super) fn gone(&mut self, who: &str) {
        if !self.unaware.contains(who) {
            self.gone.insert(who.to_owned());
        }
    }

    /// Something was written. The arguments say whose leases exist now, which request of the writer
    /// created the object if one did, and who has announced a write.
    pub(super) fn written(
        &mut self,
        writer: &str,
        holders: BTreeSet<String>,
        created: Option<u64>,
        reservation: Option<(String, Timestamp)>,
        (at, clock): (Duration, Timestamp),
    ) -> Result<(), Violation> {
        let is_back = |id: &&String| self.gone.contains(*id) && !self.leased.contains(*id);
        let was_taken = |id| created.is_some_and(|sent| self.certain.get(id) >= Some(&sent));
        if let Some(id) = holders.iter().find(is_back)
            && !was_taken(id)
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
        // If its lease is new, it knows about the write.
        if holders.contains(writer) && !self.leased.contains(writer) {
            self.undone.remove(writer);
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
        let is_old = |by: &String| self.old_reservation.as_ref() == Some(by);
        let is_live =
            |(by, until): &(String, Timestamp)| *until > clock.plus(super::SKEW) && !is_old(by);
        let live = reservation.filter(is_live);
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
