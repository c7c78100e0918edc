#![doc = include_str!("../README.md")]

mod error;
#[cfg(target_os = "linux")]
mod events;
#[cfg(not(target_os = "linux"))]
#[path = "no_events.rs"]
mod events;
mod fifo;
mod handle;
mod interrupt;
mod opener;
mod pipe;
mod presence;
mod read;
mod write;

pub use coord_core::Errno;
pub use error::Error;
pub use pipe::LockPipe;
