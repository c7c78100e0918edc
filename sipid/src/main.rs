//! `sipid`: pidfiles without the pitfalls.

#![no_main]

mod cli;

coord_core::main!(cli::SipidCli);
