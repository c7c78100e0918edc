//! The guard: a process of its own between the client and CMD.

mod handle;
mod kill;
mod process;

pub use handle::{Ender, Guard};
