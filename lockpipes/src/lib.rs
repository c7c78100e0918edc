#![doc = include_str!("../README.md")]

mod error;
mod events;
mod fifo;
mod interrupt;
mod pipe;
mod presence;
mod read;
mod write;

pub use coord_core::Errno;
pub use error::Error;
pub use pipe::LockPipe;
