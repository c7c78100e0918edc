//! What the tests of several crates share: a real Kubernetes API server of their own, and ways to make it fail.
//!
//! [`cluster`] starts etcd and kube-apiserver, [`process`] looks after children, [`refusal`] takes system calls away from them; they are light, since `cargo xtask` stands on them too. The rest is the feature `faults`: a
//! [`Namespace`] for each test, with users who may do just what the test gives them, the requests that the API server has
//! [counted](audit), a [`Proxy`] before it that cuts, delays and rewrites its answers, a
//! [`Front`] that counts and loses connections, a [`Tunnel`] as companies have it, a
//! [`Guarded`] user whose credentials change, and [`WallClocks`] that are wrong.

pub mod cluster;
pub mod process;
pub mod refusal;

#[cfg(feature = "faults")]
pub mod audit;
#[cfg(feature = "faults")]
mod clocks;
#[cfg(feature = "faults")]
mod front;
#[cfg(feature = "faults")]
pub mod guarded;
#[cfg(feature = "faults")]
mod namespace;
#[cfg(feature = "faults")]
mod proxy;
#[cfg(feature = "faults")]
mod tunnel;

#[cfg(feature = "faults")]
pub use http::Method;

#[cfg(feature = "faults")]
pub use self::{
    clocks::WallClocks,
    front::Front,
    guarded::Guarded,
    namespace::Namespace,
    proxy::{Fault, Proxy, Seen},
    tunnel::Tunnel,
};

/// Why something could not be set up, for people: nothing here is told apart by a program.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of setting something up.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// Waits until something is so, and panics if it is not within two minutes, longer than anything takes on a busy machine.
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
