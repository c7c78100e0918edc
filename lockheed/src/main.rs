//! `lockheed`: named locks for Kubernetes, or for one machine.

#![cfg_attr(not(test), no_main)]

mod cli;

coord_core::main!(cli::LockheedCli);
