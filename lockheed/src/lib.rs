#![doc = include_str!("../README.md")]

mod clock;
mod name;
mod record;
pub mod store;
mod time;

pub use name::{InvalidName, LockName};
pub use record::{Lease, Record};
pub use store::{MemoryStore, Store, Token};
pub use time::{InvalidTimestamp, Timestamp};
