//! `lockpipe`: wait on a named pipe.

#![cfg_attr(not(test), no_main)]

mod cli;

coord_core::main!(cli::LockPipeCli);
