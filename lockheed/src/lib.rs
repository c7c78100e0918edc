#![doc = include_str!("../README.md")]

mod admin;
mod condition;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod event;
mod fair;
mod held;
mod key;
mod lock;
mod lock_set;
mod members;
mod mode;
mod name;
mod once;
mod place;
pub mod protocol;
mod random;
mod record;
pub mod store;
mod time;

#[cfg(feature = "kube")]
pub use admin::locks_everywhere;
pub use admin::{
    LeaseId, LockState, break_lease, break_lock, break_lock_as, delete_lock, inspect, locks,
};
pub use condition::{Condition, InvalidCondition};
pub use coord_core::Errno;
#[cfg(feature = "kube")]
pub use coord_kube;
pub use coord_lease::{LeaseLost, LeaseWatch};
pub use error::{Error, ErrorKind};
pub use event::Event;
pub use fair::Waiter;
pub use held::Held;
pub use key::InvalidKey;
pub use lock::{Lock, Wait};
pub use lock_set::{HeldSet, LockSet};
pub use mode::Mode;
pub use name::{InvalidName, LockName};
pub use record::{InvalidRecord, Lease, Record};
#[cfg(target_os = "linux")]
pub use store::DirStore;
#[cfg(feature = "kube")]
pub use store::{KubeStore, LeaseStore};
pub use store::{MemoryStore, Store, Token};
pub use time::{InvalidTimestamp, Timestamp};
