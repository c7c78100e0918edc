//! The binary `lockheed` and the library, with real processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod acquire;
mod breaking;
#[cfg(not(target_env = "musl"))]
mod clocks;
mod cluster;
mod commands;
mod conformance;
mod contention;
mod directory;
mod failures;
mod fencing;
mod foreign;
mod hooks;
mod hostile;
mod init;
mod keys;
mod library;
mod limits;
mod listing;
mod lock_set;
mod metrics;
mod needs_postgresql;
mod needs_strace;
mod queue;
mod restart;
mod several;
mod sharing;
mod silent;
mod support;
mod trouble;
mod turns;
mod waits;
mod words;
