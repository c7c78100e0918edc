//! The library and the binary `cmlock`, on a real API server, which `cargo xtask test` starts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod breaking;
mod commands;
mod contend;
mod counts;
mod expiry;
mod faults;
mod loss;
mod owner;
mod recipes;
mod release;
mod rights;
mod silent;
mod support;
mod waits;
mod wire;
mod words;
