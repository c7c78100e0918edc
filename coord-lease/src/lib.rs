#![doc = include_str!("../README.md")]

mod driver;
pub mod engine;
mod held;
mod pace;
mod version;

#[cfg(all(feature = "cli", target_os = "linux"))]
mod leased_command;
#[cfg(feature = "cli")]
pub mod output;
#[cfg(feature = "cli")]
mod runtime;
#[cfg(feature = "cli")]
mod signals;
#[cfg(feature = "cli")]
mod times;
#[cfg(feature = "cli")]
mod wait_report;

pub use coord_core::BootInstant;
pub use driver::{Answer, Change, Started, Store, Watch, start};
pub use held::{Held, LeaseLost, LeaseState, LeaseWatch};
pub use pace::{Backoff, ContentionWindow, ROOM, Random};
pub use version::Version;

#[cfg(all(feature = "cli", target_os = "linux"))]
pub use leased_command::{LeasedCommand, as_wrapper, failed, not_acquired, not_started};
#[cfg(feature = "cli")]
pub use {
    runtime::{block_on, runtime},
    signals::Signals,
    times::{Times, WaitLimit},
    wait_report::WaitReport,
};
