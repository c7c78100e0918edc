//! `exitdir`: time to exit, told through the filesystem.

#![no_main]

mod cli;

coord_core::main!(cli::ExitDirCli);
