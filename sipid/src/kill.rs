//! Ending the process in a pidfile, and only that one.

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

/// How long after a last KILL it is sent again, to what has appeared in the group since.
const KILL_AGAIN: Duration = Duration::from_secs(1);

/// How long a lock is waited for that is not inherited, and so should be free any moment, on the busiest machine.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

impl PidFile {
    /// Ends the process in the file as the schedule says, waits until it is gone, and removes the file. True if there was
    /// one; with no file, or none alive, there is nothing to do but to remove the file.
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
    /// `EINVAL` when the content is no PID, or is PID 1 without an identity, `EACCES` when others can have written the file, and
    /// it does not name a process of its owner, `EPERM` without the right to signal it,
    /// `ETIMEDOUT` when the schedule ends before the process, `EAGAIN` when what inherited the lock survives. The file stays then.
    pub fn kill(&self, schedule: &Schedule) -> Result<bool, Error> {
        self.end(schedule, false)
            .map_err(|kind| kind.at(&self.path))
    }

    /// [`kill`](Self::kill), for the whole process group that the process leads.
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

    /// The process to end or to signal. This very process cannot be it: a pidfile that names it is from an earlier owner of
    /// its PID.
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

    /// Removes the file, unless it is another's by now. A lock that a status, a claim or another kill holds is waited for;
    /// one that children have inherited is not.
    fn remove(&self, snapshot: &Snapshot, pid: Option<Pid>) -> Result<(), Kind> {
        let file = &snapshot.file;
        let patience = Instant::now() + LOCK_PATIENCE;
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
            if !procfs::is_locked_by_its_owner(metadata.ino()) || Instant::now() >= patience {
                return Err(pid.map_or(Kind::Locked, |pid| survivors(pid, &metadata)));
            }
        }
    }

    /// Whether the file is by now the claim of another process with the same PID. That it was written since does not tell: the
    /// claim may have been under way when it was read.
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

    /// Removes the file, whose lock is held, if the path still names it. The identity goes first, since a claimant may make
    /// both anew as soon as the file is gone.
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

    /// Where the file may not be removed: what was asked for is done when the process is gone, and an empty file says so too.
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
        // A member of the group may have forked just before its end.
        target.send(Signal::KILL)?;
    }
    info!("gone after {:?}", started.elapsed());
    Ok(())
}
