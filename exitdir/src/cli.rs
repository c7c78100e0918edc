//! The command line.

use std::{ffi::OsString, os::fd::AsFd, str::FromStr as _, thread, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use coord_core::{
    Errno, HasErrno, Status,
    cli::{Failure, Tool, print},
    duration, exit,
    live::LiveLine,
    log::{Defaults, LogArgs},
    signal,
};
use coord_process::supervise::{Exit, Guard, Orphans, Plan, Reason};
use exitdir::{Ended, Error, ExitDir, Record, Watcher};
use nix::sys::signal::Signal;

/// Time to exit, told through the filesystem: followers end when their leader does
#[derive(Parser)]
#[command(name = "exitdir", version, after_help = exit::HELP)]
pub(crate) struct ExitDirCli {
    /// The directory; may stand before or after the command. Without one nothing is signalled, and commands just run
    #[arg(short, long, global = true, env = "EXIT_DIR", value_name = "DIR")]
    dir: Option<OsString>,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Signal that it is time to exit
    Exit {
        /// The leader's exit status
        #[arg(long, value_name = "N", default_value_t = 0)]
        status: u8,
        /// What the leader calls itself
        #[arg(long)]
        name: Option<String>,
    },
    /// Wait for the signal: status 0 signalled, 110 timed out, 3 the leader died without a word
    Wait {
        /// Give up after this long: 500ms, 5s, 1m30s
        #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
        timeout: Option<Duration>,
        /// Exit with the leader's status; 124 timed out, 122 the leader died, 125 failed
        #[arg(long)]
        leader_status: bool,
        #[command(flatten)]
        watch: Watch,
    },
    /// Run a command, and signal with its status when it is over
    ///
    /// Refuses a directory that is signalled already, and one that another leader leads. The command is over when all that it started is.
    #[command(after_help = exit::HELP_WRAPPER)]
    Lead {
        /// Empty the directory first
        #[arg(long)]
        clear: bool,
        /// What the leader calls itself
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        run: Run,
    },
    /// Run a command until it is time to exit, then end all of it
    ///
    /// The status is 0 then, 122 when the leader died without a word, and otherwise the command's own. When it is time already, the
    /// command is not run.
    #[command(after_help = exit::HELP_WRAPPER)]
    Follow {
        #[command(flatten)]
        watch: Watch,
        #[command(flatten)]
        run: Run,
    },
    /// Say whether it is time to exit: status 0 yes, 1 no
    Status {
        /// How to print the record
        #[arg(short, long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Empty the directory before a restart
    Clear,
}

#[derive(Args)]
struct Watch {
    /// Take a leader for dead that was not seen alive within this time
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    leader_by: Option<Duration>,
    /// Look this often instead of waiting for events, for filesystems that have none
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    poll: Option<Duration>,
}

#[derive(Args)]
struct Run {
    /// How long after the first signal the command is killed
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    grace: Duration,
    /// The signal that asks the command to end
    #[arg(long, value_name = "SIGNAL", default_value = "TERM", value_parser = signal_number)]
    signal: i32,
    /// What happens to processes that the command leaves behind
    #[arg(long, value_enum, default_value_t = OrphansArg::End)]
    orphans: OrphansArg,
    /// The command
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum OrphansArg {
    End,
    Wait,
    Leave,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Tool for ExitDirCli {
    const NAME: &'static str = "exitdir";
    const LOG: Defaults = Defaults {
        env_prefix: "EXITDIR",
        level: log::LevelFilter::Warn,
        crates: &["exitdir"],
        silent_below_debug: &[],
    };

    fn log_args(&self) -> LogArgs {
        self.log
    }

    fn run(self) -> Result<Status, Failure> {
        signal::end_on_termination();
        let dir = self.dir.filter(|dir| !dir.is_empty()).map(ExitDir::new);
        match self.command {
            Command::Exit { status, name } => {
                let record = Record {
                    name,
                    ..Record::exited(status)
                };
                dir.map_or(Ok(true), |dir| dir.exit(&record))?;
                Ok(Status::DONE)
            }
            Command::Wait {
                timeout,
                leader_status,
                watch,
            } => wait(dir, timeout, leader_status, &watch),
            Command::Lead { clear, name, run } => lead(dir, clear, name, run),
            Command::Follow { watch, run } => follow(dir, &watch, run),
            Command::Status { output } => status(dir, output),
            Command::Clear => Ok(dir
                .map_or(Ok(()), |dir| dir.clear())
                .map(|()| Status::DONE)?),
        }
    }
}

impl Watch {
    fn watcher(&self, dir: Option<ExitDir>) -> Result<Watcher, Error> {
        let mut watcher = match dir {
            Some(dir) => Watcher::new(dir)?,
            None => Watcher::idle(),
        };
        if let Some(limit) = self.leader_by {
            watcher = watcher.leader_by(limit);
        }
        if let Some(every) = self.poll {
            watcher = watcher.poll(every);
        }
        Ok(watcher)
    }
}

impl Run {
    fn plan(self) -> Plan {
        let orphans = match self.orphans {
            OrphansArg::End => Orphans::End,
            OrphansArg::Wait => Orphans::Wait,
            OrphansArg::Leave => Orphans::Leave,
        };
        Plan::new(self.command)
            .grace(self.grace)
            .signal(self.signal)
            .orphans(orphans)
    }
}

fn wait(
    dir: Option<ExitDir>,
    timeout: Option<Duration>,
    leader_status: bool,
    watch: &Watch,
) -> Result<Status, Failure> {
    let what = dir.as_ref().map_or("waiting".to_owned(), |dir| {
        format!("waiting for an exit in {:?}", dir.path())
    });
    let _line = LiveLine::start(what, timeout);
    let ended = watch
        .watcher(dir)
        .and_then(|mut watcher| watcher.wait_or(timeout, None));
    match ended {
        Ok(Ended::LeaderDied) if leader_status => Ok(Status::LOST),
        Ok(Ended::LeaderDied) => Ok(Status::from_errno(Errno::ESRCH)),
        Ok(Ended::Signalled(record)) if leader_status => Ok(status_of(&record)),
        Ok(_) => Ok(Status::DONE),
        Err(error) if leader_status && error.errno() == Errno::ETIMEDOUT => {
            Err(Failure::new(Status::WAIT_TIMED_OUT, error))
        }
        Err(error) if leader_status => Err(failed(error)),
        Err(error) => Err(error.into()),
    }
}

/// The leader's own status. What an older leader ended with is not known, and counts as done.
fn status_of(record: &Record) -> Status {
    match (record.signal, record.status) {
        (Some(signal), _) => Status::from_signal(signal),
        (None, status) => Status::from_code(status.unwrap_or(0)),
    }
}

/// Runs CMD as the leader. The guard is forked before the lock is taken and handed the lock then: it is free when CMD's tree is gone,
/// whatever happens to us.
fn lead(
    dir: Option<ExitDir>,
    clear: bool,
    name: Option<String>,
    run: Run,
) -> Result<Status, Failure> {
    let guard = Guard::start(run.plan()).map_err(supervision)?;
    let Some(dir) = dir else {
        return just_run(guard);
    };
    let leader = dir.lead().map_err(failed)?;
    if clear {
        leader.clear().map_err(failed)?;
    }
    if leader.dir().signalled().map_err(failed)?.is_some() {
        let path = leader.dir().path();
        let text = format!("exit directory {path:?} is signalled already; --clear empties it");
        return Err(Failure::new(Status::FAILED, text));
    }
    guard.keep(leader.as_fd()).map_err(supervision)?;
    let (outcome, _running) = match guard.spawn::<OsString, OsString>([]) {
        Ok(mut running) => (running.wait(), Some(running)),
        Err(error) => (Err(error), None),
    };
    // While `_running` lives, a second TERM does not end this process before the record is written.
    let exit = outcome.map(|outcome| outcome.exit).map_err(supervision);
    let record = match &exit {
        Ok(Exit::Code(status)) => Record::exited(*status),
        Ok(Exit::Signal(number)) => Record::killed(*number),
        Err(failure) => Record::exited(failure.status().code()),
    };
    leader
        .dir()
        .exit(&Record { name, ..record })
        .map_err(failed)?;
    Ok(exit?.status())
}

/// Without a directory nothing is signalled, and nothing signals.
fn just_run(guard: Guard) -> Result<Status, Failure> {
    let mut running = guard.spawn::<OsString, OsString>([]).map_err(supervision)?;
    Ok(running.wait().map_err(supervision)?.status())
}

/// Runs CMD until it is time to exit. When that has been so from the start, CMD is not run.
fn follow(dir: Option<ExitDir>, watch: &Watch, run: Run) -> Result<Status, Failure> {
    let guard = Guard::start(run.plan()).map_err(supervision)?;
    let Some(dir) = dir else {
        return just_run(guard);
    };
    if dir.signalled().map_err(failed)?.is_some() {
        log::info!("it is time to exit already, and the command is not run");
        return Ok(Status::DONE);
    }
    let mut watcher = watch.watcher(Some(dir)).map_err(failed)?;
    let mut running = guard.spawn::<OsString, OsString>([]).map_err(supervision)?;
    let ender = running.ender();
    thread::spawn(move || ender.end(reason(watcher.wait())));
    Ok(running.wait().map_err(supervision)?.status())
}

fn reason(ended: Result<Ended, Error>) -> Reason {
    match ended {
        Ok(Ended::LeaderDied) => {
            log::warn!("the leader died without a word");
            Reason::new("the leader died", Status::LOST)
        }
        Ok(_) => Reason::new("it is time to exit", Status::DONE),
        Err(error) => {
            log::error!("{error}");
            Reason::new("the directory cannot be watched", Status::FAILED)
        }
    }
}

fn status(dir: Option<ExitDir>, output: Format) -> Result<Status, Failure> {
    let Some(record) = dir.map_or(Ok(None), |dir| dir.signalled())? else {
        return Ok(Status::NO);
    };
    let name = record.name.as_deref().unwrap_or("the leader");
    let text = match (record.signal, record.status) {
        _ if output == Format::Json => record.to_json(),
        (Some(signal), _) => format!("{name} was ended by signal {signal}"),
        (None, Some(status)) => format!("{name} exited with status {status}"),
        (None, None) => format!("{name} exited, status unknown"),
    };
    print(&format!("{text}\n"))?;
    Ok(Status::DONE)
}

fn failed(error: Error) -> Failure {
    Failure::new(Status::FAILED, error)
}

fn supervision(error: coord_process::supervise::Error) -> Failure {
    Failure::new(error.status(), error)
}

fn signal_number(text: &str) -> Result<i32, String> {
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") {
        upper
    } else {
        format!("SIG{upper}")
    };
    let number = text
        .parse()
        .ok()
        .and_then(|number: i32| Signal::try_from(number).ok());
    number
        .or_else(|| Signal::from_str(&name).ok())
        .map(|signal| signal as i32)
        .ok_or_else(|| format!("{text:?} is not a signal; write TERM, SIGINT or 15"))
}
