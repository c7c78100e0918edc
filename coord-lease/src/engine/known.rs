//! What is known of the lock's object, and what was asked for.

use coord_core::BootInstant;

use super::Nonce;
use crate::Version;

/// The lock's object as it was last seen.
#[derive(Debug)]
pub(super) enum Seen<O> {
    Unknown,
    /// There is none; the version of its deletion, or the last one that is known from before.
    Absent(Option<Version>),
    There(Box<O>),
}

/// The request under way.
#[derive(Debug)]
pub(super) enum Pending<S> {
    Read { sent: BootInstant },
    Subject { subject: S, sent: BootInstant },
    Write(Sent),
}

/// A write of ours.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// From before it was sent.
    pub(super) at: BootInstant,
    /// In the lease that it makes; none for one that makes no lease.
    pub(super) nonce: Option<Nonce>,
    /// The version that it is to replace; none for a creation.
    pub(super) base: Option<Version>,
    /// A lease of this ID was there before, so that it does no harm when it is done late.
    pub(super) extends: bool,
    /// What it makes is a place in the queue, and no lease.
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
