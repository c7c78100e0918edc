//! What was seen of a lock, and since when; and what follows from it for one who wants it.

use std::{collections::BTreeMap, time::Duration};

use crate::{Lease, Record, Timestamp, store::Object};

/// The annotations by which Go programs announce that they are about to write.
pub(crate) const RESERVED_BY: &str = "reserved/by";
pub(crate) const RESERVED_UNTIL: &str = "reserved/expires";

/// How long a reservation is deferred to: its owner writes at once, or is dead.
const DEFERENCE: Duration = Duration::from_secs(2);

/// A moment on both clocks: this machine's `CLOCK_BOOTTIME`, and the store's carried forward by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) boot: Duration,
    pub(crate) store: Timestamp,
}

/// The leases and the reservation as they were last seen, each with the moment when they were first seen so.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    leases: BTreeMap<String, (Lease, Moment)>,
    reservation: Option<(String, String, Moment)>,
}

/// What follows for one who wants the lock.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It can be written now.
    Free,
    /// A lease of our own ID is there, and not over.
    Ours(Lease),
    /// Somebody holds it, at the latest until this `CLOCK_BOOTTIME`.
    Held {
        by: String,
        expires: Timestamp,
        until: Option<Duration>,
    },
    /// Somebody is about to write, and has until this `CLOCK_BOOTTIME`.
    Reserved { by: String, until: Duration },
}

impl Sightings {
    pub(crate) fn look(&mut self, object: &Object, record: &Record, now: Moment) {
        let mut before = std::mem::take(&mut self.leases);
        let seen = record.leases.iter().map(|(id, lease)| {
            let known = before.remove(id).filter(|(known, _)| known == lease);
            (id.clone(), known.unwrap_or_else(|| (lease.clone(), now)))
        });
        self.leases = seen.collect();
        let known = self.reservation.take();
        let annotation = |key| object.annotations.get(key).cloned();
        if let Some(by) = annotation(RESERVED_BY) {
            let until = annotation(RESERVED_UNTIL).unwrap_or_default();
            let same = |(who, when, _): &(String, String, Moment)| *who == by && *when == until;
            self.reservation = known.filter(same).or(Some((by, until, now)));
        }
    }

    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn judge(&self, me: &str, skew: Duration, now: Moment) -> Verdict {
        let others = self.leases.iter().filter(|(id, _)| *id != me);
        let held = others.map(|(id, (lease, first))| (id, lease, end(lease, *first, skew, now)));
        let held = held.filter(|(.., end)| end.is_none_or(|end| end > now.boot));
        if let Some((by, lease, until)) = held.max_by_key(|(.., end)| end.unwrap_or(Duration::MAX))
        {
            return Verdict::Held {
                by: by.clone(),
                expires: lease.expires,
                until,
            };
        }
        let ours = self.leases.get(me).map(|(lease, _)| lease);
        match ours.filter(|lease| !lease.is_expired(now.store)) {
            Some(lease) => Verdict::Ours(lease.clone()),
            None => Verdict::Free,
        }
    }

    /// The reservation that is to be deferred to.
    pub(crate) fn reserved(&self, me: &str, now: Moment) -> Option<Verdict> {
        let (by, expires, first) = self.reservation.as_ref()?;
        let until = first.boot + DEFERENCE;
        let until = match expires.parse::<Timestamp>() {
            Ok(expires) => until.min(now.boot + expires.after(now.store)),
            Err(_) => until,
        };
        let by = by.clone();
        (by != me && until > now.boot).then_some(Verdict::Reserved { by, until })
    }

    /// Whether anybody but us holds it, or we do.
    pub(crate) fn acquired(&self, skew: Duration, now: Moment) -> bool {
        let mut ends = self
            .leases
            .values()
            .map(|(lease, first)| end(lease, *first, skew, now));
        ends.any(|end| end.is_none_or(|end| end > now.boot))
    }
}

/// The `CLOCK_BOOTTIME` at which a lease is over for certain; none for one without an end.
///
/// It was written before it was first seen, so that its whole length after that its holder has given up, whatever clocks say. What is
/// over by its own word counts as over when it was so at first sight, by more than clocks may differ. A lease without a length
/// can only be taken at its word.
fn end(lease: &Lease, first: Moment, skew: Duration, now: Moment) -> Option<Duration> {
    if lease.expires.is_never() {
        return None;
    }
    let surely = lease.expires.plus(skew);
    if surely < first.store {
        return Some(first.boot);
    }
    let by_its_word = || now.boot + surely.after(now.store);
    Some(
        lease
            .duration()
            .map_or_else(by_its_word, |length| first.boot.saturating_add(length)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LockName;

    const SKEW: Duration = Duration::from_secs(5);

    fn at(seconds: u64) -> Moment {
        Moment {
            boot: Duration::from_secs(seconds),
            store: Timestamp::from_unix(Duration::from_secs(1_000_000 + seconds)),
        }
    }

    fn seen(sightings: &mut Sightings, lease: &Lease, now: Moment) {
        let mut record = Record::mutex("x");
        record.leases.insert(lease.holder.clone(), lease.clone());
        sightings.look(&object(), &record, now);
    }

    fn object() -> Object {
        Object::new(&"x".parse::<LockName>().unwrap())
    }

    fn until(sightings: &Sightings, now: Moment) -> Option<u64> {
        match sightings.judge("me", SKEW, now) {
            Verdict::Held { until, .. } => until.map(|until| until.as_secs()),
            Verdict::Free => Some(0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_lease_with_a_length_lasts_that_long_from_when_it_was_first_seen() {
        let mut sightings = Sightings::default();
        let lease = Lease::new("other", at(11).store, Some(Duration::from_secs(10)));
        seen(&mut sightings, &lease, at(5));
        seen(&mut sightings, &lease, at(14));
        assert_eq!(until(&sightings, at(14)), Some(15));
        assert_eq!(until(&sightings, at(15)), Some(0));
    }

    #[test]
    fn a_lease_that_changed_begins_again() {
        let mut sightings = Sightings::default();
        let length = Some(Duration::from_secs(10));
        seen(
            &mut sightings,
            &Lease::new("other", at(11).store, length),
            at(5),
        );
        seen(
            &mut sightings,
            &Lease::new("other", at(24).store, length),
            at(14),
        );
        assert_eq!(until(&sightings, at(15)), Some(24));
    }

    #[test]
    fn only_what_is_over_at_first_sight_by_more_than_the_skew_is_taken_at_its_word() {
        let length = Some(Duration::from_secs(10));
        let lease = Lease::new("other", at(100).store, length);
        for (first, end) in [(105, 115), (106, 0)] {
            let mut sightings = Sightings::default();
            seen(&mut sightings, &lease, at(first));
            assert_eq!(
                until(&sightings, at(first)),
                Some(end),
                "first seen at {first}"
            );
        }
    }

    #[test]
    fn a_lease_without_a_length_ends_by_its_word_and_the_skew() {
        let mut sightings = Sightings::default();
        seen(&mut sightings, &Lease::new("go", at(20).store, None), at(5));
        assert_eq!(until(&sightings, at(6)), Some(25));
        assert_eq!(until(&sightings, at(24)), Some(25));
        assert_eq!(until(&sightings, at(26)), Some(0));
    }

    #[test]
    fn a_lease_without_an_end_never_ends() {
        let mut sightings = Sightings::default();
        seen(
            &mut sightings,
            &Lease::new("other", Timestamp::NEVER, None),
            at(5),
        );
        assert_eq!(until(&sightings, at(1_000_000)), None);
    }

    #[test]
    fn a_reservation_is_deferred_to_for_two_seconds_and_while_it_lasts() {
        let mut sightings = Sightings::default();
        let mut object = object();
        object
            .annotations
            .insert(RESERVED_BY.to_owned(), "go".to_owned());
        let reserve = |object: &mut Object, until: String| {
            object.annotations.insert(RESERVED_UNTIL.to_owned(), until);
        };
        let until = |sightings: &Sightings, now| match sightings.reserved("me", now) {
            Some(Verdict::Reserved { until, .. }) => Some(until.as_secs()),
            _ => None,
        };
        reserve(&mut object, at(40).store.to_string());
        sightings.look(&object, &Record::mutex("x"), at(10));
        sightings.look(&object, &Record::mutex("x"), at(11));
        assert_eq!(until(&sightings, at(11)), Some(12));
        assert_eq!(until(&sightings, at(12)), None);
        assert_eq!(sightings.reserved("go", at(11)), None);
        reserve(&mut object, at(12).store.to_string());
        sightings.look(&object, &Record::mutex("x"), at(11));
        assert_eq!(until(&sightings, at(11)), Some(12));
        reserve(&mut object, "nonsense".to_owned());
        sightings.look(&object, &Record::mutex("x"), at(20));
        assert_eq!(until(&sightings, at(21)), Some(22));
        object.annotations.clear();
        sightings.look(&object, &Record::mutex("x"), at(21));
        assert_eq!(until(&sightings, at(21)), None);
    }
}
