//! `sipid`: pidfiles without the pitfalls.

#![cfg_attr(not(test), no_main)]

mod cli;

coord_core::main!(cli::SipidCli);
