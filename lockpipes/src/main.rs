//! `lockpipe`: wait on a named pipe.

#![no_main]

mod cli;

coord_core::main!(cli::LockPipeCli);
