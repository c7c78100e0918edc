//! The kit itself: the servers of a cluster end when they should, and nothing else ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod cluster;
