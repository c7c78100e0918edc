//! `cmlock`: locks that belong to a Pod.

#![cfg_attr(not(test), no_main)]

#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "`run` needs Linux")
)]
mod cli;

coord_core::main!(cli::CmlockCli);
