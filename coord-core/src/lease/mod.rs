//! What tools that hold leases share: whether one is held, when to try again, a timer for deadlines, and a command that runs under a lease.
//!
//! All but the first three is for binaries: it needs the features `cli` and `supervise`.

mod belief;
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
#[cfg(feature = "cli")]
mod wait_line;

pub use belief::{Belief, Believed, Lost};
pub use pace::{Backoff, Crowd, Random};
pub use timer::{Pollable, Timer};

#[cfg(all(feature = "cli", feature = "supervise"))]
pub use under::{Under, as_wrapper, failed, not_acquired, not_started};
#[cfg(feature = "cli")]
pub use {
    runtime::{block_on, runtime},
    signals::Signals,
    times::Times,
    wait_line::WaitLine,
};
