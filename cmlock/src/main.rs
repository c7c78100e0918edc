//! `cmlock`: a lock that is owned by a Pod.

mod cli;

fn main() -> std::process::ExitCode {
    coord_core::cli::main::<cli::CmlockCli>()
}
