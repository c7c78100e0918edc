//! For the tests of several crates: a real Kubernetes API server, and ways to make it fail.
//!
//! [`cluster`] starts etcd and kube-apiserver. It has few dependencies, because `cargo xtask` uses
//! it, too. The feature `faults` adds the rest:
//!
//! - a [`Namespace`] for each test, with users who have only the rights that the test gives them;
//! - the requests that the API server has [counted](audit);
//! - a [`Proxy`] in front of it that cuts, delays and rewrites its answers;
//! - a [`Front`] that counts connections, and makes them fail;
//! - a [`Tunnel`], as companies have it;
//! - a [`Guarded`] user whose credentials change.

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

/// Why something could not be set up. The text is for people; no program distinguishes these
/// errors.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of setting something up.
pub type Result<T = ()> = std::result::Result<T, Error>;
