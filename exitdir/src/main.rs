//! `exitdir`: time to exit, told through the filesystem.

mod cli;

fn main() -> std::process::ExitCode {
    coord_core::cli::main::<cli::ExitDirCli>()
}
