//! A tool that ends in whatever way it is asked to: what the tests of this crate run.

#![cfg_attr(not(test), no_main)]

use std::{io, os::unix::process::CommandExt, process::Command};

use clap::{Parser, Subcommand};
use coord_core::{
    Status,
    cli::{self, Failure, Help, Tool},
    duration,
    log::{Defaults, LogArgs},
    signal,
};
use log::{LevelFilter, debug, error, info, trace, warn};

/// Ends in the way it is asked to
#[derive(Parser)]
#[command(name = "statuses", version)]
struct Statuses {
    /// An option with a value, which only the command `limit` looks at
    #[arg(long, global = true, env = "STATUSES_LIMIT", hide_env_values = true)]
    limit: Option<u8>,
    /// Any text, which is not looked at
    #[arg(short, long, global = true)]
    note: Option<String>,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    end: End,
}

#[derive(Subcommand)]
enum End {
    /// Answer yes
    Yes,
    /// Answer no
    No,
    /// Fail with an error number
    Errno { number: i32 },
    /// Print the limit
    Limit,
    /// Fail in words of any kind
    Fail { words: String },
    /// Find the arguments wrong only after they were parsed
    Usage,
    /// Have a bug
    Panic,
    /// End as a command that runs another would
    Wrapper { status: u8 },
    /// Say `waiting`, then wait for a signal
    Wait,
    /// Become another program, which finds SIGPIPE as this one did
    Exec {
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<std::ffi::OsString>,
    },
    /// Print many lines
    Print { lines: usize },
    /// Log a line on each level
    Log,
    /// Print a duration in nanoseconds
    Duration {
        #[arg(value_parser = duration::parse)]
        duration: std::time::Duration,
    },
}

impl Tool for Statuses {
    const NAME: &'static str = "statuses";
    const LOG: Defaults = Defaults {
        env_prefix: "STATUSES",
        level: LevelFilter::Warn,
        crates: &["statuses"],
        silent_below_debug: &[],
    };
    const HELP: &'static [Help] = &[
        Help {
            command: "",
            is_wrapper: false,
            statuses: &[("1", "the answer is no")],
            variables: &[("STATUSES_ALL", "is of each command")],
            examples: &[("Answer yes", "statuses yes")],
        },
        Help {
            command: "exec",
            is_wrapper: true,
            statuses: &[("0", "the command has done it")],
            variables: &[("STATUSES_ONE", "is of this command")],
            examples: &[("Become another program", "statuses exec -- true")],
        },
    ];

    fn log_args(&self) -> LogArgs {
        self.log
    }

    fn run(self) -> Result<Status, Failure> {
        match self.end {
            End::Yes => {}
            End::No => return Ok(Status::NO),
            End::Errno { number } => {
                return Err(io::Error::from_raw_os_error(number).into());
            }
            End::Limit => cli::print(&format!("{:?}\n", self.limit))?,
            End::Fail { words } => return Err(io::Error::other(words).into()),
            End::Usage => return Err(Failure::usage("these do not go together")),
            End::Panic => panic!("on purpose\nin two lines"),
            End::Wrapper { status } => {
                return Err(Failure::new(Status::from_code(status), "as asked"));
            }
            End::Wait => wait()?,
            End::Exec { command } => exec(&command)?,
            End::Print { lines } => cli::print(&"a line\n".repeat(lines))?,
            End::Log => log_on_each_level(),
            End::Duration { duration } => cli::print(&format!("{}\n", duration.as_nanos()))?,
        }
        Ok(Status::DONE)
    }
}

fn wait() -> Result<(), Failure> {
    signal::end_on_termination();
    signal::reap_inherited();
    cli::print("waiting\n")?;
    loop {
        std::thread::park();
    }
}

fn exec(command: &[std::ffi::OsString]) -> io::Result<()> {
    let mut program = Command::new(&command[0]);
    let keep = || {
        signal::keep_sigpipe();
        Ok(())
    };
    // SAFETY: the function is async-signal-safe.
    unsafe { program.args(&command[1..]).pre_exec(keep) };
    Err(program.exec())
}

fn log_on_each_level() {
    error!("an error");
    warn!("a warning");
    info!("an info");
    debug!("a debug");
    trace!("a trace");
}

coord_core::main!(Statuses);
