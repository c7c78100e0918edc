//! Tests with real processes: status, output, and what is left of the processes and files.

#![allow(clippy::unwrap_used, reason = "tests, and their helpers")]

mod claim;
mod content;
mod health;
mod kill;
mod reuse;
mod support;
