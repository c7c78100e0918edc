//! What was seen of a lock, since when, and what follows for a contender.

use std::{collections::BTreeMap, mem, time::Duration};

use coord_core::BootInstant;
use coord_lease::engine::Moment;

use super::{Skew, earliest};
use crate::{Lease, Record, Timestamp, store::Object};

/// The annotations by which Go programs announce a write.
pub(super) const RESERVED_BY: &str = "reserved/by";
pub(super) const RESERVED_UNTIL: &str = "reserved/expires";

/// How long to respect a reservation: its owner writes at once, or is dead.
const DEFERENCE: Duration = Duration::from_secs(2);

/// How far two clocks may drift apart between two answers and still count as running: it covers
/// whole seconds and the answers' travel time.
const STEADY: Duration = Duration::from_secs(3);

/// The leases and the reservation as last seen, each with the moment when it was first seen so.
#[derive(Debug, Default)]
pub(super) struct Observed {
    leases: BTreeMap<String, (Lease, Moment)>,
    /// When a lease was last seen to be gone, or when the lock was first seen.
    departed: Option<Moment>,
    reservation: Option<(String, String, Moment)>,
    last: Option<Moment>,
    /// The store's clock has jumped, so its times from before cannot be trusted.
    has_jumped: bool,
}

impl Observed {
    pub(super) fn observe(&mut self, object: &Object, record: &Record, now: Moment) {
        self.watch_the_clock(now);
        let mut before = mem::take(&mut self.leases);
        let seen = record.leases.iter().map(|(id, lease)| {
            let known = before.remove(id).filter(|(known, _)| known.is_same(lease));
            (id.clone(), known.unwrap_or_else(|| (lease.clone(), now)))
        });
        self.leases = seen.collect();
        if !before.is_empty() {
            self.departed = Some(now);
        }
        self.departed.get_or_insert(now);
        let known = self.reservation.take();
        let annotation = |key| object.annotations.get(key).cloned();
        if let Some(by) = annotation(RESERVED_BY) {
            let until = annotation(RESERVED_UNTIL).unwrap_or_default();
            let same = |(who, when, _): &(String, String, Moment)| *who == by && *when == until;
            self.reservation = known.filter(same).or(Some((by, until, now)));
        }
    }

    /// The lock no longer exists.
    pub(super) fn forget(&mut self) {
        *self = Self {
            last: self.last,
            has_jumped: self.has_jumped,
            ..Self::default()
        };
    }

    /// Notices a clock that jumps: a running clock shows its last time plus the time since.
    fn watch_the_clock(&mut self, now: Moment) {
        if let Some(before) = self.last.replace(now).map(|last| last.at(now.boot))
            && let (Some(before), Some(now)) = (before.store, now.store)
        {
            let ahead = now.earliest > before.latest + STEADY;
            let back = now.latest + STEADY < before.earliest;
            self.has_jumped |= ahead || back;
        }
    }

    /// Other holders' leases that have not expired, each with its end; none for a lease without an
    /// end.
    pub(super) fn living(
        &self,
        me: &str,
        skew: Skew,
        now: Moment,
    ) -> impl Iterator<Item = (&Lease, Option<BootInstant>)> {
        let ends = self.ends(me, skew, now);
        ends.filter(move |(_, end)| end.is_none_or(|end| end > now.boot))
    }

    /// Since when there has been as much room as now: since a lease expired or disappeared.
    pub(super) fn room_since(&self, me: &str, skew: Skew, now: Moment) -> BootInstant {
        let over = self.ends(me, skew, now).filter_map(|(_, end)| end);
        let over = over.filter(|end| *end <= now.boot);
        let departed = self.departed.map(|departed| departed.boot);
        over.chain(departed).max().unwrap_or(now.boot)
    }

    fn ends(
        &self,
        me: &str,
        skew: Skew,
        now: Moment,
    ) -> impl Iterator<Item = (&Lease, Option<BootInstant>)> {
        let others = self.leases.iter().filter(move |(id, _)| *id != me);
        others.map(move |(_, (lease, first))| (lease, self.end(lease, *first, skew, now)))
    }

    /// When this lease was first seen in its current state.
    pub(super) fn seen_since(&self, id: &str) -> Option<BootInstant> {
        self.leases.get(id).map(|(_, first)| first.boot)
    }

    /// Who has reserved the lock and until when, if the reservation is to be respected.
    pub(super) fn reserved(&self, me: &str, now: Moment) -> Option<(String, BootInstant)> {
        let (by, expires, first) = self.reservation.as_ref()?;
        let until = first.boot + DEFERENCE;
        let until = match expires.parse::<Timestamp>() {
            Ok(expires) => until.min(now.boot + expires.after(earliest(now))),
            Err(_) => until,
        };
        (by != me && until > now.boot).then(|| (by.clone(), until))
    }

    /// Whether anybody holds it.
    pub(super) fn is_held(&self, skew: Skew, now: Moment) -> bool {
        let ends = self.leases.values();
        let mut ends = ends.map(|(lease, first)| self.end(lease, *first, skew, now));
        ends.any(|end| end.is_none_or(|end| end > now.boot))
    }

    /// When a lease is surely over; none for a lease without an end.
    ///
    /// The lease was written before it was first seen. So once its length has passed since then,
    /// its holder has given up, whatever clocks say. A lease that had expired by more than the skew
    /// when it was first seen is over already. A lease without a length can only be judged by its
    /// own end.
    fn end(&self, lease: &Lease, first: Moment, skew: Skew, now: Moment) -> Option<BootInstant> {
        if lease.expires.is_never() {
            return None;
        }
        let Some(length) = lease.duration() else {
            let surely = lease.expires.plus(skew.without_length);
            let (left, ago) = (surely.after(earliest(now)), earliest(now).after(surely));
            let since_boot = now.boot.since_boot() + left;
            return Some(BootInstant::after_boot(since_boot.saturating_sub(ago)));
        };
        let was_over = !self.has_jumped && skew.is_surely_over(lease, earliest(first));
        Some(if was_over {
            first.boot
        } else {
            first.boot + length
        })
    }
}

#[cfg(test)]
mod tests {
    use coord_lease::engine::StoreTime;

    use super::*;
    use crate::LockName;

    const SKEW: Skew = Skew {
        without_length: Duration::from_secs(5),
        at_first_sight: Some(Duration::from_secs(5)),
    };

    fn at(seconds: u64) -> Moment {
        at_by_the_store(seconds, seconds)
    }

    fn at_by_the_store(seconds: u64, shown: u64) -> Moment {
        let shown = Duration::from_secs(1_000_000 + shown);
        Moment {
            boot: BootInstant::after_boot(Duration::from_secs(seconds)),
            store: Some(StoreTime {
                earliest: shown,
                latest: shown,
            }),
        }
    }

    fn time(seconds: u64) -> Timestamp {
        earliest(at(seconds))
    }

    fn seen(observed: &mut Observed, lease: &Lease, now: Moment) {
        let mut record = Record::mutex("x");
        record.leases.insert(lease.holder.clone(), lease.clone());
        observed.observe(&object(), &record, now);
    }

    fn object() -> Object {
        Object::new(&"x".parse::<LockName>().unwrap())
    }

    fn until(observed: &Observed, now: Moment) -> Option<u64> {
        let living: Vec<_> = observed.living("me", SKEW, now).collect();
        match living[..] {
            [(_, until)] => until.map(|until| until.since_boot().as_secs()),
            _ => Some(0),
        }
    }

    // Holds lockheed-2.
    #[test]
    fn a_lease_with_a_length_lasts_that_long_from_when_it_was_first_seen() {
        let mut observed = Observed::default();
        let lease = Lease::new("other", time(11), Some(Duration::from_secs(10)));
        seen(&mut observed, &lease, at(5));
        seen(&mut observed, &lease, at(14));
        assert_eq!(until(&observed, at(14)), Some(15));
        assert_eq!(until(&observed, at(15)), Some(0));
        assert!(observed.is_held(SKEW, at(14)) && !observed.is_held(SKEW, at(15)));
    }

    #[test]
    fn a_lease_that_changed_begins_again() {
        let mut observed = Observed::default();
        let length = Some(Duration::from_secs(10));
        seen(&mut observed, &Lease::new("other", time(11), length), at(5));
        seen(
            &mut observed,
            &Lease::new("other", time(24), length),
            at(14),
        );
        assert_eq!(until(&observed, at(15)), Some(24));
    }

    // Holds lockheed-2.
    #[test]
    fn only_what_is_over_at_first_sight_by_more_than_the_skew_is_taken_at_its_word() {
        let length = Some(Duration::from_secs(10));
        let lease = Lease::new("other", time(100), length);
        for (first, end) in [(105, 115), (106, 0)] {
            let mut observed = Observed::default();
            seen(&mut observed, &lease, at(first));
            assert_eq!(
                until(&observed, at(first)),
                Some(end),
                "first seen at {first}"
            );
        }
    }

    /// A lease from before the clock jumped may look long expired and still be alive.
    // Holds lockheed-2.
    #[test]
    fn after_a_jump_of_the_clock_the_whole_length_is_waited_for() {
        let lease = Lease::new("other", time(100), Some(Duration::from_secs(10)));
        let none = Record::mutex("x");
        for (shown, end) in [
            (210, 0),
            (213, 0),
            (207, 0),
            (214, 220),
            (206, 220),
            (230, 220),
            (180, 220),
        ] {
            let mut observed = Observed::default();
            observed.observe(&object(), &none, at_by_the_store(200, 200));
            seen(&mut observed, &lease, at_by_the_store(210, shown));
            let now = at_by_the_store(210, shown);
            assert_eq!(until(&observed, now), Some(end), "the clock shows {shown}");
            // A deleted and recreated lock does not hide the jump.
            observed.forget();
            seen(&mut observed, &lease, now);
            assert_eq!(until(&observed, now), Some(end), "the clock shows {shown}");
        }
        let mut observed = Observed::default();
        observed.observe(&object(), &none, at(200));
        observed.forget();
        let now = at_by_the_store(210, 230);
        seen(&mut observed, &lease, now);
        assert_eq!(until(&observed, now), Some(220));
    }

    /// A lease may look long expired and be alive, as when a controller's node has a slow clock.
    #[cfg(feature = "kube")]
    #[test]
    fn what_a_holders_own_clock_shows_says_nothing() {
        for end in [1, 100, 1_000_000] {
            let length = Some(Duration::from_secs(10));
            let lease = Lease::new("other", time(end), length).by_holders_clock();
            let mut observed = Observed::default();
            seen(&mut observed, &lease, at(200));
            assert_eq!(until(&observed, at(201)), Some(210), "it ends at {end}");
        }
    }

    #[test]
    fn a_lease_without_a_length_ends_by_its_word_and_the_skew() {
        let mut observed = Observed::default();
        seen(&mut observed, &Lease::new("go", time(20), None), at(5));
        assert_eq!(until(&observed, at(6)), Some(25));
        assert_eq!(until(&observed, at(24)), Some(25));
        assert_eq!(until(&observed, at(26)), Some(0));
    }

    #[test]
    fn a_lease_without_an_end_never_ends() {
        let mut observed = Observed::default();
        seen(
            &mut observed,
            &Lease::new("other", Timestamp::NEVER, None),
            at(5),
        );
        assert_eq!(until(&observed, at(1_000_000)), None);
        assert!(observed.is_held(SKEW, at(1_000_000)));
    }

    #[test]
    fn a_reservation_is_deferred_to_for_two_seconds_and_while_it_lasts() {
        let mut observed = Observed::default();
        let mut object = object();
        object
            .annotations
            .insert(RESERVED_BY.to_owned(), "go".to_owned());
        let reserve = |object: &mut Object, until: String| {
            object.annotations.insert(RESERVED_UNTIL.to_owned(), until);
        };
        let until = |observed: &Observed, now| {
            let reserved = observed.reserved("me", now);
            reserved.map(|(_, until)| until.since_boot().as_secs())
        };
        reserve(&mut object, time(40).to_string());
        observed.observe(&object, &Record::mutex("x"), at(10));
        observed.observe(&object, &Record::mutex("x"), at(11));
        assert_eq!(until(&observed, at(11)), Some(12));
        assert_eq!(until(&observed, at(12)), None);
        assert_eq!(observed.reserved("go", at(11)), None);
        reserve(&mut object, time(12).to_string());
        observed.observe(&object, &Record::mutex("x"), at(11));
        assert_eq!(until(&observed, at(11)), Some(12));
        reserve(&mut object, "nonsense".to_owned());
        observed.observe(&object, &Record::mutex("x"), at(20));
        assert_eq!(until(&observed, at(21)), Some(22));
        object.annotations.clear();
        observed.observe(&object, &Record::mutex("x"), at(21));
        assert_eq!(until(&observed, at(21)), None);
    }
}
