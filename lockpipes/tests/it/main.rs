//! Runs the real `lockpipe`: status, standard output and standard error together.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod logs;
mod namespaces;
mod other_files;
mod quiet;
mod rendezvous;
mod signals;
mod statuses;
mod strangers;
mod support;
mod terminal;
mod waiting;
