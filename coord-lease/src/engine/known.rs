//! What is known of the lock's object, and which request is in flight.

use coord_core::BootInstant;

use super::Nonce;
use crate::Version;

/// The lock's object as it was last seen.
#[derive(Debug)]
pub(super) enum Seen<O> {
    Unknown,
    /// There is no object; the version of its deletion, or the last version known.
    Absent(Option<Version>),
    There(Box<O>),
}

/// The request in flight.
#[derive(Debug)]
pub(super) enum Pending<S> {
    Read { sent: BootInstant },
    Subject { subject: S, sent: BootInstant },
    Write(Sent),
}

/// A write of ours.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// A time before the write was sent.
    pub(super) at: BootInstant,
    /// The nonce of the lease that it creates; none if it creates no lease.
    pub(super) nonce: Option<Nonce>,
    /// The version that it is to replace; none for a creation.
    pub(super) base: Option<Version>,
    /// A lease of this ID existed before, so the write does no harm if it is done late.
    pub(super) extends: bool,
    /// It creates a place in the queue, not a lease.
    pub(super) is_place: bool,
}

impl<O> Seen<O> {
    pub(super) fn there(&self) -> Option<&O> {
        match self {
            Self::There(object) => Some(object),
            Self::Absent(_) | Self::Unknown => None,
        }
    }
}
