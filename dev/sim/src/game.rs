//! What differs between the kinds of locks that are played.

use std::{collections::BTreeSet, time::Duration};

use coord_lease::{
    Random, Version,
    engine::{Effect, Moment, Protocol},
};
use lockheed::{Mode, Timestamp};

use super::{Kind, broken::Broken, go::Foreign};

/// A kind of lock, and the world it lives in.
pub(super) trait Game: Sized {
    /// The real protocol.
    type Protocol: Protocol<Object: Kept>;
    /// Somebody with another program.
    type Foreign: Foreign<<Self::Protocol as Protocol>::Object>;

    /// Whether servers' clocks differ and step, by less than contenders reckon with.
    const CLOCKS_DIFFER: bool;

    fn new(kind: Kind) -> Self;

    /// How a contender holds the lock that has this ID.
    fn mode(_kind: Kind) -> fn(&str) -> Mode {
        |_| Mode::Exclusive
    }

    /// A request that failed, with this effect.
    fn refused(effect: Effect) -> <Self::Protocol as Protocol>::Error;

    /// Another program that plays along, if there is one.
    fn foreign(random: &mut Random) -> Option<Self::Foreign>;

    /// A contender of this ID, on this node.
    fn contender(&self, node: usize, id: &str, hold: Duration) -> Self::Protocol;

    /// Whose leases are in the object.
    fn holders(object: &<Self::Protocol as Protocol>::Object) -> BTreeSet<String>;

    /// Who holds it, and was not only named as the next holder.
    fn holder(object: &<Self::Protocol as Protocol>::Object) -> Option<String> {
        Self::holders(object).into_iter().next()
    }

    /// The number that rises with every acquisition, where there is one.
    fn token(grant: &<Self::Protocol as Protocol>::Grant) -> Option<u64>;

    /// Who has announced a write, and for how long.
    fn reservation(_object: &<Self::Protocol as Protocol>::Object) -> Option<(String, Timestamp)> {
        None
    }

    /// What is known of the subject now, for this node's contender of that ID.
    fn fact(
        &self,
        node: usize,
        id: &str,
        subject: &<Self::Protocol as Protocol>::Subject,
    ) -> <Self::Protocol as Protocol>::Fact;

    /// Whatever the node runs on is replaced, with nothing left of what ran on it.
    fn replace(&mut self, _node: usize) {}

    /// Whether somebody removes this object, as time goes by.
    fn is_rubbish(&self, object: &<Self::Protocol as Protocol>::Object) -> bool;
}

/// What a server keeps.
pub(super) trait Kept: Clone + std::fmt::Debug {
    /// Empty before it is kept.
    fn uid(&self) -> &str;
    fn version(&self) -> Version;
    fn set_uid(&mut self, uid: &str);
    fn set_version(&mut self, version: &Version);
    /// For the trace.
    fn text(&self) -> String;
}

pub(super) type Lock<G> = Broken<<G as Game>::Protocol>;
pub(super) type ObjectOf<G> = <<G as Game>::Protocol as Protocol>::Object;
pub(super) type SubjectOf<G> = <<G as Game>::Protocol as Protocol>::Subject;
pub(super) type InputOf<G> = coord_lease::engine::Input<Lock<G>>;
pub(super) type OutputOf<G> = coord_lease::engine::Output<Lock<G>>;
pub(super) type EventOf<G> = coord_lease::engine::Event<Lock<G>>;

/// The beginning, before anything is known.
pub(super) fn at(boot: coord_core::BootInstant) -> Moment {
    Moment::new(boot)
}
