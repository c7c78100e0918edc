//! Claims: of racing claimants one wins, and a dead one blocks nobody.

use std::{fs::File, os::fd::AsFd};

use log::{info, warn};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::{
    Error, Identity, Pid, PidFile,
    error::{Kind, While},
    file::{self, Content},
    identity,
    pidfile::find,
    process::Process,
};

/// A claim whose lock is held until this is dropped, and longer by whatever inherits it.
#[derive(Debug)]
pub struct Claim {
    file: File,
    pidfile: PidFile,
}

impl PidFile {
    /// Writes the PID of a running process into the file, unless the process that is in it runs. The file and its
    /// directory are made, with modes 0600 and 0700, if they are missing.
    ///
    /// Content that is no PID is replaced, with a warning: a damaged file must not keep a service down.
    ///
    /// # Errors
    /// `EEXIST` when the process in the file runs, `EAGAIN` when somebody else is claiming, `ESRCH` when there is no process
    /// `pid`, `EINVAL` and `ELOOP` for what is no file of ours, and those of `open(2)` and `write(2)`.
    pub fn claim(&self, pid: Pid) -> Result<(), Error> {
        self.take(pid).map(drop).map_err(|kind| kind.at(&self.path))
    }

    /// [`claim`](Self::claim), for the calling process, with the lock held on.
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
        let file = self.lock_at_path()?;
        self.check_is_free(&file, pid)?;
        file::write(&file, pid)?;
        self.keep_identity(&file, &process);
        info!("claimed {:?} for process {pid}", self.path);
        Ok(file)
    }

    /// The lock counts only on the file that the path still names: a `kill` may have removed it while we waited.
    fn lock_at_path(&self) -> Result<File, Kind> {
        loop {
            let file = file::create(&self.path)?;
            if !file::lock(&file)? {
                return Err(self.why_locked(&file)?);
            }
            if file::is_at(&file, &self.path)? {
                return Ok(file);
            }
        }
    }

    fn why_locked(&self, file: &File) -> Result<Kind, Kind> {
        if let (Content::Pid(pid), metadata) = file::read_unlocked(file)?
            && find(pid, self.identity(&metadata, pid).as_ref())?.is_some()
        {
            return Ok(Kind::Running(pid));
        }
        Ok(Kind::Locked)
    }

    fn check_is_free(&self, file: &File, pid: Pid) -> Result<(), Kind> {
        match file::read(file)? {
            (Content::Empty, _) => Ok(()),
            (Content::Invalid(quoted), _) => {
                warn!(
                    "replacing {quoted} in {:?}, which is not a valid pid",
                    self.path
                );
                Ok(())
            }
            (Content::Pid(old), metadata) => {
                match find(old, self.identity(&metadata, old).as_ref())? {
                    None => Ok(()),
                    Some(_) if old == pid => Err(Kind::AlreadyIn(pid)),
                    Some(_) => Err(Kind::Running(old)),
                }
            }
        }
    }

    /// Without it the claim stands, and a live PID counts as running.
    fn keep_identity(&self, file: &File, process: &Process) {
        let path = identity::path_beside(&self.path);
        let Some(identity) = Identity::of(process) else {
            warn!(
                "/proc does not show process {}: its PID alone is kept",
                process.pid()
            );
            return;
        };
        if let Err(error) = identity::write(&path, file, process.pid(), &identity) {
            warn!("cannot write {path:?}: {error}; the PID alone is kept");
        }
    }
}

impl Claim {
    /// Lets what this process executes inherit the lock: `exec` closes the file no longer.
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

    /// Gives the claim up again, and removes the file.
    ///
    /// # Errors
    /// Those of `unlink(2)`.
    pub fn release(self) -> Result<(), Error> {
        self.pidfile
            .remove_locked(&self.file)
            .map_err(|kind| kind.at(self.pidfile.path()))
    }
}
