//! The command line.

mod claim;
mod health;
mod help;
mod kill;
mod ready;
mod signal;
mod signals;
mod status;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use coord_core::{
    Status,
    cli::{Failure, Help, Tool, help::heading},
    log::{Defaults, LogArgs},
    text::decimal,
};
use sipid::PidFile;

use signals::FileSizeSignal;

/// Pidfiles that survive races, PID reuse and bad input
#[derive(Parser)]
#[command(name = "sipid", version)]
pub(crate) struct SipidCli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[command(defer = true)] // The options of the commands that are not run need not be made.
enum Command {
    /// Write a PID into a pidfile, unless the process in it is running
    ///
    /// With --pid, that is the PID of a process that runs already. With a command, sipid writes its
    /// own PID and becomes the command, which holds the file's lock while it runs.
    #[command(
        override_usage = "sipid claim [OPTIONS] --pid-file <FILE> --pid <PID>\n       sipid claim [OPTIONS] --pid-file <FILE> -- <CMD>..."
    )]
    Claim(claim::Claim),
    /// End the process in a pidfile, wait until it is gone, and remove the file
    ///
    /// The process gets TERM, and KILL if it is still there after --timeout. sipid signals only the
    /// process that was claimed for: another process that has its PID by now is left alone.
    Kill(kill::Kill),
    /// Send a signal to the process in a pidfile
    Signal(signal::Signal),
    /// Poll URLs, files or a command until they are healthy
    ///
    /// All are polled in parallel. The wait ends when each of them has been healthy once.
    #[command(
        override_usage = "sipid wait-until-healthy [OPTIONS] --url <URL>\n       sipid wait-until-healthy [OPTIONS] -- <CMD>..."
    )]
    WaitUntilHealthy(Box<health::Wait>),
    /// Check whether the process in a pidfile is running (exit status 0 yes, 1 no)
    Status(status::ShowStatus),
}

#[derive(Args)]
#[command(next_help_heading = heading::PROCESS)]
struct FileArg {
    /// The pidfile
    #[arg(long, visible_alias = "pidfile", value_name = "FILE")]
    pid_file: PathBuf,
    /// Count the process as running only if it runs this executable (for a script, its interpreter)
    #[arg(long, value_name = "PATH")]
    exec: Option<PathBuf>,
    /// Count the process as running only if it has this name, as `ps -o comm` shows it
    #[arg(long, value_name = "NAME", value_parser = process_name)]
    name: Option<String>,
    /// Count the process as running only if it runs as this user (name or UID)
    #[arg(long, value_name = "USER", value_parser = user)]
    user: Option<u32>,
}

impl FileArg {
    fn open(self) -> PidFile {
        let mut file = PidFile::new(self.pid_file);
        if let Some(path) = self.exec {
            file = file.executable(path);
        }
        if let Some(name) = self.name {
            file = file.name(name);
        }
        if let Some(user) = self.user {
            file = file.user(user);
        }
        file
    }
}

/// The kernel keeps so much of a name, `proc_pid_comm(5)`.
const LONGEST_NAME: usize = 15;

fn process_name(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("a name has at least one character".to_owned()),
        1..=LONGEST_NAME => Ok(text.to_owned()),
        _ => Err(format!(
            "the kernel keeps {LONGEST_NAME} bytes of a name: shorten it, or use --exec"
        )),
    }
}

fn user(text: &str) -> Result<u32, String> {
    if let Some(number) = decimal(text) {
        return Ok(number);
    }
    match nix::unistd::User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err("there is no such user: write a user name or a UID".to_owned()),
        Err(error) => Err(format!("cannot look the user up: {error}")),
    }
}

impl Tool for SipidCli {
    const NAME: &'static str = "sipid";
    const LOG: Defaults = Defaults {
        env_prefix: "SIPID",
        level: log::LevelFilter::Warn,
        crates: &["sipid"],
        silent_below_debug: &[],
    };
    const HELP: &'static [Help] = help::HELP;

    fn log_args(&self) -> LogArgs {
        self.log
    }

    fn run(self) -> Result<Status, Failure> {
        let file_size_signal = FileSizeSignal::ignore();
        let waits = !matches!(self.command, Command::Claim(_));
        if waits {
            // Not for a claim: its command must inherit the signals unchanged, and a claim does not
            // wait.
            coord_core::signal::end_on_termination();
        }
        match self.command {
            Command::Claim(claim) => claim.run(file_size_signal),
            Command::Kill(kill) => kill.run(),
            Command::Signal(signal) => signal.run(),
            Command::WaitUntilHealthy(wait) => wait.run(),
            Command::Status(status) => status.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_complete_and_the_pages_made_from_it_are_current() {
        manual::check::<SipidCli>(env!("CARGO_MANIFEST_DIR"));
    }
}
