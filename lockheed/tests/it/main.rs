//! The binary `lockheed` and the library, with real processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod cluster;
mod simulation;
