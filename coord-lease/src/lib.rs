#![doc = include_str!("../README.md")]

mod belief;
mod pace;
mod timer;

#[cfg(feature = "cli")]
pub mod output;
#[cfg(feature = "cli")]
mod runtime;
#[cfg(feature = "cli")]
mod signals;
#[cfg(feature = "cli")]
mod times;
#[cfg(feature = "cli")]
mod under;
#[cfg(feature = "cli")]
mod wait_line;

pub use belief::{Belief, Believed, Lost};
pub use pace::{Backoff, Crowd, Random};
pub use timer::{Pollable, Timer};

#[cfg(feature = "cli")]
pub use under::{Under, as_wrapper, failed, not_acquired, not_started};
#[cfg(feature = "cli")]
pub use {
    runtime::{block_on, runtime},
    signals::Signals,
    times::Times,
    wait_line::WaitLine,
};
