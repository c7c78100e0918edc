//! Runs the supervisor as a real process, through the examples.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod supervise;
