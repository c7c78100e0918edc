#![doc = include_str!("../README.md")]

#[cfg(not(target_os = "linux"))]
compile_error!("sipid needs Linux: it identifies processes with pidfds and /proc");

mod claim;
mod error;
mod file;
#[cfg(feature = "health")]
pub mod health;
mod identity;
mod judge;
mod kill;
mod pidfile;
mod schedule;
mod signal;
mod target;
mod trust;
mod users;

pub use claim::Claim;
pub use coord_core::Errno;
pub use coord_process::{InvalidPid, Pid};
pub use error::Error;
pub use identity::Identity;
pub use pidfile::{PidFile, PidFileStatus};
pub use schedule::{InvalidSchedule, Schedule};
pub use signal::{InvalidSignal, Signal};
