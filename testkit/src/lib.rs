//! What the tests of several crates share: a real Kubernetes API server of their own, and ways to make it fail.
//!
//! [`cluster`] starts etcd and kube-apiserver. It is light, since `cargo xtask` stands on it too.

pub mod cluster;

/// Why something could not be set up, for people: nothing here is told apart by a program.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of setting something up.
pub type Result<T = ()> = std::result::Result<T, Error>;
