//! Helpers that the tests of several crates share.
//!
//! [`process`] handles children, [`refusal`] refuses system calls to them, and [`WallClocks`] give
//! them wrong clocks. [`Random`] numbers can be repeated. [`Postgres`](postgres::Postgres) is a
//! database.

mod clocks;
pub mod postgres;
pub mod process;
mod random;
pub mod refusal;

pub use self::{clocks::WallClocks, random::Random};

/// Waits until a condition is true. It panics after two minutes, which is longer than anything
/// takes on a busy machine.
///
/// # Panics
/// After two minutes.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !holds() {
        assert!(
            std::time::Instant::now() < deadline,
            "not within two minutes: {what}"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
