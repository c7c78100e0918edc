//! The guard: a separate process between the client and CMD.

mod handle;
mod kill;
mod process;
mod tools;

pub use handle::{Ender, Guard};

#[cfg(test)]
mod tests;
