//! Ends the process in a pidfile, and only that process.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use log::{info, warn};

use crate::{
    Error, Pid, PidFile, Schedule, Signal,
    error::{Kind, While},
    file, identity,
    judge::Verdict,
    pidfile::Snapshot,
    schedule::Step,
    target::Target,
};
use coord_process::{Process, procfs};

/// How long after the last KILL it is sent again, to new members of the group.
const KILL_AGAIN: Duration = Duration::from_secs(1);

/// How long to wait for a lock that is not inherited. It should be free at any moment, even on a
/// very busy machine.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

impl PidFile {
    /// Ends the process in the file according to the schedule, waits until it has ended, and
    /// removes the file. Returns true if there was a process. If there is no file, or its process
    /// is not running, it only removes the file.
    ///
    /// After a KILL at the end of the schedule the wait has no limit.
    ///
    /// ```no_run
    /// use sipid::PidFile;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let was_running = PidFile::new("/run/web.pid").kill(&"TERM/20/KILL".parse()?)?;
    /// # let _ = was_running;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `EINVAL` when the content is not a PID, or is PID 1 without an identity; `EACCES` when
    /// others could have written the file and it does not name a process of its owner; `EPERM`
    /// without the right to signal the process; `ETIMEDOUT` when the schedule ends before the
    /// process; `EAGAIN` when a process that inherited the lock survives. In these cases the file
    /// stays.
    pub fn kill(&self, schedule: &Schedule) -> Result<bool, Error> {
        self.end(schedule, false)
            .map_err(|kind| kind.at(&self.path))
    }

    /// Like [`kill`](Self::kill), for the whole process group that the process leads.
    ///
    /// # Errors
    /// As for [`kill`](Self::kill), and `EINVAL` when the process does not lead its group.
    pub fn kill_group(&self, schedule: &Schedule) -> Result<bool, Error> {
        self.end(schedule, true).map_err(|kind| kind.at(&self.path))
    }

    fn end(&self, schedule: &Schedule, group: bool) -> Result<bool, Kind> {
        let Some(snapshot) = self.snapshot()? else {
            self.log_that_it_is_missing();
            return Ok(false);
        };
        let pid = snapshot.content.pid()?;
        let process = pid
            .map(|pid| self.killable(pid, &snapshot.metadata))
            .transpose()?
            .flatten();
        let running = process.is_some();
        if let Some(process) = process {
            follow(schedule, &mut Target::new(process, group)?)?;
        }
        self.remove(&snapshot, pid)?;
        Ok(running)
    }

    fn log_that_it_is_missing(&self) {
        let directory = file::directory(&self.path);
        if directory.is_dir() {
            info!("no pidfile at {:?}", self.path);
        } else {
            warn!("there is no directory {directory:?}, and so no pidfile and nothing to do");
        }
    }

    /// The process to end or to signal. It cannot be this very process: a pidfile that names us is
    /// from an earlier owner of our PID.
    pub(crate) fn killable(&self, pid: Pid, file: &Metadata) -> Result<Option<Process>, Kind> {
        if pid == Pid::own() {
            return Ok(None);
        }
        match self.judge(pid, file)? {
            (Verdict::Gone, _) => Ok(None),
            (Verdict::Runs(_), None) if pid == Pid::INIT => Err(Kind::UnknownInit),
            (Verdict::Runs(process), _) => Ok(Some(process)),
            (Verdict::Doubtful(doubt), _) => Err(Kind::Doubtful(pid, doubt)),
        }
    }

    /// Removes the file, unless another process has claimed it by now. Waits for a lock that a
    /// status, a claim or another kill holds, but not for one that children have inherited.
    fn remove(&self, snapshot: &Snapshot, pid: Option<Pid>) -> Result<(), Kind> {
        let file = &snapshot.file;
        let patience = Instant::now() + LOCK_PATIENCE;
        let mut is_inherited = false;
        loop {
            let locked = file::lock(file)?;
            let (content, metadata) = if locked {
                file::read(file)?
            } else {
                file::read_unlocked(file)?
            };
            let anothers =
                content != snapshot.content || self.is_newer_claim(&metadata, snapshot, pid)?;
            if anothers || !file::is_at(file, &self.path)? {
                info!("{:?} has a new owner, and is left alone", self.path);
                return Ok(());
            }
            if locked {
                return self.remove_locked(file);
            }
            // A lock that was released just now has no owner either, so it is tried once more.
            let is_ownerless = !procfs::is_locked_by_its_owner(metadata.ino());
            if (is_inherited && is_ownerless) || Instant::now() >= patience {
                return Err(pid.map_or(Kind::Locked, |pid| survivors(pid, &metadata)));
            }
            is_inherited = is_ownerless;
        }
    }

    /// Whether another process with the same PID has claimed the file by now. A later modification
    /// time is not enough: the claim may have been in progress when we read the file.
    fn is_newer_claim(
        &self,
        now: &Metadata,
        snapshot: &Snapshot,
        pid: Option<Pid>,
    ) -> Result<bool, Kind> {
        let Some(pid) = pid.filter(|_| !file::same_version(now, &snapshot.metadata)) else {
            return Ok(false);
        };
        Ok(matches!(self.judge(pid, now)?.0, Verdict::Runs(_)))
    }

    /// Removes the file, whose lock we hold, if the path still names it. It removes the identity
    /// first, since a claimant may create both anew as soon as the file is gone.
    pub(crate) fn remove_locked(&self, file: &File) -> Result<(), Kind> {
        if !file::is_at(file, &self.path)? {
            return Ok(());
        }
        let identity = identity::path_beside(&self.path);
        for removed in [file::remove(&identity), file::remove(&self.path)] {
            match removed {
                Err(error) if file::is_not_ours_to_remove(&error) => self.empty(file, &error)?,
                removed => removed.during("remove")?,
            }
        }
        Ok(())
    }

    /// If we may not remove the file, empties it. The request is fulfilled when the process has
    /// ended, and an empty file says that too.
    fn empty(&self, file: &File, why: &io::Error) -> Result<(), Kind> {
        let path = &self.path;
        if file.metadata().during("examine")?.len() == 0 {
            return Ok(());
        }
        match file::empty(file, path) {
            Ok(()) => warn!("cannot remove {path:?}: {why}; emptied it instead"),
            Err(_) => warn!("cannot remove {path:?}: {why}"),
        }
        Ok(())
    }
}

fn survivors(pid: Pid, pidfile: &Metadata) -> Kind {
    Kind::Survivors(pid, procfs::having_open(pidfile.dev(), pidfile.ino()))
}

fn follow(schedule: &Schedule, target: &mut Target) -> Result<(), Kind> {
    let started = Instant::now();
    let mut last = None;
    for step in schedule.steps() {
        match step {
            Step::Send(signal) => target.send(signal)?,
            Step::Wait(wait) if target.wait(Some(Instant::now() + wait))? => break,
            Step::Wait(_) => {}
        }
        last = Some(step);
    }
    let killed = last == Some(Step::Send(Signal::KILL));
    while !target.wait(Some(
        Instant::now() + if killed { KILL_AGAIN } else { Duration::ZERO },
    ))? {
        if !killed {
            return Err(Kind::StillRunning(target.pids()));
        }
        // A member of the group may have forked just before it ended.
        target.send(Signal::KILL)?;
    }
    info!("gone after {:?}", started.elapsed());
    Ok(())
}
