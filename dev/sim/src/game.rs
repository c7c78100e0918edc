//! What differs between the simulated kinds of locks.

use std::{collections::BTreeSet, time::Duration};

use coord_lease::{
    Random, Version,
    engine::{Effect, Moment, Protocol},
};
use lockheed::{Mode, Timestamp};

use super::{Kind, broken::Broken, go::Foreign};

/// A kind of lock, and its world.
pub(super) trait Game: Sized {
    /// The real protocol.
    type Protocol: Protocol;
    /// The protocol's object in the form in which the server stores it.
    type Stored: Stored;
    /// Another program that uses the lock.
    type Foreign: Foreign<Self::Stored>;

    /// Whether servers' clocks differ and step, by less than contenders expect.
    const CLOCKS_DIFFER: bool;

    fn new(kind: Kind) -> Self;

    /// The mode in which the contender with this ID holds the lock.
    fn mode(_kind: Kind) -> fn(&str) -> Mode {
        |_| Mode::Exclusive
    }

    /// Builds what to store of an object. The writer's clock shows this time.
    fn write(object: ObjectOf<Self>, now: Timestamp) -> Self::Stored;

    /// Reads an object from what is stored.
    fn read(stored: Self::Stored) -> ObjectOf<Self>;

    /// The error of a request that failed with this effect.
    fn refused(effect: Effect) -> <Self::Protocol as Protocol>::Error;

    /// A foreign program that takes part, if there is one.
    fn foreign(random: &mut Random) -> Option<Self::Foreign>;

    /// A contender with this ID on this node.
    fn contender(&self, node: usize, id: &str, hold: Duration) -> Self::Protocol;

    /// Whose leases are in the object.
    fn holders(object: &ObjectOf<Self>) -> BTreeSet<String>;

    /// Who holds it and was not only named as the next holder.
    fn holder(object: &ObjectOf<Self>) -> Option<String> {
        Self::holders(object).into_iter().next()
    }

    /// The number that rises with every acquisition, if the lock has one.
    fn token(grant: &<Self::Protocol as Protocol>::Grant) -> Option<u64>;

    /// Who has announced a write, and until when.
    fn reservation(_object: &ObjectOf<Self>) -> Option<(String, Timestamp)> {
        None
    }

    /// What is known of the subject now, for the contender with this ID on this node.
    fn fact(
        &self,
        node: usize,
        id: &str,
        subject: &<Self::Protocol as Protocol>::Subject,
    ) -> <Self::Protocol as Protocol>::Fact;

    /// Replaces what the node runs on, with nothing left of what ran on it.
    fn replace(&mut self, _node: usize) {}

    /// Whether somebody will remove this object in time.
    fn is_rubbish(&self, object: &ObjectOf<Self>) -> bool;
}

/// An object as a server stores it.
pub(super) trait Stored: Clone + std::fmt::Debug {
    /// Empty before the object is stored.
    fn uid(&self) -> &str;
    fn version(&self) -> Version;
    fn set_uid(&mut self, uid: &str);
    fn set_version(&mut self, version: &Version);
    /// The text for the trace.
    fn text(&self) -> String;
}

pub(super) type Lock<G> = Broken<<G as Game>::Protocol>;
pub(super) type ObjectOf<G> = <<G as Game>::Protocol as Protocol>::Object;
pub(super) type StoredOf<G> = <G as Game>::Stored;
pub(super) type SubjectOf<G> = <<G as Game>::Protocol as Protocol>::Subject;
pub(super) type InputOf<G> = coord_lease::engine::Input<Lock<G>>;
pub(super) type OutputOf<G> = coord_lease::engine::Output<Lock<G>>;
pub(super) type EventOf<G> = coord_lease::engine::Event<Lock<G>>;

/// A moment at the beginning, before anything is known.
pub(super) fn at(boot: coord_core::BootInstant) -> Moment {
    Moment::new(boot)
}
