//! The public type for a pidfile.

use std::{
    fs::{File, Metadata},
    path::{Path, PathBuf},
};

use crate::{
    Error, Identity, Pid,
    error::{Kind, While},
    file::{self, Content},
    judge::{Matches, Verdict},
};
#[cfg(feature = "health")]
use coord_process::Process;

/// A pidfile. Nothing is opened or created before you call a method.
///
/// ```
/// use sipid::{Pid, PidFile};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let file = PidFile::new(directory.path().join("web.pid"));
/// assert!(!file.status()?.running);
/// let claim = file.claim_and_hold()?; // this process; with `claim(pid)` another one
/// assert_eq!(file.status()?.pid, Some(Pid::own()));
/// claim.release()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PidFile {
    pub(crate) path: PathBuf,
    pub(crate) mode: Option<u32>,
    pub(crate) matches: Matches,
}

/// The content of a pidfile, and the state of its process.
///
/// ```
/// use sipid::{Pid, PidFile};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let file = PidFile::new(directory.path().join("example.pid"));
/// file.claim(Pid::own())?;
/// let status = file.status()?;
/// assert!(status.running && !status.locked && status.doubt.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PidFileStatus {
    /// Whether the file exists.
    pub exists: bool,
    /// The PID in the file; `None` if the file is missing or empty.
    pub pid: Option<Pid>,
    /// Whether the claimed process is alive. A zombie is not.
    pub running: bool,
    /// Whether somebody holds the lock: a claim in progress, or a command run by `claim -- CMD` or
    /// its children.
    pub locked: bool,
    /// The identity kept beside the file, if it exists and belongs to the file in its present
    /// state.
    pub identity: Option<Identity>,
    /// Why the file is not trusted, if a process has its PID but others than root and the caller
    /// can have written the file. The process then counts as not running.
    pub doubt: Option<String>,
}

/// The state of a pidfile at one moment.
pub(crate) struct Snapshot {
    pub(crate) file: File,
    pub(crate) metadata: Metadata,
    pub(crate) content: Content,
    pub(crate) locked: bool,
}

impl PidFile {
    /// A pidfile at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            mode: None,
            matches: Matches::default(),
        }
    }

    /// Sets the mode of a claimed file, whatever the umask, instead of 0600. It may add the bits of
    /// 0644 that let others read the file and its identity. Whoever may read the file may also lock
    /// it, which keeps a claim waiting, `flock(2)`.
    ///
    /// # Panics
    /// When others could write to a file of this mode, or its owner could not.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        assert!(mode & 0o600 == 0o600 && mode & !0o644 == 0, "mode {mode:o}");
        self.mode = Some(mode);
        self
    }

    /// Matches only a process that runs this executable, which `/proc/PID/exe` names, even if
    /// another file has replaced it since. For a script, this is its interpreter.
    #[must_use]
    pub fn executable(mut self, path: impl Into<PathBuf>) -> Self {
        self.matches.executable = Some(path.into());
        self
    }

    /// Matches only a process with this name: `/proc/PID/comm`, of which the kernel keeps 15 bytes.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.matches.name = Some(name.into());
        self
    }

    /// Matches only a process with this effective UID.
    #[must_use]
    pub fn user(mut self, uid: u32) -> Self {
        self.matches.user = Some(uid);
        self
    }

    /// The path of the pidfile.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the process in the file is running. The answer is no for a missing, empty or
    /// untrusted file.
    ///
    /// # Errors
    /// `EINVAL` when the content is not a PID or the file is not a regular file, `ELOOP` for an
    /// untrusted link, and those of `open(2)`.
    pub fn status(&self) -> Result<PidFileStatus, Error> {
        self.look().map_err(|kind| kind.at(&self.path))
    }

    fn look(&self) -> Result<PidFileStatus, Kind> {
        let mut state = PidFileStatus {
            exists: false,
            pid: None,
            running: false,
            locked: false,
            identity: None,
            doubt: None,
        };
        let Some(snapshot) = self.snapshot()? else {
            return Ok(state);
        };
        state.exists = true;
        state.locked = snapshot.locked;
        state.pid = snapshot.content.pid()?;
        if let Some(pid) = state.pid {
            let (verdict, identity) = self.judge(pid, &snapshot.metadata)?;
            state.identity = identity;
            state.running = matches!(verdict, Verdict::Runs(_));
            if let Verdict::Doubtful(doubt) = verdict {
                state.doubt = Some(doubt.to_string());
            }
        }
        Ok(state)
    }

    /// The process for a wait to watch: the one in the file, if it is running.
    #[cfg(feature = "health")]
    pub(crate) fn process(&self) -> Result<Option<Process>, Error> {
        let find = || {
            let Some(snapshot) = self.snapshot()? else {
                return Ok(None);
            };
            let Some(pid) = snapshot.content.pid()? else {
                return Ok(None);
            };
            self.believed(pid, &snapshot.metadata)
        };
        find().map_err(|kind: Kind| kind.at(&self.path))
    }

    /// The process that the file means, if it is running. If the file does not prove that it is the
    /// right one, that is an error.
    #[cfg(feature = "health")]
    pub(crate) fn believed(&self, pid: Pid, file: &Metadata) -> Result<Option<Process>, Kind> {
        match self.judge(pid, file)?.0 {
            Verdict::Gone => Ok(None),
            Verdict::Runs(process) => Ok(Some(process)),
            Verdict::Doubtful(doubt) => Err(Kind::Unwatchable(pid, doubt)),
        }
    }

    /// Reads the file, under a shared lock if nobody holds the exclusive one.
    pub(crate) fn snapshot(&self) -> Result<Option<Snapshot>, Kind> {
        let Some(file) = file::open(&self.path)? else {
            return Ok(None);
        };
        let locked = !file::lock_shared(&file)?;
        let (content, metadata) = if locked {
            file::read_unlocked(&file)?
        } else {
            file::read(&file)?
        };
        fs2::FileExt::unlock(&file).during("unlock")?;
        Ok(Some(Snapshot {
            file,
            metadata,
            content,
            locked,
        }))
    }
}
