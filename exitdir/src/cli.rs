//! The command line.

mod help;
mod post;
mod wrap;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use coord_core::{
    Errno, Status,
    cli::{Failure, Help, Tool, help::heading, print},
    duration,
    live::LiveLine,
    log::{Defaults, LogArgs},
    signal,
    text::escaped,
};
use coord_process::supervise::{Orphans, Plan, StopArgs};
use exitdir::{Ended, Error, ExitDir, Record, Watcher};
use nix::sys::signal::{SigSet, Signal};

/// End helper processes when the main process is done
///
/// They share a directory. `lead` runs the main process as the leader. When it has ended, however
/// it ended, `lead` puts an exit signal into the directory. `follow` runs a helper as a follower,
/// and ends it at the exit signal.
#[derive(Parser)]
#[command(name = "exitdir", version)]
pub(crate) struct ExitDirCli {
    /// Directory that the leader and its followers share; may come before or after the command.
    /// Without one, nothing can signal, and lead and follow just run their command
    #[arg(
        short,
        long,
        global = true,
        env = "EXIT_DIR",
        hide_env_values = true,
        value_name = "DIR"
    )]
    dir: Option<OsString>,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[command(defer = true)] // The options of the commands that are not run need not be made.
enum Command {
    /// Signal that it is time to exit
    Exit {
        /// Exit status recorded for the leader
        #[arg(long, value_name = "N", default_value_t = 0)]
        status: u8,
        /// Name recorded for the leader
        #[arg(long)]
        name: Option<String>,
    },
    /// Wait for the exit signal
    Wait {
        /// Give up after this long, such as 500ms, 5s or 1m30s (exit status 110) [default: never]
        #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive, help_heading = heading::WAITING)]
        timeout: Option<Duration>,
        /// Exit with the leader's status, or with 122 if the leader died, 124 if the timeout ran
        /// out, 125 after any other failure
        #[arg(long, help_heading = heading::WAITING)]
        leader_status: bool,
        #[command(flatten)]
        watch: Watch,
    },
    /// Run a command as the leader, and signal when it has ended
    ///
    /// The exit signal records the command's exit status. It comes when all that the command
    /// started has ended, too (see --orphans). `lead` refuses a directory that already contains an
    /// exit signal, has a running leader, or cannot be written to. If the signal cannot be written
    /// after the command has ended, the exit status is still the command's.
    Lead {
        #[command(flatten)]
        leading: wrap::Leading,
        #[command(flatten)]
        run: Run,
    },
    /// Run a command as a follower, and end it at the exit signal
    ///
    /// All that the command started is ended with it. The exit status is then 0, or the leader's
    /// with --status leader. If the leader dies without signalling, `follow` ends the command and
    /// exits with 122. If the command ends by itself, `follow` exits with the command's status. If
    /// the directory already contains an exit signal, the command is not run.
    Follow {
        /// Exit status after the exit signal: 0 (own), or the leader's (leader)
        #[arg(long, value_enum, default_value_t = FollowStatus::Own)]
        status: FollowStatus,
        #[command(flatten)]
        watch: Watch,
        #[command(flatten)]
        run: Run,
    },
    /// Check for the exit signal, and print how the leader ended (exit status 0 yes, 1 no)
    Status {
        /// Output format
        #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Remove the exit signal before a restart
    ///
    /// If the directory has other entries, nothing is removed (exit status 39).
    Clear {
        /// Remove everything in the directory
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Args)]
struct Watch {
    /// Treat the leader as dead if it has not been seen alive within this time [default: never]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = heading::WAITING)]
    leader_by: Option<Duration>,
    /// Check the directory this often instead of waiting for events, for file systems without
    /// events
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive, help_heading = heading::WAITING)]
    poll: Option<Duration>,
}

#[derive(Args)]
struct Run {
    /// Grace period between asking the command to stop and killing it; a forwarded TERM or INT
    /// starts it, too
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = duration::parse, help_heading = heading::COMMAND)]
    grace: Duration,
    #[command(flatten)]
    stop: StopArgs,
    /// What to do with processes that the command leaves behind when it ends by itself: end them,
    /// wait for them, or leave them running
    #[arg(long, value_enum, value_name = "ACTION", default_value_t = OrphansArg::End, help_heading = heading::COMMAND)]
    orphans: OrphansArg,
    /// The command to run
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum OrphansArg {
    /// Ask them to stop, and kill them after the grace period
    End,
    /// Wait until they end; a TERM, INT, HUP or QUIT stops them
    Wait,
    /// Let them run
    Leave,
}

#[derive(Clone, Copy, ValueEnum)]
enum FollowStatus {
    /// 0, since the command has done its work
    Own,
    /// The leader's exit status, as recorded; 0 if none is recorded
    Leader,
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
    const HELP: &'static [Help] = help::HELP;

    fn log_args(&self) -> LogArgs {
        self.log
    }

    fn run(self) -> Result<Status, Failure> {
        signal::end_on_termination();
        let dir = self.dir.filter(|dir| !dir.is_empty()).map(ExitDir::new);
        match self.command {
            Command::Exit { status, name } => exit(dir, status, name),
            Command::Wait {
                timeout,
                leader_status,
                watch,
            } => wait(dir, timeout, leader_status, &watch),
            Command::Lead { leading, run } => wrap::lead(dir, leading, run.plan()),
            Command::Follow { status, watch, run } => wrap::follow(dir, &watch, status, run.plan()),
            Command::Status { output } => status(dir, output),
            Command::Clear { yes } => clear(dir, yes),
        }
    }
}

impl Watch {
    fn watcher(&self, dir: Option<ExitDir>) -> Result<Watcher, Error> {
        let watcher = match (dir, self.poll) {
            (Some(dir), Some(every)) => Watcher::polling(dir, every)?,
            (Some(dir), None) => Watcher::new(dir)?,
            (None, _) => Watcher::idle(),
        };
        Ok(match self.leader_by {
            Some(limit) => watcher.leader_by(limit),
            None => watcher,
        })
    }
}

impl Watch {
    /// Why a watcher of this directory, where there is one, takes its leader for dead.
    fn why_dead(&self, dir: Option<&ExitDir>) -> WhyDead {
        let dir = dir.map(|dir| dir.path().to_owned()).unwrap_or_default();
        WhyDead(dir, self.leader_by.unwrap_or_default())
    }
}

/// The directory, and how long a leader had to appear there.
struct WhyDead(PathBuf, Duration);

impl WhyDead {
    fn of(&self, watcher: &Watcher) -> String {
        let Self(dir, limit) = self;
        if watcher.saw_leader() {
            "the leader died without signalling".to_owned()
        } else {
            let limit = humantime::format_duration(*limit);
            format!("no leader was seen alive in exit directory {dir:?} within {limit}")
        }
    }
}

impl Run {
    fn plan(self) -> Plan {
        let orphans = match self.orphans {
            OrphansArg::End => Orphans::End,
            OrphansArg::Wait => Orphans::Wait,
            OrphansArg::Leave => Orphans::Leave,
        };
        self.stop.plan(self.command, self.grace).orphans(orphans)
    }
}

/// What every command says that has nothing to do because of it.
const NO_DIRECTORY: &str = "no exit directory given (--dir or EXIT_DIR), so nothing can signal";

fn exit(dir: Option<ExitDir>, status: u8, name: Option<String>) -> Result<Status, Failure> {
    outlive_file_size_limit();
    let Some(dir) = dir else {
        log::warn!("{NO_DIRECTORY}");
        return Ok(Status::DONE);
    };
    let record = Record {
        name,
        ..Record::exited(status)
    };
    if !dir.signal(&record)? {
        log::info!(
            "{:?} already contains an exit signal, which stays as it is",
            dir.path()
        );
    }
    Ok(Status::DONE)
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
    if dir.is_none() && timeout.is_none() {
        log::warn!("{NO_DIRECTORY}: waiting until this process is ended");
    }
    signal::reap_inherited();
    let _line = LiveLine::start(what, timeout);
    let why_dead = watch.why_dead(dir.as_ref());
    let mut watcher = watch
        .watcher(dir)
        .map_err(|error| wait_failed(error, leader_status))?;
    match watcher.wait_or(timeout, None) {
        Ok(Ended::LeaderDied) => {
            log::warn!("{}", why_dead.of(&watcher));
            Ok(if leader_status {
                Status::LOST
            } else {
                Status::from_errno(Errno::ESRCH)
            })
        }
        Ok(Ended::Signalled(record)) if leader_status => Ok(status_of(&record)),
        Ok(_) => Ok(Status::DONE),
        Err(error) => Err(wait_failed(error, leader_status)),
    }
}

fn wait_failed(error: Error, leader_status: bool) -> Failure {
    match (leader_status, error.errno()) {
        (false, _) => error.into(),
        (true, Errno::ETIMEDOUT) => Failure::new(Status::WAIT_TIMED_OUT, error),
        (true, _) => failed(error),
    }
}

/// The leader's own status. What an older leader ended with is not known, and counts as done.
fn status_of(record: &Record) -> Status {
    match (record.signal, record.status) {
        (Some(signal), _) => Status::from_signal(signal),
        (None, status) => Status::from_code(status.unwrap_or(0)),
    }
}

fn status(dir: Option<ExitDir>, output: Format) -> Result<Status, Failure> {
    let Some(dir) = dir else {
        log::warn!("{NO_DIRECTORY}");
        if output == Format::Json {
            print("null\n")?;
        }
        return Ok(Status::NO);
    };
    let Some(record) = dir.signalled()? else {
        let path = dir.path();
        print(&match output {
            Format::Text => format!("no exit signal in {path:?}\n"),
            Format::Json => "null\n".to_owned(),
        })?;
        return Ok(Status::NO);
    };
    let name = record
        .name
        .as_deref()
        .map_or("the leader".into(), |name| escaped(name).to_string());
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

fn clear(dir: Option<ExitDir>, yes: bool) -> Result<Status, Failure> {
    let Some(dir) = dir else {
        log::warn!("{NO_DIRECTORY}, and nothing is cleared");
        return Ok(Status::DONE);
    };
    let cleared = if yes { dir.clear_all() } else { dir.clear() };
    cleared.map_err(wrap::not_cleared)?;
    Ok(Status::DONE)
}

/// A limit of the size of files (`RLIMIT_FSIZE`) is then an error of the write, `EFBIG`, and not
/// the end of this process.
fn outlive_file_size_limit() {
    // It fails only for an invalid argument, pthread_sigmask(3).
    let _ = SigSet::from(Signal::SIGXFSZ).thread_block();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_complete_and_the_pages_made_from_it_are_current() {
        manual::check::<ExitDirCli>(env!("CARGO_MANIFEST_DIR"));
    }
}
