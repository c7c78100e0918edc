//! For the tests of several crates: a real Kubernetes API server of their own, and ways to make it fail.
//!
//! [`cluster`] starts etcd and kube-apiserver; it is light, since `cargo xtask` stands on it too. The rest is the feature `faults`:
//! a [`Namespace`] for each test, with users who may do just what the test gives them, the requests that the API server has
//! [counted](audit), a [`Proxy`] before it that cuts, delays and rewrites its answers, a [`Front`] that counts and loses connections,
//! a [`Tunnel`] as companies have it, and a [`Guarded`] user whose credentials change.

pub mod cluster;

#[cfg(feature = "faults")]
pub mod audit;
#[cfg(feature = "faults")]
mod front;
#[cfg(feature = "faults")]
pub mod guarded;
#[cfg(feature = "faults")]
mod namespace;
#[cfg(feature = "faults")]
mod pods;
#[cfg(feature = "faults")]
mod proxy;
#[cfg(feature = "faults")]
mod tunnel;

#[cfg(feature = "faults")]
pub use http::Method;

#[cfg(feature = "faults")]
pub use self::{
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
