//! Claims: one of several racing claimants wins, and a dead claimant blocks nobody.

use std::{
    fs::{self, File, Metadata},
    os::{fd::AsFd, unix::fs::PermissionsExt},
};

use log::{info, warn};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::{
    Error, Identity, Pid, PidFile,
    error::{Kind, While},
    file::{self, Content},
    identity,
    judge::{Verdict, room_to_look},
    trust,
};
use coord_process::Process;

/// The mode of a new file.
const PRIVATE: u32 = 0o600;

/// A claim. Its lock is held until this is dropped, and longer if another process inherits it.
///
/// ```no_run
/// use std::{os::unix::process::CommandExt, process::Command};
///
/// fn become_daemon() -> Result<(), Box<dyn std::error::Error>> {
///     let claim = sipid::PidFile::new("/run/example.pid").claim_and_hold()?;
///     claim.inherit()?; // the daemon and its children keep the lock
///     Err(Command::new("/usr/sbin/exampled").exec().into())
/// }
/// ```
#[derive(Debug)]
pub struct Claim {
    file: File,
    pidfile: PidFile,
}

impl PidFile {
    /// Writes the PID of a running process into the file, unless the process in the file is
    /// running. If the file or its directory is missing, it is created, with modes 0600 and 0700.
    ///
    /// Content that is not a PID is replaced, with a warning: a damaged file must not keep a
    /// service down.
    ///
    /// # Errors
    /// - `EEXIST` when the process in the file is running
    /// - `EAGAIN` when somebody else is claiming
    /// - `ESRCH` when there is no process `pid`
    /// - `EINVAL` and `ELOOP` for a file that we must not use
    /// - `EMFILE` and `ENFILE` when there are too few descriptors to keep the identity
    /// - those of `open(2)` and `write(2)`
    pub fn claim(&self, pid: Pid) -> Result<(), Error> {
        self.take(pid).map(drop).map_err(|kind| kind.at(&self.path))
    }

    /// Like [`claim`](Self::claim), for the calling process, and keeps holding the lock.
    ///
    /// # Errors
    /// As for [`claim`](Self::claim).
    pub fn claim_and_hold(&self) -> Result<Claim, Error> {
        let file = self.take(Pid::own()).map_err(|kind| kind.at(&self.path))?;
        Ok(Claim {
            file,
            pidfile: self.clone(),
        })
    }

    fn take(&self, pid: Pid) -> Result<File, Kind> {
        let process = Process::find(pid)
            .during("look for the process of")?
            .ok_or(Kind::NoProcess(pid))?;
        let (file, metadata) = self.lock_free_file(pid)?;
        self.set_mode(&file)?;
        room_to_look().during("keep the identity for")?;
        file::write(&file, pid, &metadata)?;
        self.keep_identity(&file, &process);
        info!("claimed {:?} for process {pid}", self.path);
        Ok(file)
    }

    /// Locks the file, unless it names a running process. A file that others could write to is
    /// replaced by a new one if that is permitted.
    fn lock_free_file(&self, pid: Pid) -> Result<(File, Metadata), Kind> {
        loop {
            let file = self.lock_at_path()?;
            let metadata = self.check_is_free(&file, pid)?;
            if trust::is_our_own(&metadata) || !self.discard(&file)? {
                return Ok((file, metadata));
            }
        }
    }

    /// The lock counts only on the file that the path still names: a `kill` may have removed it
    /// while we waited.
    fn lock_at_path(&self) -> Result<File, Kind> {
        loop {
            let file = file::open_or_create(&self.path, self.mode.unwrap_or(PRIVATE))?;
            if !file::lock(&file)? {
                self.check_lock_may_be_broken(&file)?;
            } else if file::is_at(&file, &self.path)? {
                return Ok(file);
            }
        }
    }

    /// Somebody holds the lock. That counts, unless the file belongs to another user, who could
    /// keep us out for ever. Such a file is discarded.
    fn check_lock_may_be_broken(&self, file: &File) -> Result<(), Kind> {
        let (content, metadata) = file::read_unlocked(file)?;
        if let Ok(Some(pid)) = content.pid()
            && let (Verdict::Runs(_), _) = self.judge(pid, &metadata)?
        {
            return Err(Kind::Running(pid));
        }
        if trust::is_our_own(&metadata) {
            return Err(Kind::Locked);
        }
        // If several claims come here at once, none of them may discard a file that another has
        // just created.
        let directory = File::open(file::directory(&self.path)).during("open the directory of")?;
        if !file::lock(&directory)? || !self.discard(file)? {
            return Err(Kind::Locked);
        }
        warn!("{:?} is another user's, and locked: made anew", self.path);
        Ok(())
    }

    /// Removes the file, if the path still names it. Returns false if that is not permitted.
    fn discard(&self, file: &File) -> Result<bool, Kind> {
        if !file::is_at(file, &self.path)? {
            return Ok(true);
        }
        match file::remove(&self.path) {
            Err(error) if file::is_not_ours_to_remove(&error) => Ok(false),
            removed => removed.during("remove").map(|()| true),
        }
    }

    fn check_is_free(&self, file: &File, pid: Pid) -> Result<Metadata, Kind> {
        let (content, metadata) = file::read(file)?;
        match content {
            Content::Invalid(quoted) => warn!(
                "replacing {quoted} in {:?}, which is not a valid PID",
                self.path
            ),
            Content::PidAndMore(old) => {
                self.check_is_over(old, &metadata, pid)?;
                warn!("replacing {old} in {:?}, and the lines below it", self.path);
            }
            Content::Pid(old) => self.check_is_over(old, &metadata, pid)?,
            Content::Empty => {}
        }
        Ok(metadata)
    }

    /// If the file names the claimant without an identity, it is from an earlier owner of the PID,
    /// for example in a restarted container.
    fn check_is_over(&self, old: Pid, file: &Metadata, claimant: Pid) -> Result<(), Kind> {
        match self.judge(old, file)? {
            (Verdict::Runs(_), identity) if old == claimant => {
                identity.map_or(Ok(()), |_| Err(Kind::AlreadyIn(claimant)))
            }
            (Verdict::Runs(_), _) => Err(Kind::Running(old)),
            (Verdict::Doubtful(doubt), _) => {
                warn!(
                    "process {old} does not count, though {:?} names it: {doubt}",
                    self.path
                );
                Ok(())
            }
            (Verdict::Gone, Some(identity)) if old != claimant && identity.is_elsewhere() => {
                warn!(
                    "taking {:?} over from a process {old} that cannot be seen from this container; where containers share a directory use claim -- CMD",
                    self.path
                );
                Ok(())
            }
            (Verdict::Gone, _) => Ok(()),
        }
    }

    fn set_mode(&self, file: &File) -> Result<(), Kind> {
        let permissions = self.mode.map(fs::Permissions::from_mode);
        let set = permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions));
        set.during("change the mode of")
    }

    /// If the identity cannot be kept, the claim still stands, and a live process with the PID
    /// counts as running.
    fn keep_identity(&self, file: &File, process: &Process) {
        let Some(identity) = Identity::of(process) else {
            warn!(
                "/proc does not show process {}: its PID alone is kept",
                process.pid()
            );
            return;
        };
        if let Err(error) = identity::write(&self.path, file, process.pid(), &identity) {
            let path = identity::path_beside(&self.path);
            warn!("cannot write {path:?}: {error}; the PID alone is kept");
        }
    }
}

impl Claim {
    /// Lets a program that this process executes inherit the lock: `exec` no longer closes the
    /// file.
    ///
    /// # Errors
    /// Those of `fcntl(2)`.
    pub fn inherit(&self) -> Result<(), Error> {
        let inherited = fcntl(self.file.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))
            .during("hand on the lock of");
        inherited
            .map(drop)
            .map_err(|kind| kind.at(self.pidfile.path()))
    }

    /// Releases the claim and removes the file.
    ///
    /// # Errors
    /// Those of `unlink(2)`.
    pub fn release(self) -> Result<(), Error> {
        self.pidfile
            .remove_locked(&self.file)
            .map_err(|kind| kind.at(self.pidfile.path()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Nobody may remove a file of `/proc`, and no directory is removed like a file.
    #[test]
    fn a_file_that_may_not_be_removed_stays_and_any_other_failure_is_an_error() {
        let discard = |path: &Path| PidFile::new(path).discard(&File::open(path).unwrap());
        assert!(!discard(Path::new("/proc/version")).unwrap());
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(discard(dir.path()), Err(Kind::Io("remove", _))));
        let file = dir.path().join("x.pid");
        fs::write(&file, "").unwrap();
        assert!(discard(&file).unwrap() && !file.exists());
    }
}
