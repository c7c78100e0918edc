//! Tests with real processes: status, output, and which processes and files remain.

#![allow(clippy::unwrap_used, reason = "tests, and their helpers")]

mod answers;
mod certificates;
mod claim;
mod command;
mod content;
mod daemons;
mod examples;
mod health;
mod health_limits;
mod https;
mod kill;
mod limits;
mod needs_root {
    mod trust;
}
mod needs_strace;
mod network;
mod proxy;
mod ready;
mod refused;
mod reuse;
mod secrets;
mod server;
mod stale;
mod status;
mod steps;
mod support;
mod targets;
