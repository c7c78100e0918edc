//! The command line.

mod check;
mod client;
mod hold;
mod report;
mod run;
mod show;

use clap::{Parser, Subcommand};
use coord_core::{
    Status,
    cli::{Failure, Tool},
    exit,
    log::{Defaults, LogArgs},
    signal,
};
use coord_lease::block_on;

use client::PodArgs;

/// Locks for Pods: each is owned by the Pod that holds it, and is gone when the Pod is gone
#[derive(Parser)]
#[command(name = "cmlock", version, after_help = exit::HELP)]
pub(crate) struct CmlockCli {
    #[command(flatten)]
    pod: PodArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a command while holding a lock: 124 when the wait ran out, 122 when the lock was lost and the command was ended
    #[command(after_help = exit::HELP_WRAPPER)]
    Run(run::Run),
    /// Acquire a lock and leave it held, for scripts; prints the holder's ID (exit status 16 if it is held, 110 if the wait ran out)
    Acquire(hold::Acquire),
    /// Release a lock that this Pod holds; succeed if there is none (exit status 16 if somebody else holds it)
    Release(hold::Release),
    /// End the hold of one holder, of whichever Pod, and say whose (exit status 1 if somebody else
    /// holds the lock, or nobody)
    Break(hold::Break),
    /// Say who holds a lock: status 0 held, 1 free
    Status(show::Show),
    /// List the locks
    List(show::List),
    /// Check that this user has the required permissions, else print a Role that gives them: status 0 yes, 1 no
    Check(check::Check),
}

impl Tool for CmlockCli {
    const NAME: &'static str = "cmlock";
    const LOG: Defaults = Defaults {
        env_prefix: "CMLOCK",
        level: log::LevelFilter::Info,
        crates: &["cmlock"],
        silent_below_debug: &["kube_client"],
    };

    fn log_args(&self) -> LogArgs {
        self.log
    }

    fn run(self) -> Result<Status, Failure> {
        let pod = self.pod;
        match self.command {
            // These two hold what must be given back, and see to signals themselves.
            Command::Run(run) => return run.run(&pod),
            Command::Acquire(acquire) => return acquire.run(&pod),
            _ => signal::end_on_termination(),
        }
        match self.command {
            Command::Release(release) => block_on(release.run(&pod)),
            Command::Break(arguments) => block_on(arguments.run(&pod)),
            Command::Status(status) => block_on(status.run(&pod)),
            Command::List(list) => block_on(list.run(&pod)),
            Command::Check(check) => block_on(check.run(&pod)),
            Command::Run(_) | Command::Acquire(_) => Ok(Status::BUG),
        }
    }
}
