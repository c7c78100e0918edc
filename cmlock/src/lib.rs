#![doc = include_str!("../README.md")]

#[cfg(feature = "client")]
mod admin;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod event;
#[cfg(feature = "client")]
mod held;
mod holder;
mod judge;
#[cfg(feature = "client")]
mod lock;
mod name;
#[cfg(feature = "client")]
mod place;
pub mod protocol;
mod record;
#[cfg(feature = "client")]
mod request;
mod time;

#[cfg(feature = "client")]
pub use admin::{LockState, break_lock, locks, locks_everywhere, release, status};
#[cfg(feature = "client")]
pub use client::Client;
pub use coord_core::Errno;
#[cfg(feature = "client")]
pub use coord_kube;
pub use coord_lease::{LeaseLost, LeaseWatch};
#[cfg(feature = "client")]
pub use error::{Error, ErrorKind};
#[cfg(feature = "client")]
pub use event::Event;
#[cfg(feature = "client")]
pub use held::Held;
pub use judge::{FreeReason, HeldBy, Verdict};
#[cfg(feature = "client")]
pub use lock::Lock;
pub use name::{NoPod, PodName};
pub use record::{ContainerRun, Malformed, Owner, Record};
pub use time::Time;
