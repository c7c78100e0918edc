//! Several holders of one lock, and how its object stores them.
//!
//! To programs that know mutexes only, one lease holds the lock: [`GROUP`], which lasts as long as
//! the longest member's. The members' own leases are in an annotation, since such programs keep
//! annotations. They count as long as the lock has the group's lease and no other.

use std::{collections::BTreeMap, num::NonZeroU32};

use coord_lease::engine::Nonce;
use serde::{Deserialize, Serialize};

use crate::{
    InvalidRecord, Lease, LockName, Mode, Record, Timestamp,
    store::{Object, RECORD},
};

/// The holder's ID of a group. No member can have it.
pub(crate) const GROUP: &str = "lockheed/shared";

/// The annotation with the members.
const HOLDERS: &str = "lockheed/holders";

#[derive(Deserialize, Serialize)]
struct Members {
    /// How many members are allowed; none without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slots: Option<NonZeroU32>,
    leases: BTreeMap<String, Lease>,
}

impl Object {
    /// Reads the lock in this object. An object without [`RECORD`] was made beforehand: nobody
    /// holds it.
    ///
    /// # Errors
    /// `EINVAL`, with what is wrong and where.
    pub fn record(&self) -> Result<Record, InvalidRecord> {
        let mut record = written(&self.name, self.data.get(RECORD))?;
        if !is_of_group(&record) {
            return Ok(record);
        }
        // Unreadable members count as one holder until the group's lease expires.
        let members = self.annotations.get(HOLDERS);
        let members = members.and_then(|text| serde_json::from_str::<Members>(text).ok());
        if let Some(members) = members {
            record.mode = members.slots.map_or(Mode::Shared, Mode::Slots);
            record.leases = members.leases;
        }
        Ok(record)
    }

    /// Stores this lock in the object.
    pub fn set_record(&mut self, record: &Record) {
        self.annotations.remove(HOLDERS);
        let text = if record.mode == Mode::Exclusive || record.leases.is_empty() {
            record.to_json()
        } else {
            let members = Members {
                slots: record.mode.slots(),
                leases: record.leases.clone(),
            };
            // Fails only for maps whose keys are not strings, and there are none.
            let text = serde_json::to_string(&members).unwrap_or_default();
            self.annotations.insert(HOLDERS.to_owned(), text);
            let mut group = of_group(&record.leases);
            if let Ok(older) = written(&self.name, self.data.get(RECORD))
                && let Some(older) = older.leases.get(GROUP)
            {
                group.keep_unknown(older);
            }
            let mut record = record.clone();
            record.leases = BTreeMap::from([(GROUP.to_owned(), group)]);
            record.to_json()
        };
        self.data.insert(RECORD.to_owned(), text);
    }
}

fn written(name: &LockName, text: Option<&String>) -> Result<Record, InvalidRecord> {
    match text {
        Some(text) => Record::from_json(text),
        None => Ok(Record::mutex(name.as_str())),
    }
}

fn is_of_group(record: &Record) -> bool {
    record.leases.len() == 1 && record.leases.contains_key(GROUP)
}

/// A lease that ends with the last of these and has the longest length. Each write of a member's
/// lease gives it another nonce, so that who knows only this lease notices each renewal, even if
/// another member's ends later.
fn of_group(leases: &BTreeMap<String, Lease>) -> Lease {
    let expires = leases.values().map(|lease| lease.expires).max();
    let lengths: Option<Vec<_>> = leases.values().map(Lease::duration).collect();
    let longest = lengths.and_then(|lengths| lengths.into_iter().max());
    let mut group = Lease::new(GROUP, expires.unwrap_or(Timestamp::NEVER), longest);
    group.nonce = nonce(leases.values()).map(|nonce| nonce.to_string());
    group.passed = leases.values().find_map(|lease| lease.passed);
    group
}

/// What changes if one of the leases' nonces does; none if no lease has one.
fn nonce<'a>(leases: impl Iterator<Item = &'a Lease>) -> Option<Nonce> {
    let nonces = leases.filter_map(|lease| lease.nonce.as_deref());
    let nonces = nonces.filter_map(|nonce| u64::from_str_radix(nonce, 16).ok());
    nonces.reduce(|one, other| one ^ other).map(Nonce)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn object(record: &Record) -> Object {
        let mut object = Object::new(&"x".parse().unwrap());
        object.set_record(record);
        object
    }

    fn group(mode: Mode, ends: &[(&str, u64)]) -> Record {
        let mut record = Record::mutex("x");
        record.mode = mode;
        let lease = |(id, end): &(&str, u64)| {
            let expires = Timestamp::from_unix(Duration::from_secs(*end));
            let length = Some(Duration::from_secs(*end));
            ((*id).to_owned(), Lease::new(id, expires, length))
        };
        record.leases = ends.iter().map(lease).collect();
        record
    }

    fn slots(count: u32) -> Mode {
        Mode::Slots(NonZeroU32::new(count).unwrap())
    }

    #[test]
    fn what_was_written_is_read() {
        for mode in [Mode::Shared, slots(3)] {
            let record = group(mode, &[("a", 30), ("b", 10)]);
            assert_eq!(object(&record).record().unwrap(), record);
        }
        let alone = group(Mode::Exclusive, &[("a", 30)]);
        assert_eq!(object(&alone).record().unwrap(), alone);
        assert!(object(&alone).annotations.is_empty());
        // Nobody holds it in any mode.
        let empty = object(&group(slots(3), &[]));
        assert_eq!(empty.record().unwrap(), Record::mutex("x"));
        assert!(empty.annotations.is_empty());
    }

    #[test]
    fn programs_that_know_only_mutexes_see_one_lease_that_outlasts_all() {
        let object = object(&group(slots(3), &[("a", 30), ("b", 10)]));
        let seen = Record::from_json(&object.data[RECORD]).unwrap();
        let leases: Vec<_> = seen.leases.values().collect();
        assert_eq!((leases.len(), seen.lock_type.as_str()), (1, "mutex"));
        assert_eq!(leases[0].expires, "1970-01-01T00:00:30Z".parse().unwrap());
        assert_eq!(leases[0].duration(), Some(Duration::from_secs(30)));
    }

    /// With two servers whose clocks differ, a lease can end before one that is older.
    // Holds lockheed-1.
    #[test]
    fn programs_that_know_only_mutexes_notice_each_members_renewal() {
        let mut record = group(Mode::Shared, &[("a", 30), ("b", 10)]);
        let nonce = |record: &Record| {
            let seen = Record::from_json(&object(record).data[RECORD]).unwrap();
            seen.leases[GROUP].nonce.clone()
        };
        assert_eq!(nonce(&record), None);
        let mut before = nonce(&record);
        for (id, new) in [
            ("a", "1f"),
            ("b", "ffffffffffffffff"),
            ("b", "2"),
            ("a", "3"),
        ] {
            record.leases.get_mut(id).unwrap().nonce = Some(new.to_owned());
            let now = nonce(&record);
            assert!(now.is_some() && now != before, "{id}: {new}");
            before = now;
        }
    }

    /// Such a program drops what it does not know, and takes the lock once the group's lease has
    /// expired.
    #[test]
    fn members_count_as_long_as_the_lock_is_the_groups() {
        let record = group(Mode::Shared, &[("a", 30), ("b", 10)]);
        let mut object = object(&record);
        let known = r#"{"name":"x","lockType":"mutex","leases":{"lockheed/shared":{"instanceID":"lockheed/shared","expires":"1970-01-01T00:00:30Z"}}}"#;
        object.data.insert(RECORD.to_owned(), known.to_owned());
        assert_eq!(object.record().unwrap(), record);
        let taken = known.replace("lockheed/shared", "go");
        object.data.insert(RECORD.to_owned(), taken);
        let taken = object.record().unwrap();
        assert_eq!((taken.mode, taken.leases.len()), (Mode::Exclusive, 1));
        assert!(taken.leases.contains_key("go"));
        object.set_record(&taken);
        assert!(object.annotations.is_empty());
    }

    #[test]
    fn members_that_cannot_be_read_are_one_holder() {
        let mut object = object(&group(Mode::Shared, &[("a", 30)]));
        object
            .annotations
            .insert(HOLDERS.to_owned(), "[]".to_owned());
        let record = object.record().unwrap();
        assert_eq!(record.mode, Mode::Exclusive);
        assert!(record.leases.contains_key(GROUP));
    }

    #[test]
    fn what_is_not_known_of_a_groups_lease_is_kept() {
        let mut object = object(&group(Mode::Shared, &[("a", 30)]));
        let text = &object.data[RECORD];
        let noted = text.replace(r#""expires""#, r#""note":1,"expires""#);
        object.data.insert(RECORD.to_owned(), noted);
        object.set_record(&group(Mode::Shared, &[("a", 30), ("b", 40)]));
        assert!(object.data[RECORD].contains(r#""note":1"#));
    }
}
