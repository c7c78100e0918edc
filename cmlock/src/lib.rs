#![doc = include_str!("../README.md")]

mod acquire;
mod admin;
mod client;
mod error;
mod event;
mod follow;
mod held;
mod holder;
mod judge;
mod keep;
mod limits;
mod lock;
mod name;
mod owner;
mod record;
mod time;

pub use admin::{State, locks, locks_everywhere, release, status};
pub use client::Client;
pub use coord_kube;
pub use coord_lease::{Believed, Lost};
pub use error::Error;
pub use event::Event;
pub use held::Held;
pub use judge::{Freed, Obstacle, Verdict};
pub use lock::Lock;
pub use name::{NoPod, PodName};
pub use record::{Malformed, Owner, Record, Run};
pub use time::Time;
