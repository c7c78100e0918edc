//! `exitdir`: time to exit, told through the filesystem.

#![cfg_attr(not(test), no_main)]

mod cli;

coord_core::main!(cli::ExitDirCli);
