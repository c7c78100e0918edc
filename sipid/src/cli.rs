//! The command line.

mod claim;
mod health;
mod kill;
mod status;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use coord_core::{
    Status,
    cli::{Failure, Tool},
    exit,
    log::{Defaults, LogArgs},
    signal,
};

/// Pidfiles that survive races, PID reuse and bad input
#[derive(Parser)]
#[command(name = "sipid", version, after_help = exit::HELP)]
pub(crate) struct SipidCli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a PID into a pidfile, unless the process in it runs: status 17 then, 11 when somebody else is claiming
    #[command(
        override_usage = "sipid claim [OPTIONS] --pid-file <FILE> --pid <PID>\n       sipid claim [OPTIONS] --pid-file <FILE> -- <CMD>..."
    )]
    Claim(claim::Claim),
    /// End the process in a pidfile, wait until it is gone, and remove the file: status 0, also when none runs; 110 when it
    /// outlives the schedule, 11 when only its children still hold the lock
    Kill(kill::Kill),
    /// Poll URLs, files or a command until they are healthy: status 110 if they are not in time, 3 if the watched process ends
    WaitUntilHealthy(Box<health::Wait>),
    /// Say whether the process in a pidfile runs: status 0 yes, 1 no
    Status(status::ShowStatus),
}

#[derive(Args)]
struct FileArg {
    /// The pidfile
    #[arg(long, value_name = "FILE")]
    pid_file: PathBuf,
}

impl Tool for SipidCli {
    const NAME: &'static str = "sipid";
    const LOG: Defaults = Defaults {
        env_prefix: "SIPID",
        level: log::LevelFilter::Warn,
        crates: &["sipid", "rustls"],
        silent_below_debug: &[],
    };

    fn log_args(&self) -> LogArgs {
        self.log
    }

    fn run(self) -> Result<Status, Failure> {
        signal::end_on_termination();
        match self.command {
            Command::Claim(claim) => claim.run(),
            Command::Kill(kill) => kill.run(),
            Command::WaitUntilHealthy(wait) => wait.run(),
            Command::Status(status) => status.run(),
        }
    }
}
