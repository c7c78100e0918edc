//! lockheed's locks, together with programs that others wrote.

use std::{
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
    num::NonZeroU32,
    time::Duration,
};

use coord_core::Errno;
use coord_lease::{Random, Version, engine::Effect};
use lockheed::{
    Lease, LockName, Mode, Timestamp, Token,
    protocol::{Contender, Mutex, Nothing, Skew},
    store::{Object, RECORD, StoreError, StoreErrorKind},
};

use super::{
    Kind, SKEW,
    game::{Game, Stored},
    go::{Foreign, Go},
    network::chance,
};

/// The number of slots.
const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

pub(super) struct MutexGame<F> {
    kind: Kind,
    form: PhantomData<F>,
}

/// A form in which a server stores the locks.
pub(super) trait Form: Stored {
    /// The other program that uses locks of this form.
    type Foreign: Foreign<Self>;

    fn foreign(random: &mut Random) -> Self::Foreign;

    fn write(object: Object, now: Timestamp) -> Self;

    fn read(self, name: &LockName) -> Object;
}

/// A ConfigMap has just what an object has.
impl Form for Object {
    type Foreign = Go;

    fn foreign(random: &mut Random) -> Go {
        Go::new(random)
    }

    fn write(object: Object, _: Timestamp) -> Object {
        object
    }

    fn read(self, _: &LockName) -> Object {
        self
    }
}

impl<F: Form> Game for MutexGame<F> {
    type Protocol = Mutex;
    type Stored = F;
    type Foreign = F::Foreign;

    const CLOCKS_DIFFER: bool = true;

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            form: PhantomData,
        }
    }

    fn mode(kind: Kind) -> fn(&str) -> Mode {
        match kind {
            Kind::Shared | Kind::Queue | Kind::LeaseQueue => |id| match node(id) {
                Some(node) if node % 3 > 0 => Mode::Shared,
                _ => Mode::Exclusive,
            },
            Kind::Slots => |id| match node(id) {
                Some(_) => Mode::Slots(TWO),
                None => Mode::Exclusive,
            },
            _ => |_| Mode::Exclusive,
        }
    }

    fn write(object: Object, now: Timestamp) -> F {
        F::write(object, now)
    }

    fn read(stored: F) -> Object {
        stored.read(&name())
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

    fn foreign(random: &mut Random) -> Option<F::Foreign> {
        chance(random, 60).then(|| F::foreign(random))
    }

    fn contender(&self, node: usize, id: &str, _: Duration) -> Mutex {
        Mutex::new(Contender {
            name: name(),
            id: id.to_owned(),
            tags: Vec::new(),
            reset_tags: false,
            force: None,
            mode: Self::mode(self.kind)(id),
            fair: matches!(self.kind, Kind::Fair | Kind::Queue | Kind::LeaseQueue),
            priority: match self.kind {
                Kind::Queue | Kind::LeaseQueue => u32::try_from(node % 4).unwrap_or_default(),
                _ => 0,
            },
            skew: Skew {
                without_length: SKEW,
                at_first_sight: Some(SKEW),
            },
            alive: None,
        })
    }

    fn holders(object: &Object) -> BTreeSet<String> {
        leases(object).into_keys().collect()
    }

    fn holder(object: &Object) -> Option<String> {
        let mut holders = leases(object).into_values();
        let holder = holders.find(|lease| !lease.is_granted())?;
        Some(holder.holder)
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

/// The only lock's name.
fn name() -> LockName {
    #[allow(clippy::unwrap_used, reason = "it is valid")]
    "lock".parse().unwrap()
}

/// The node of a contender; none for other programs.
fn node(id: &str) -> Option<usize> {
    let (node, _) = id.strip_prefix("node")?.split_once('-')?;
    node.parse().ok()
}

fn leases(object: &Object) -> BTreeMap<String, Lease> {
    let record = object.record();
    record.map(|record| record.leases).unwrap_or_default()
}

impl Stored for Object {
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
