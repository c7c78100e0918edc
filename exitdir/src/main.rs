//! `exitdir`: followers end when their leader does.

#![cfg_attr(not(test), no_main)]

mod cli;

coord_core::main!(cli::ExitDirCli);
