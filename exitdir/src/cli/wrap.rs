//! `lead` and `follow`: run another program as leader or follower.

use std::{ffi::OsString, os::fd::BorrowedFd, time::Duration};

use coord_core::{Status, cli::Failure, errno::with_sources};
use coord_process::supervise::{Condition, Exit, Guard, Plan, Reason};
use exitdir::{Ended, Error, ExitDir, Leader, Names, Record, Watcher};
use nix::libc;

use super::{FollowStatus, Watch, WhyDead, failed, outlive_file_size_limit, post::Url, status_of};

// How `lead` begins and ends.
#[derive(clap::Args)]
pub(super) struct Leading {
    /// Remove the exit signal of an earlier run first
    #[arg(long)]
    clear: bool,
    /// With --clear, remove everything in the directory
    #[arg(long, requires = "clear")]
    yes: bool,
    /// Name recorded for the leader
    #[arg(long)]
    name: Option<String>,
    /// After signalling, send a POST to this http:// URL, for a helper that cannot be run under
    /// follow; may be repeated
    #[arg(long, value_name = "URL")]
    post: Vec<String>,
    /// How long to wait for each answer to --post
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = coord_core::duration::parse_positive)]
    post_timeout: Duration,
}

/// Runs CMD as the leader. The guard is forked before the lock is taken and handed the lock then:
/// it is free when CMD's tree is gone, whatever happens to us.
pub(super) fn lead(dir: Option<ExitDir>, leading: Leading, plan: Plan) -> Result<Status, Failure> {
    let guard = Guard::start(plan).map_err(supervision)?;
    let urls = leading.post.iter().map(|text| text.parse::<Url>());
    let urls = urls.collect::<Result<Vec<_>, _>>();
    let urls = urls.map_err(|reason| Failure::new(Status::FAILED, reason))?;
    let leader = dir.map(|dir| begin(dir, &leading)).transpose()?;
    for descriptor in leader.iter().flat_map(Leader::descriptors) {
        guard.keep(descriptor).map_err(supervision)?;
    }
    let (outcome, _running) = match guard.spawn::<OsString, OsString>([]) {
        Ok(mut running) => (running.wait(), Some(running)),
        Err(error) => (Err(error), None),
    };
    // While `_running` lives, a second TERM does not end this process before the record is written.
    let exit = outcome.map(|outcome| outcome.exit).map_err(supervision);
    if let Some(leader) = &leader {
        signal(leader, leading.name, &exit);
    }
    for url in &urls {
        post(url, leading.post_timeout);
    }
    Ok(exit?.status())
}

/// All that can be known to go wrong is known before CMD starts.
fn begin(dir: ExitDir, leading: &Leading) -> Result<Leader, Failure> {
    let leader = dir.lead().map_err(failed)?;
    match (leading.clear, leading.yes) {
        (true, true) => leader.clear_all().map_err(failed)?,
        (true, false) => leader
            .clear()
            .map_err(|error| Failure::new(Status::FAILED, not_cleared(error).to_string()))?,
        (false, _) => {}
    }
    let names = leader.dir().entries().map_err(failed)?;
    if names.is_empty() {
        return Ok(leader);
    }
    let hint = if names == ["exitFile"] {
        "--clear removes it"
    } else {
        "if this is the right directory, empty it"
    };
    let (path, names) = (leader.dir().path(), Names(&names));
    let text = format!("exit directory {path:?} already contains an exit signal ({names}); {hint}");
    Err(Failure::new(Status::FAILED, text))
}

/// CMD's work is done: what goes wrong from here on is told, and changes nothing about its status.
fn signal(leader: &Leader, name: Option<String>, exit: &Result<Exit, Failure>) {
    let record = match exit {
        Ok(Exit::Code(status)) => Record::exited(*status),
        Ok(Exit::Signal(number)) => Record::killed(*number),
        Err(failure) => Record::exited(failure.status().code()),
    };
    outlive_file_size_limit();
    if let Err(error) = leader.signal(&Record { name, ..record }) {
        let error = with_sources(&error);
        log::error!("{error}; followers will see that the leader died");
    }
}

fn post(url: &Url, limit: Duration) {
    match url.post(limit) {
        Ok(()) => log::info!("sent POST {url}"),
        Err(error) => log::warn!("POST {url} failed: {error}"),
    }
}

/// Runs CMD until it is time to exit. When that has been so from the start, CMD is not run.
pub(super) fn follow(
    dir: Option<ExitDir>,
    watch: &Watch,
    status: FollowStatus,
    plan: Plan,
) -> Result<Status, Failure> {
    let guard = Guard::start(plan).map_err(supervision)?;
    let Some(dir) = dir else {
        let mut running = guard.spawn::<OsString, OsString>([]).map_err(supervision)?;
        return Ok(running.wait().map_err(supervision)?.status());
    };
    if let Some(record) = dir.signalled().map_err(failed)? {
        log::info!("it is time to exit already, and the command is not run");
        return Ok(status.of(&record));
    }
    let why_dead = watch.why_dead(Some(&dir));
    let watcher = watch.watcher(Some(dir)).map_err(failed)?;
    let mut running = guard.spawn::<OsString, OsString>([]).map_err(supervision)?;
    let mut exit = ExitCondition {
        watcher,
        status,
        why_dead,
    };
    let outcome = running.wait_until(&mut exit).map_err(supervision)?;
    Ok(outcome.status())
}

/// It is time to exit.
struct ExitCondition {
    watcher: Watcher,
    status: FollowStatus,
    why_dead: WhyDead,
}

impl Condition for ExitCondition {
    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.watcher.descriptor().into_iter().collect()
    }

    fn timeout(&self) -> Option<Duration> {
        self.watcher.pause()
    }

    fn check(&mut self) -> Option<Reason> {
        let ended = self.watcher.check().transpose()?;
        Some(match ended {
            Ok(Ended::LeaderDied) => {
                log::warn!("{}", self.why_dead.of(&self.watcher));
                Reason::new("the leader died", Status::LOST)
            }
            Ok(Ended::Signalled(record)) => {
                Reason::new("it is time to exit", self.status.of(&record))
            }
            Ok(Ended::Cancelled) => Reason::new("it is time to exit", Status::DONE),
            Err(error) => {
                log::error!("{}", with_sources(&error));
                Reason::new("the directory cannot be watched", Status::FAILED)
            }
        })
    }
}

impl FollowStatus {
    fn of(self, record: &Record) -> Status {
        match self {
            Self::Own => Status::DONE,
            Self::Leader => status_of(record),
        }
    }
}

/// An error of `clear`, with the way past it where there is one.
pub(super) fn not_cleared(error: Error) -> Failure {
    let status = Status::from_errno(error.errno());
    if error.errno().raw() == libc::ENOTEMPTY {
        return Failure::new(
            status,
            format!("{error}; to remove these too, repeat with --yes"),
        );
    }
    Failure::new(status, error)
}

fn supervision(error: coord_process::supervise::Error) -> Failure {
    Failure::new(error.status(), error)
}
