//! The Kubernetes client with a real API server, and with servers that misbehave.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod cluster;
mod connections;
mod credentials;
mod kube;
mod proxies;
mod tls;
mod tls_server;
mod watches;
