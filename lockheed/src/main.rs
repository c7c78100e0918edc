//! `lockheed`: named locks for Kubernetes, or for one machine.

mod cli;

fn main() -> std::process::ExitCode {
    coord_core::cli::main::<cli::LockheedCli>()
}
