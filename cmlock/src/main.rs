//! `cmlock`: a lock that is owned by a Pod.

#![cfg_attr(not(test), no_main)]

mod cli;

coord_core::main!(cli::CmlockCli);
