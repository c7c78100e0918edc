//! The command line.

mod check;
mod client;
mod help;
mod hold;
mod report;
#[cfg(target_os = "linux")]
mod run;
mod show;

use clap::{Parser, Subcommand};
use coord_core::{
    Status,
    cli::{Failure, Help, Tool},
    log::{Defaults, LogArgs},
    signal,
};
use coord_lease::block_on;

use client::PodArgs;

/// Locks in Kubernetes: each is owned by a Pod, and is released when the Pod is gone
#[derive(Parser)]
#[command(name = "cmlock", version)]
pub(crate) struct CmlockCli {
    #[command(flatten)]
    pod: PodArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[command(defer = true)] // The options of the commands that are not run need not be made.
enum Command {
    /// Run a command while holding a lock
    ///
    /// The lock belongs to this Pod. It is released when the command and all that it started have
    /// ended, or when the Pod is gone. If the lock is lost, the command is ended (exit status 122).
    #[cfg(target_os = "linux")]
    Run(run::Run),
    /// Acquire a lock and leave it held, for scripts; print the holder's ID
    Acquire(hold::Acquire),
    /// Release a lock that this Pod holds; succeed if nobody holds it
    Release(hold::Release),
    /// Take a lock from one holder, in any Pod, and say whose it was
    Break(hold::Break),
    /// Show who holds a lock (exit status 0 held, 1 free)
    Status(show::Show),
    /// List the locks of the namespace
    List(show::List),
    /// Check that this user has the required permissions, else print a Role that gives them
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
    const HELP: &'static [Help] = help::HELP;

    fn log_args(&self) -> LogArgs {
        self.log
    }

    fn run(self) -> Result<Status, Failure> {
        let pod = self.pod;
        match &self.command {
            // These two hold a lock that they must release, so they handle signals themselves.
            #[cfg(target_os = "linux")]
            Command::Run(_) => {}
            Command::Acquire(_) => {}
            _ => signal::end_on_termination(),
        }
        match self.command {
            #[cfg(target_os = "linux")]
            Command::Run(run) => run.run(&pod),
            Command::Acquire(acquire) => acquire.run(&pod),
            Command::Release(release) => block_on(release.run(&pod)),
            Command::Break(arguments) => block_on(arguments.run(&pod)),
            Command::Status(status) => block_on(status.run(&pod)),
            Command::List(list) => block_on(list.run(&pod)),
            Command::Check(check) => block_on(check.run(&pod)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_complete_and_the_pages_made_from_it_are_current() {
        manual::check::<CmlockCli>(env!("CARGO_MANIFEST_DIR"));
    }
}
