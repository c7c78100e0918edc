//! cmlock's lock: its object belongs to a Pod, and is deleted with it.

use std::{collections::BTreeSet, time::Duration};

use cmlock::{
    Owner,
    protocol::{Fact, Holder, OwnerState, PodLock, Subject},
};
use coord_lease::{
    Random, Version,
    engine::{Effect, RequestError},
};
use k8s_openapi::api::core::v1::ConfigMap;
use lockheed::Timestamp;

use super::{
    Kind,
    game::{Game, Stored},
    go::Nobody,
};

/// The Pods, each on its node.
pub(super) struct PodGame {
    /// How often each Pod was replaced.
    generations: Vec<u32>,
}

/// A request that failed.
#[derive(Debug)]
pub(super) struct Refused(Effect);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it failed, with effect {:?}", self.0)
    }
}

impl std::error::Error for Refused {}

impl RequestError for Refused {
    fn effect(&self) -> Effect {
        self.0
    }

    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

impl PodGame {
    fn owner(&self, node: usize) -> Owner {
        let generation = self.generations.get(node).copied().unwrap_or(0);
        Owner {
            name: format!("pod-{node}"),
            uid: format!("pod-{node}-{generation}"),
        }
    }

    fn is_there(&self, owner: &Owner) -> bool {
        let node = owner
            .name
            .strip_prefix("pod-")
            .and_then(|node| node.parse().ok());
        node.is_some_and(|node| self.owner(node) == *owner)
    }
}

impl Game for PodGame {
    type Protocol = PodLock<Refused>;
    type Stored = ConfigMap;
    type Foreign = Nobody;

    /// A single server's clock decides.
    const CLOCKS_DIFFER: bool = false;

    fn new(_: Kind) -> Self {
        Self {
            generations: vec![0; 200],
        }
    }

    fn write(object: ConfigMap, _: Timestamp) -> ConfigMap {
        object
    }

    fn read(stored: ConfigMap) -> ConfigMap {
        stored
    }

    fn refused(effect: Effect) -> Refused {
        Refused(effect)
    }

    fn foreign(_: &mut Random) -> Option<Nobody> {
        None
    }

    fn contender(&self, _: usize, _: &str, hold: Duration) -> PodLock<Refused> {
        PodLock::new("lock", !hold.is_zero())
    }

    fn holders(object: &ConfigMap) -> BTreeSet<String> {
        cmlock::protocol::holder(object).into_iter().collect()
    }

    fn token(_: &Holder) -> Option<u64> {
        None
    }

    fn fact(&self, node: usize, id: &str, subject: &Subject) -> Fact {
        match subject {
            Subject::Us => {
                let us = Holder::new(id, self.owner(node));
                Fact::Us(Ok(us), None)
            }
            Subject::Owner(owner) if self.is_there(owner) => {
                Fact::Owner(OwnerState::Alive(Vec::new()))
            }
            Subject::Owner(_) => Fact::Owner(OwnerState::Gone),
        }
    }

    fn replace(&mut self, node: usize) {
        self.generations[node] += 1;
    }

    /// The garbage collector removes the object once its owner is gone.
    fn is_rubbish(&self, object: &ConfigMap) -> bool {
        let owner = cmlock::protocol::owner(object);
        owner.is_some_and(|owner| !self.is_there(&owner))
    }
}

impl Stored for ConfigMap {
    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    fn version(&self) -> Version {
        Version::new(self.metadata.resource_version.clone().unwrap_or_default())
    }

    fn set_uid(&mut self, uid: &str) {
        self.metadata.uid = Some(uid.to_owned());
    }

    fn set_version(&mut self, version: &Version) {
        self.metadata.resource_version = Some(version.as_str().to_owned());
    }

    fn text(&self) -> String {
        format!("{:?} {:?}", self.metadata.annotations, self.data)
    }
}
