//! `lockpipe`: wait on a named pipe.

mod cli;

fn main() -> std::process::ExitCode {
    coord_core::cli::main::<cli::LockPipeCli>()
}
