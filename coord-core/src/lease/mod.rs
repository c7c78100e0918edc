//! What tools that hold leases share: when to try again, a timer for deadlines, and a command that runs under a lease.
//!
//! The rest but the first two is for binaries: it needs the features `cli` and `supervise`.

use std::{future::Future, time::Duration};

mod pace;
mod timer;

#[cfg(feature = "cli")]
mod runtime;
#[cfg(feature = "cli")]
mod signals;
#[cfg(feature = "cli")]
mod times;
#[cfg(all(feature = "cli", feature = "supervise"))]
mod under;

pub use pace::{Backoff, Crowd, Random};
pub use timer::{Pollable, Timer};

#[cfg(all(feature = "cli", feature = "supervise"))]
pub use under::{Under, as_wrapper, failed, not_started};
#[cfg(feature = "cli")]
pub use {
    runtime::{block_on, runtime},
    signals::Signals,
    times::Times,
};

/// A lease that may be renewed, and lost.
pub trait Lease {
    /// The `CLOCK_BOOTTIME` at which it is over; none for one without an end.
    fn deadline(&self) -> Option<Duration>;

    /// Returns the deadline as soon as it is another than this one; none when the lease is lost.
    fn deadline_after(
        &self,
        known: Option<Duration>,
    ) -> impl Future<Output = Option<Option<Duration>>> + Send;
}
