#![doc = include_str!("../README.md")]

mod error;
mod fifo;
mod pipe;
mod presence;
mod read;
mod write;

pub use error::Error;
pub use pipe::LockPipe;
