//! What a lock means for a contender.

use coord_core::BootInstant;
use coord_lease::engine::{Moment, Verdict};

use super::{HeldBy, Mutex, NotHeld, Refusal, earliest};
use crate::{
    Lease, Mode, Record,
    fair::{self, Waiter},
};

/// Others' leases that have not expired, each with its end; none for a lease without an end.
type Living<'a> = Vec<(&'a Lease, Option<BootInstant>)>;

impl Mutex {
    pub(super) fn verdict(&self, now: Moment) -> Verdict<Self> {
        let record = match self.record() {
            Ok(record) => record,
            Err(refusal) => return Verdict::Impossible(refusal),
        };
        let held = record.map_or(Mode::Exclusive, |record| record.mode);
        let living: Living<'_> = self.living(now).collect();
        let by = self.held_by(&living, now);
        if let Some(refusal) = self.not_to_renew(by.clone()) {
            return Verdict::Impossible(refusal);
        }
        if let Some(other) = self.other_mode(held, &living, now) {
            let wanted = self.mode();
            return Verdict::Impossible(Refusal::OtherMode { other, wanted });
        }
        let forced = self.is_forced(now);
        if let Some(by) = by
            && !fair::admits(held, living.len(), self.mode())
            && !forced
        {
            return Verdict::Held(by, self.room_at(held, &living));
        }
        let ours = self.our_lease();
        if let Some(lease) = ours.filter(|lease| !lease.is_expired(earliest(now))) {
            return Verdict::Ours(lease.duration());
        }
        if let Some((by, until)) = self.observed.reserved(&self.contender.id, now) {
            return Verdict::Reserved(HeldBy::Reservation { by }, until);
        }
        if forced {
            Verdict::Free
        } else {
            self.turn(held, &living, now)
        }
    }

    /// The verdict for a contender that waits in turn.
    fn turn(&self, held: Mode, living: &Living<'_>, now: Moment) -> Verdict<Self> {
        let me = &self.contender.id;
        if let Some(number) = self.our_grant().and_then(|lease| lease.granted) {
            let named = living.iter().filter_map(|(lease, _)| lease.granted);
            return Verdict::Turn {
                since: self.observed.seen_since(me).unwrap_or(now.boot),
                before: count(named.filter(|other| *other < number)),
            };
        }
        if !self.contender.fair {
            return Verdict::Free;
        }
        let kept_for = |waiter: &Waiter| HeldBy::Waiter {
            by: waiter.id.clone(),
        };
        if self.position.is_none() {
            let first = self.ahead(now).next();
            return first.map_or(Verdict::Free, |(first, _)| {
                Verdict::Held(kept_for(first), None)
            });
        }
        let has_room = |waiter: &Waiter| fair::admits(held, living.len(), waiter.mode());
        match self.ahead(now).find(|(waiter, _)| !has_room(waiter)) {
            Some((first, end)) => Verdict::Held(kept_for(first), Some(end)),
            None => Verdict::Turn {
                since: self.observed.room_since(me, self.contender.skew, now),
                before: count(self.ahead(now)),
            },
        }
    }

    /// The waiters ahead of us whose places still count, each with the place's end.
    pub(super) fn ahead(&self, now: Moment) -> impl Iterator<Item = (&Waiter, BootInstant)> {
        let before = self.position.map_or(usize::MAX, |(before, _)| before);
        let ahead = self.queue.places().take(before);
        ahead.filter(move |(_, end)| *end > now.boot)
    }

    /// Others' leases that have not expired.
    pub(super) fn living(
        &self,
        now: Moment,
    ) -> impl Iterator<Item = (&Lease, Option<BootInstant>)> {
        let (id, skew) = (&self.contender.id, self.contender.skew);
        self.observed.living(id, skew, now)
    }

    /// Who holds the lock, and until when by the leases' own times. For slots this is the earliest
    /// end. Otherwise it is the latest, since all leases must end.
    fn held_by(&self, living: &Living<'_>, now: Moment) -> Option<HeldBy> {
        let (first, _) = living.first()?;
        let by = first.holder.clone();
        if first.granted.is_some() {
            return Some(HeldBy::Waiter { by });
        }
        let ends = living.iter().map(|(lease, _)| lease.expires);
        let expires = match self.mode() {
            Mode::Slots(_) => ends.min(),
            Mode::Exclusive | Mode::Shared => ends.max(),
        };
        let expires = expires.unwrap_or(first.expires);
        Some(HeldBy::Lease {
            by,
            others: living.len() - 1,
            expires,
            is_past: !expires.is_never() && expires <= earliest(now),
        })
    }

    /// When there will be room for this contender at the latest; none if that may be never.
    fn room_at(&self, held: Mode, living: &Living<'_>) -> Option<BootInstant> {
        let mut ends: Vec<_> = living.iter().map(|(_, end)| *end).collect();
        // A lease without an end lasts longest.
        ends.sort_by_key(|end| (end.is_none(), *end));
        let mode = self.mode();
        // If the lock is held in another mode, all leases must end first.
        let may_stay = mode.limit().filter(|_| held == mode).unwrap_or(1) - 1;
        let last = ends.len().checked_sub(may_stay + 1)?;
        ends[last]
    }

    /// A mode other than ours in which the lock is held, or wanted by earlier waiters.
    fn other_mode(&self, held: Mode, living: &Living<'_>, now: Moment) -> Option<Mode> {
        let wanted = self.mode();
        let ours = self.our_lease();
        if ours.is_some_and(|lease| !lease.is_expired(earliest(now))) && held != wanted {
            return Some(held);
        }
        if wanted == Mode::Exclusive {
            return None;
        }
        let of_holders = (!living.is_empty()).then_some(held);
        let of_waiters = self.ahead(now).map(|(waiter, _)| waiter.mode());
        let mut modes = of_holders.into_iter().chain(of_waiters);
        modes.find(|mode| *mode != Mode::Exclusive && *mode != wanted)
    }

    pub(super) fn is_forced(&self, now: Moment) -> bool {
        let (Some(force), Ok(Some(record))) = (&self.contender.force, self.record()) else {
            return false;
        };
        force.holds(record, self.observed.is_held(self.contender.skew, now))
    }

    /// Why there is nothing to renew; none if a lease of ours exists, even an expired one.
    fn not_to_renew(&self, by: Option<HeldBy>) -> Option<Refusal> {
        if !self.renews || self.our_lease().is_some() {
            return None;
        }
        if self.record.is_none() {
            return Some(Refusal::NoLock);
        }
        let id = &self.contender.id;
        let broken = self.broken.as_ref().filter(|broken| broken.ended(id));
        Some(Refusal::NotHeld(Box::new(NotHeld {
            id: id.clone(),
            token: None,
            broken: broken.cloned(),
            by,
            current: None,
        })))
    }

    /// The mode in which we hold the lock. Renewing a lease keeps its mode.
    pub(super) fn mode(&self) -> Mode {
        match &self.record {
            Some(Ok(record)) if self.renews => record.mode,
            _ => self.contender.mode,
        }
    }

    pub(super) fn our_entry(&self) -> Option<&Lease> {
        let record: &Record = self.record.as_ref()?.as_ref().ok()?;
        record.leases.get(&self.contender.id)
    }

    /// Our lease, if we wrote it ourselves.
    pub(super) fn our_lease(&self) -> Option<&Lease> {
        self.our_entry().filter(|lease| lease.granted.is_none())
    }

    /// The grant by which a holder has named us next.
    pub(super) fn our_grant(&self) -> Option<&Lease> {
        self.our_entry().filter(|lease| lease.granted.is_some())
    }
}

fn count<T>(all: impl Iterator<Item = T>) -> u32 {
    u32::try_from(all.count()).unwrap_or(u32::MAX)
}
