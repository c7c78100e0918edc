//! lockheed's mutex, beside writers in the manner of Go programs.

use std::{collections::BTreeSet, time::Duration};

use coord_core::Errno;
use coord_lease::{Random, Version, engine::Effect};
use lockheed::{
    Record, Timestamp, Token,
    protocol::{Contender, Mutex, Nothing, Skew},
    store::{Object, RECORD, StoreError, StoreErrorKind},
};

use super::{
    SKEW,
    game::{Game, Kept},
    go::Go,
    network::chance,
};

pub(super) struct MutexGame;

impl Game for MutexGame {
    type Protocol = Mutex;
    type Foreign = Go;

    const CLOCKS_DIFFER: bool = true;

    fn new() -> Self {
        Self
    }

    fn refused(effect: Effect) -> StoreError {
        let kind = match effect {
            Effect::Conflict => StoreErrorKind::Conflict,
            Effect::None => StoreErrorKind::Unavailable,
            Effect::Unknown => StoreErrorKind::Unknown,
            Effect::Final => StoreErrorKind::Denied,
        };
        StoreError::new(kind, Errno::EAGAIN, "it failed")
    }

    fn foreign(random: &mut Random) -> Option<Go> {
        chance(random, 60).then(|| Go::new(random))
    }

    fn contender(&self, _: usize, id: &str, _: Duration) -> Mutex {
        // The only name there is; it is a valid one.
        #[allow(clippy::unwrap_used, reason = "see above")]
        let name = "lock".parse().unwrap();
        Mutex::new(Contender {
            name,
            id: id.to_owned(),
            tags: Vec::new(),
            reset_tags: false,
            force: None,
            skew: Skew {
                without_length: SKEW,
                at_first_sight: Some(SKEW),
            },
            alive: None,
        })
    }

    fn holders(object: &Object) -> BTreeSet<String> {
        let text = object.data.get(RECORD);
        let record = text.and_then(|text| Record::from_json(text).ok());
        let leases = record.map(|record| record.leases).unwrap_or_default();
        leases.into_keys().collect()
    }

    fn token(token: &Token) -> Option<u64> {
        Some(token.get())
    }

    fn reservation(object: &Object) -> Option<(String, Timestamp)> {
        let by = object.annotations.get("reserved/by")?;
        let until = object.annotations.get("reserved/expires")?;
        Some((by.clone(), until.parse().ok()?))
    }

    fn fact(&self, _: usize, _: &str, nothing: &Nothing) -> Nothing {
        *nothing
    }

    fn is_rubbish(&self, object: &Object) -> bool {
        Self::holders(object).is_empty()
    }
}

impl Kept for Object {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn version(&self) -> Version {
        self.version.clone()
    }

    fn set_uid(&mut self, uid: &str) {
        uid.clone_into(&mut self.uid);
    }

    fn set_version(&mut self, version: &Version) {
        self.version = version.clone();
    }

    fn text(&self) -> String {
        let text = self.data.get(RECORD).map_or("", String::as_str);
        format!("{text} {:?}", self.annotations)
    }
}
