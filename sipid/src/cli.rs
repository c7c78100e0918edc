//! The command line.

use std::{
    io, os::unix::process::CommandExt, path::PathBuf, process::Command as Process, time::Duration,
};

use clap::{ArgGroup, Args, Parser, Subcommand};
use coord_core::{
    Status,
    cli::{self, Failure, Tool},
    duration, exit,
    live::LiveLine,
    log::{Defaults, LogArgs},
    signal,
};
use sipid::{
    Pid, PidFile, Schedule, State,
    health::{Probe, Proxies},
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
    Claim(Claim),
    /// End the process in a pidfile, wait until it is gone, and remove the file: status 0, also when none runs; 110 when it
    /// outlives the schedule, 11 when only its children still hold the lock
    Kill(Kill),
    /// Ask a URL until it answers well: status 110 if it does not in time, 3 if the watched process ends
    WaitUntilHealthy(Wait),
    /// Say whether the process in a pidfile runs: status 0 yes, 1 no
    Status {
        #[command(flatten)]
        file: FileArg,
        /// How to say it
        #[arg(short, long, value_parser = ["text", "json"], default_value = "text")]
        output: String,
    },
}

#[derive(Args)]
struct FileArg {
    /// The pidfile
    #[arg(long, value_name = "FILE")]
    pid_file: PathBuf,
}

#[derive(Args)]
#[command(group = ArgGroup::new("whom").required(true))]
struct Claim {
    #[command(flatten)]
    file: FileArg,
    /// The process to claim for
    #[arg(long, group = "whom")]
    pid: Option<String>,
    /// Claim for this process, and become this command, which keeps the lock while it or a child of it lives; 126 and 127
    /// when it cannot be executed or found
    #[arg(last = true, value_name = "CMD", group = "whom")]
    run: Vec<std::ffi::OsString>,
}

#[derive(Args)]
struct Kill {
    #[command(flatten)]
    file: FileArg,
    /// Send QUIT and wait a second before KILL, for runtimes that show their stacks then
    #[arg(long)]
    show_stacks: bool,
    /// How long to wait after TERM
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration::parse)]
    timeout: Duration,
    /// Signals and waits in turn, as for start-stop-daemon: TERM/20/QUIT/1/KILL, or 20 for TERM/20/KILL/20
    #[arg(long, value_name = "SCHEDULE", conflicts_with_all = ["show_stacks", "timeout"])]
    retry: Option<Schedule>,
    /// End the whole process group that the process leads
    #[arg(long)]
    group: bool,
}

#[derive(Args)]
struct Wait {
    /// What to ask: http://, https:// or tcp://host:port; through a proxy that the environment names, unless it is on loopback
    #[arg(long)]
    url: String,
    /// How long to ask at most
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration::parse_positive)]
    timeout: Duration,
    /// How long from one try to the next
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse_positive)]
    polling_frequency: Duration,
    /// Trust the CAs in this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long, conflicts_with = "ca_file")]
    insecure: bool,
    /// Connect to this socket, whatever the URL's host is
    #[arg(long, value_name = "PATH")]
    unix_socket: Option<PathBuf>,
    /// The statuses that mean healthy
    #[arg(long, value_name = "N or N-M", default_value = "200")]
    expect_status: String,
    /// A header to send; may be repeated
    #[arg(long, value_name = "NAME:VALUE")]
    header: Vec<String>,
    /// Stop waiting as soon as the process in this pidfile is gone
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
}

impl Tool for SipidCli {
    const NAME: &'static str = "sipid";
    const LOG: Defaults = Defaults {
        env_prefix: "SIPID",
        level: log::LevelFilter::Warn,
        crates: &["sipid", "ureq", "rustls"],
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
            Command::Status { file, output } => status(file, output == "json"),
        }
    }
}

impl Claim {
    fn run(self) -> Result<Status, Failure> {
        let file = PidFile::new(self.file.pid_file);
        let Some(pid) = self.pid else {
            return become_command(&file, &self.run);
        };
        // Not an argument parser's error: a bad PID is 22 here, as it is in a file.
        file.claim(pid.parse::<Pid>()?)?;
        Ok(Status::DONE)
    }
}

/// Returns only when the command could not be executed.
fn become_command(file: &PidFile, command: &[std::ffi::OsString]) -> Result<Status, Failure> {
    let claim = file.claim_and_hold()?;
    claim.inherit()?;
    let error = Process::new(&command[0]).args(&command[1..]).exec();
    let status = if error.kind() == io::ErrorKind::NotFound {
        Status::NOT_FOUND
    } else {
        Status::CANNOT_EXECUTE
    };
    claim.release()?;
    Err(Failure::new(
        status,
        format!("cannot execute {:?}: {error}", command[0]),
    ))
}

impl Kill {
    fn run(self) -> Result<Status, Failure> {
        let file = PidFile::new(self.file.pid_file);
        let schedule = self.retry.unwrap_or_else(|| {
            if self.show_stacks {
                Schedule::terminate_showing_stacks(self.timeout)
            } else {
                Schedule::terminate(self.timeout)
            }
        });
        let _line = LiveLine::start(
            format!("waiting for the process in {:?} to end", file.path()),
            None,
        );
        if self.group {
            file.kill_group(&schedule)?
        } else {
            file.kill(&schedule)?
        };
        Ok(Status::DONE)
    }
}

impl Wait {
    fn run(self) -> Result<Status, Failure> {
        let mut probe = Probe::new(&self.url)?
            .timeout(self.timeout)
            .polling_frequency(self.polling_frequency)
            .expect_status(range(&self.expect_status)?);
        for header in &self.header {
            let (name, value) = header.split_once(':').ok_or_else(|| {
                Failure::usage(format!("{header:?} is not a header: write NAME:VALUE"))
            })?;
            probe = probe.header(name.trim(), value.trim())?;
        }
        if self.insecure {
            log::warn!("any certificate is trusted");
            probe = probe.insecure();
        }
        if let Some(path) = self.ca_file {
            probe = probe.ca_file(path);
        }
        if let Some(path) = self.unix_socket {
            probe = probe.unix_socket(path);
        }
        probe = probe.proxies(Proxies::from_variables(|name| std::env::var(name).ok()));
        if let Some(path) = self.pid_file {
            probe = probe.watch(PidFile::new(path));
        }
        let _line = LiveLine::start(
            format!("waiting for {} to be healthy", self.url),
            Some(self.timeout),
        );
        probe.wait()?;
        Ok(Status::DONE)
    }
}

fn range(text: &str) -> Result<std::ops::RangeInclusive<u16>, Failure> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if 100 <= first && first <= last && last <= 599 => Ok(first..=last),
        _ => Err(Failure::usage(format!(
            "{text:?} is not a range of statuses: write 200 or 200-299"
        ))),
    }
}

fn status(file: FileArg, json: bool) -> Result<Status, Failure> {
    let file = PidFile::new(file.pid_file);
    let state = file.status()?;
    cli::print(&if json {
        in_json(&state)
    } else {
        in_words(&file, &state)
    })?;
    Ok(if state.running {
        Status::DONE
    } else {
        Status::NO
    })
}

fn in_words(file: &PidFile, state: &State) -> String {
    let verdict = if state.running {
        "running"
    } else {
        "not running"
    };
    let pid = state
        .pid
        .map_or_else(|| "no process".to_owned(), |pid| format!("process {pid}"));
    let identity = if state.identity.is_some() {
        "known"
    } else {
        "unknown"
    };
    let lock = if state.locked { "held" } else { "free" };
    format!(
        "{pid} ({:?}) is {verdict}, identity {identity}, lock {lock}\n",
        file.path()
    )
}

fn in_json(state: &State) -> String {
    let identity = state.identity.as_ref().map(|identity| {
        serde_json::json!({
            "pidfd_inode": identity.pidfd, "start": identity.start, "boot": identity.boot,
            "pid_namespace": identity.namespace,
        })
    });
    let state = serde_json::json!({
        "pid": state.pid.map(Pid::raw), "running": state.running, "locked": state.locked, "identity": identity,
    });
    format!("{state}\n")
}
