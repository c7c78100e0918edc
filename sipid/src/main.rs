//! `sipid`: pidfiles without the pitfalls.

mod cli;

fn main() -> std::process::ExitCode {
    coord_core::cli::main::<cli::SipidCli>()
}
