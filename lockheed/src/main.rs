//! `lockheed`: named locks for Kubernetes, or for one machine.

fn main() {}
