//! Tests with real processes: status, output, and what is left of the processes and files.

mod claim;
mod content;
mod health;
mod kill;
mod reuse;
mod support;
