//! The command line.

mod help;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, builder::TypedValueParser as _};
use coord_core::{
    Status,
    cli::{Failure, Help, Tool, help::heading},
    duration,
    live::LiveLine,
    log::{Defaults, LogArgs},
    signal,
};
use lockpipes::LockPipe;
use nix::sys::stat::{Mode, umask};

/// Keep a process waiting on a named pipe until another process releases it
///
/// `read` waits until somebody opens the pipe for writing, and `write` until somebody opens it for
/// reading. One write releases every waiting reader, and one read releases every waiting writer.
/// TERM, INT and HUP end a wait at once, also as PID 1.
#[derive(Parser)]
#[command(name = "lockpipe", version)]
pub(crate) struct LockPipeCli {
    /// Path of the pipe; may come before or after the command
    #[arg(short, long, global = true, env = "LOCKPIPE_PATH", hide_env_values = true, default_value = "/run/forever", value_name = "PATH", value_parser = path())]
    path: PathBuf,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[command(defer = true)] // The options of the commands that are not run need not be made.
enum Command {
    /// Create the pipe; succeed if it already exists
    #[command(visible_alias = "c")]
    Create {
        /// Permissions of a new pipe, whatever the umask is
        #[arg(long, value_name = "OCTAL", default_value = "0600", value_parser = mode)]
        mode: u32,
    },
    /// Wait for a writer, and discard what is written until the last writer has closed
    ///
    /// It creates the pipe first if there is none.
    #[command(visible_alias = "r")]
    Read(Wait),
    /// Wait for a reader; write nothing
    ///
    /// It creates the pipe first if there is none.
    #[command(visible_alias = "w")]
    Write(Wait),
    /// Check whether the pipe exists (exit status 0 yes, 1 no)
    #[command(visible_alias = "e")]
    Exists,
    /// Remove the pipe; succeed if there is none
    #[command(visible_alias = "d")]
    Delete,
}

#[derive(Args)]
#[command(next_help_heading = heading::WAITING)]
struct Wait {
    /// Give up after this long, such as 500ms, 5s or 1m30s (exit status 110) [default: never]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    timeout: Option<Duration>,
}

impl Tool for LockPipeCli {
    const NAME: &'static str = "lockpipe";
    const LOG: Defaults = Defaults {
        env_prefix: "LOCKPIPE",
        level: log::LevelFilter::Info,
        crates: &["lockpipes"],
        silent_below_debug: &[],
    };
    const HELP: &'static [Help] = help::HELP;

    fn log_args(&self) -> LogArgs {
        self.log
    }

    fn run(self) -> Result<Status, Failure> {
        signal::end_on_termination();
        signal::reap_inherited();
        let pipe = LockPipe::new(self.path);
        match self.command {
            Command::Create { mode } => {
                // From the first moment the mode is the requested one, as with mkfifo(1).
                umask(Mode::empty());
                pipe.with_mode(mode).create()?;
            }
            Command::Read(wait) => wait.read(&pipe)?,
            Command::Write(wait) => wait.write(&pipe)?,
            Command::Exists => {
                return Ok(if pipe.exists()? {
                    Status::DONE
                } else {
                    Status::NO
                });
            }
            Command::Delete => {
                pipe.delete()?;
            }
        }
        Ok(Status::DONE)
    }
}

impl Wait {
    fn read(&self, pipe: &LockPipe) -> Result<(), lockpipes::Error> {
        let _line = LiveLine::start(
            format!("waiting for a writer at {:?}", pipe.path()),
            self.timeout,
        );
        self.timeout
            .map_or_else(|| pipe.read(), |limit| pipe.read_timeout(limit))
    }

    fn write(&self, pipe: &LockPipe) -> Result<(), lockpipes::Error> {
        let _line = LiveLine::start(
            format!("waiting for a reader at {:?}", pipe.path()),
            self.timeout,
        );
        self.timeout
            .map_or_else(|| pipe.write(), |limit| pipe.write_timeout(limit))
    }
}

fn path() -> impl clap::builder::TypedValueParser<Value = PathBuf> {
    clap::builder::OsStringValueParser::new().try_map(|text: OsString| {
        if text.is_empty() {
            Err("the path is empty; write one such as /run/forever")
        } else {
            Ok(PathBuf::from(text))
        }
    })
}

fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && !text.starts_with('+') => Ok(mode),
        _ => Err(format!(
            "{text:?} is not a mode; write permission bits in octal, like 0600 or 0666"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_complete_and_the_pages_made_from_it_are_current() {
        manual::check::<LockPipeCli>(env!("CARGO_MANIFEST_DIR"));
    }
}
