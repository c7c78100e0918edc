//! The format of a lock's file: the record's JSON, and under `store` what a ConfigMap has around
//! it.

use std::{collections::BTreeMap, time::Duration};

use coord_core::BootInstant;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{alive::Life, place::Place};
use crate::{
    LockName,
    fair::ObservedQueue,
    store::{Object, RECORD, Version},
};

const AROUND: &str = "store";

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Around {
    version: u64,
    #[serde(default)]
    uid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<Duration>,
    #[serde(default, skip_serializing_if = "is_zero")]
    queue: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    data: BTreeMap<String, String>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// An object, and what else the store knows about it.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) object: Object,
    /// The boot in which it was written; none if it was made by hand.
    boot: Option<String>,
    /// Where and when it was written, if it says so.
    pub(super) place: Option<Place>,
    /// The number of its waiters' queue, see [`queue`](super::queue).
    pub(super) queue: u64,
    /// Why the part around the record cannot be read, if it cannot.
    pub(super) unreadable: Option<serde_json::Error>,
}

/// Reads a file. A text that is not a lock becomes an object whose record is unreadable, and its
/// user reports that.
pub(super) fn read(name: &LockName, text: &str) -> Read {
    let (record, around) = parse(text).unwrap_or((text.to_owned(), None));
    let mut object = Object::new(name);
    let (around, unreadable) = match around.transpose() {
        Ok(around) => (around, None),
        Err(error) => (None, Some(error)),
    };
    let Some(around) = around else {
        object.data.insert(RECORD.to_owned(), record);
        return Read {
            object,
            boot: None,
            place: None,
            queue: 0,
            unreadable,
        };
    };
    object.version = Version::new(around.version.to_string());
    object.rest = Value::Object(around.other).to_string();
    object.uid = around.uid;
    object.annotations = around.annotations;
    object.data = around.data;
    object.data.insert(RECORD.to_owned(), record);
    let place = || {
        let (boot, time_namespace) = (around.boot.clone()?, around.time_namespace?);
        Some(Place {
            boot,
            time_namespace,
            epoch: around.epoch?,
        })
    };
    Read {
        object,
        place: place(),
        boot: around.boot,
        queue: around.queue,
        unreadable,
    }
}

pub(super) fn write(object: &Object, place: &Place, queue: u64) -> String {
    let mut data = object.data.clone();
    let record = data.remove(RECORD).unwrap_or_default();
    let mut file: Map<String, Value> = serde_json::from_str(&record).unwrap_or_default();
    let around = Around {
        version: object.version.as_str().parse().unwrap_or(0),
        uid: object.uid.clone(),
        boot: Some(place.boot.clone()),
        time_namespace: Some(place.time_namespace.clone()),
        epoch: Some(place.epoch),
        queue,
        annotations: object.annotations.clone(),
        data,
        other: serde_json::from_str(&object.rest).unwrap_or_default(),
    };
    let around = serde_json::to_value(around).unwrap_or_default();
    file.insert(AROUND.to_owned(), around);
    let mut text = Value::Object(file).to_string();
    text.push('\n');
    text
}

/// How many of the next waiters are checked for life. Checking all of a long queue each time would
/// take long.
const NEXT: usize = 16;

/// Removes void leases and places in the queue: those of dead holders, and all from another boot. A
/// living holder proves that it is still the same boot, whatever the file calls it. `queue` may be
/// one that was read before: only what is new is parsed.
pub(super) fn drop_void(
    read: &mut Read,
    queue: &mut ObservedQueue,
    place: &Place,
    life: impl Fn(u64) -> Life,
) {
    let Ok(mut record) = read.object.record() else {
        return;
    };
    let is_of_this_boot = read.boot.as_ref().is_none_or(|boot| *boot == place.boot);
    let counts = |alive: Option<u64>| match alive.map(&life) {
        Some(Life::Alive) => true,
        Some(Life::Dead) => false,
        Some(Life::Unknown) | None => is_of_this_boot,
    };
    let before = record.leases.len();
    record.leases.retain(|_, lease| counts(lease.alive));
    if record.leases.len() < before {
        read.object.set_record(&record);
    }
    queue.read(Some(&read.object), BootInstant::now());
    let (mut living, mut dead) = (0, Vec::new());
    for (position, waiter) in queue.latest().waiters().iter().enumerate() {
        if living == NEXT {
            break;
        }
        if counts(waiter.alive) {
            living += 1;
        } else {
            dead.push(position);
        }
    }
    if !dead.is_empty() {
        let mut left = queue.latest().clone();
        let mut positions = 0..;
        left.retain(|_| {
            positions
                .next()
                .is_none_or(|position| !dead.contains(&position))
        });
        left.write(&mut read.object);
    }
}

/// Whether nobody holds it. An unreadable lock is not free.
pub(super) fn is_free(object: &Object) -> bool {
    object.record().is_ok_and(|record| record.leases.is_empty())
}

fn parse(text: &str) -> Option<(String, Option<serde_json::Result<Around>>)> {
    let mut file: Map<String, Value> = serde_json::from_str(text).ok()?;
    let Some(around) = file.remove(AROUND) else {
        return Some((text.to_owned(), None));
    };
    let around = serde_json::from_value(around);
    Some((Value::Object(file).to_string(), Some(around)))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::{
        Mode, Timestamp,
        fair::{Queue, Waiter},
    };

    /// With a thousand in the queue, each would otherwise check all others at each change.
    #[test]
    fn of_those_who_wait_the_next_ones_are_known_to_live() {
        let mut queue = Queue::default();
        for number in 0..100 {
            let mut waiter = Waiter::new(&number.to_string(), Mode::Exclusive, 0, Timestamp::NEVER);
            waiter.alive = Some(number);
            queue.put(waiter, number.to_string());
        }
        let name = "x".parse().unwrap();
        let mut read = read(&name, "{}");
        queue.write(&mut read.object);
        let asked = RefCell::new(0);
        let life = |number| {
            *asked.borrow_mut() += 1;
            if number % 2 == 0 {
                Life::Dead
            } else {
                Life::Alive
            }
        };
        let place = Place {
            boot: String::new(),
            time_namespace: String::new(),
            epoch: Duration::ZERO,
        };
        // What was read last may have been another lock's queue.
        let mut queue = ObservedQueue::default();
        let mut other = Object::new(&"y".parse().unwrap());
        let mut waiting = Queue::default();
        waiting.put(
            Waiter::new("0", Mode::Shared, 0, Timestamp::NEVER),
            "n".to_owned(),
        );
        waiting.write(&mut other);
        queue.read(Some(&other), BootInstant::now());
        drop_void(&mut read, &mut queue, &place, life);
        let waiters = Queue::read(&read.object).into_waiters();
        let left: Vec<_> = waiters.iter().filter_map(|waiter| waiter.alive).collect();
        let (next, later) = left.split_at(NEXT);
        assert!(next.iter().all(|number| number % 2 == 1));
        assert_eq!(later.first(), Some(&32));
        assert_eq!(*asked.borrow(), 2 * NEXT);
    }
}
