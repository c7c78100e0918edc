//! The pidfile as its users see it.

use std::{
    fs::{File, Metadata},
    path::{Path, PathBuf},
};

use crate::{
    Error, Identity, Pid,
    error::{Kind, While},
    file::{self, Content},
    identity,
    process::Process,
};

/// A pidfile. Nothing is opened or made before a method is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PidFile {
    pub(crate) path: PathBuf,
}

/// What a pidfile says, and whether it is still so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The PID in the file; none when the file is missing or empty.
    pub pid: Option<Pid>,
    /// Whether the process that was claimed for is alive. A zombie is not.
    pub running: bool,
    /// Whether somebody holds the lock: a claim under way, or a command run by `claim -- CMD` or its children.
    pub locked: bool,
    /// The identity kept beside the file, where it is there and belongs to the file as it is.
    pub identity: Option<Identity>,
}

/// A pidfile at one moment.
pub(crate) struct Snapshot {
    pub(crate) file: File,
    pub(crate) metadata: Metadata,
    pub(crate) content: Content,
    pub(crate) locked: bool,
}

impl PidFile {
    /// A pidfile at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The path it was made with.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says whether the process in the file runs. A missing or empty file means no.
    ///
    /// # Errors
    /// `EINVAL` when the content is no PID or the file is no regular file, `ELOOP` for an untrusted link, and those of `open(2)`.
    pub fn status(&self) -> Result<State, Error> {
        self.look().map_err(|kind| kind.at(&self.path))
    }

    fn look(&self) -> Result<State, Kind> {
        let nothing = State {
            pid: None,
            running: false,
            locked: false,
            identity: None,
        };
        let Some(snapshot) = self.snapshot()? else {
            return Ok(nothing);
        };
        let locked = snapshot.locked;
        match snapshot.content {
            Content::Empty => Ok(State { locked, ..nothing }),
            Content::Invalid(quoted) => Err(Kind::Invalid(quoted)),
            Content::Pid(pid) => {
                let identity = self.identity(&snapshot.metadata, pid);
                let running = find(pid, identity.as_ref())?.is_some();
                Ok(State {
                    pid: Some(pid),
                    running,
                    locked,
                    identity,
                })
            }
        }
    }

    /// The watched process of a wait: the one in the file, if it runs.
    #[cfg(feature = "health")]
    pub(crate) fn process(&self) -> Result<Option<Process>, Error> {
        let find = || match self.snapshot()? {
            Some(Snapshot {
                content: Content::Pid(pid),
                metadata,
                ..
            }) => find(pid, self.identity(&metadata, pid).as_ref()),
            Some(Snapshot {
                content: Content::Invalid(quoted),
                ..
            }) => Err(Kind::Invalid(quoted)),
            _ => Ok(None),
        };
        find().map_err(|kind: Kind| kind.at(&self.path))
    }

    /// Reads the file, under a shared lock where nobody holds the exclusive one.
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

    pub(crate) fn identity(&self, metadata: &Metadata, pid: Pid) -> Option<Identity> {
        identity::read(&identity::path_beside(&self.path), metadata, pid)
    }
}

/// The process that the file means. Without an identity a live PID counts as it.
pub(crate) fn find(pid: Pid, identity: Option<&Identity>) -> Result<Option<Process>, Kind> {
    match identity {
        Some(identity) => identity.find(pid),
        None => Process::find(pid),
    }
    .during("look for the process of")
}
