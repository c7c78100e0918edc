//! Which process a pidfile means, and whether the file can be trusted.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use log::debug;

use crate::{
    Identity, Pid, PidFile,
    error::{Kind, While},
    identity,
    trust::{self, Doubt, Writers},
};
use coord_process::{Process, procfs};

/// How much earlier than its process's start a file may seem to be written, even if it was written
/// later. File systems cut times off at the second, the kernel at its tick.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(1_100);

/// The index of the effective UID in a process's users.
const EFFECTIVE: usize = 1;

/// What else must be true of the process in a pidfile, as for `start-stop-daemon(8)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matches {
    pub(crate) executable: Option<PathBuf>,
    pub(crate) name: Option<String>,
    pub(crate) user: Option<u32>,
}

/// The judgement on the process that a pidfile names.
pub(crate) enum Verdict {
    /// It has ended, or another process has the PID by now.
    Gone,
    Runs(Process),
    /// A process has the PID, but the file does not prove that it is the right one.
    Doubtful(Doubt),
}

impl PidFile {
    /// Judges the PID in the file, which was opened and has this metadata.
    pub(crate) fn judge(
        &self,
        pid: Pid,
        file: &Metadata,
    ) -> Result<(Verdict, Option<Identity>), Kind> {
        room_to_look().during("look for the process of")?;
        let kept = identity::read(&self.path, file, pid).during("read the identity beside")?;
        let found = match &kept {
            Some(kept) => kept.identity.find(pid),
            None => {
                Process::find(pid).map(|found| found.filter(|process| !began_after(process, file)))
            }
        };
        let found = found.during("look for the process of")?;
        let is_proven = |process: &Process| {
            let proof = kept.as_ref().filter(|kept| kept.is_proof);
            let (start, pidfd) = (process.start(), process.inode());
            proof.is_some_and(|proof| proof.identity.can_tell(start, pidfd))
        };
        let verdict = match found {
            Some(process) if !self.matches.fit(&process)? => Verdict::Gone,
            Some(process) if is_proven(&process) => Verdict::Runs(process),
            Some(process) => self.judge_by_writers(process, file)?,
            None => Verdict::Gone,
        };
        Ok((verdict, kept.map(|kept| kept.identity)))
    }

    fn judge_by_writers(&self, process: Process, file: &Metadata) -> Result<Verdict, Kind> {
        let doubt = match trust::writers(&self.path, file).during("examine the path of")? {
            Writers::Nobody => None,
            Writers::Others(doubt) => Some(doubt),
            Writers::Owner(owner) => match process.users() {
                Some(users) if users.iter().all(|&user| user == owner) => None,
                Some(_) => Some(Doubt::NotTheOwners(owner)),
                None => Some(Doubt::UnknownOwner(owner)),
            },
        };
        Ok(match doubt {
            Some(doubt) => Verdict::Doubtful(doubt),
            None => Verdict::Runs(process),
        })
    }
}

/// Checks that two descriptors can be opened, for the process and for a file. Otherwise entries in
/// `/proc` would seem to be missing, and we might trust a PID that another process has by now.
pub(crate) fn room_to_look() -> io::Result<()> {
    io::pipe().map(drop)
}

/// Whether the process started after the file was last written. Then it did not write the file, and
/// nobody can have written the file about it.
fn began_after(process: &Process, file: &Metadata) -> bool {
    let written = file.modified().ok();
    let later = written
        .zip(process.began())
        .is_some_and(|(written, began)| began > written + CLOCK_TOLERANCE);
    if later {
        debug!(
            "process {} began after the pidfile was written",
            process.pid()
        );
    }
    later
}

impl Matches {
    fn fit(&self, process: &Process) -> Result<bool, Kind> {
        if self == &Self::default() {
            return Ok(true);
        }
        self.compare(process.pid())
            .or_else(|error| match error.kind() {
                // It has no executable any more, because it has ended.
                io::ErrorKind::NotFound if procfs::is_ours() => Ok(false),
                _ => Err(error),
            })
            .map(|fits| fits && process.is_alive())
            .during("examine the process of")
    }

    fn compare(&self, pid: Pid) -> io::Result<bool> {
        if !procfs::is_ours() {
            return Err(io::ErrorKind::NotFound.into());
        }
        if let Some(user) = self.user
            && procfs::users(pid).is_none_or(|users| users[EFFECTIVE] != user)
        {
            return Ok(false);
        }
        if let Some(name) = &self.name
            && procfs::name(pid)? != name.as_bytes()
        {
            return Ok(false);
        }
        let executable = self.executable.as_deref();
        executable.map_or(Ok(true), |path| is_instance_of(pid, path))
    }
}

/// Whether the process runs this executable, or an earlier file at its path, as after an upgrade.
fn is_instance_of(pid: Pid, path: &Path) -> io::Result<bool> {
    let link = PathBuf::from(format!("/proc/{pid}/exe"));
    let target = fs::read_link(&link)?;
    let replaced = target
        .to_str()
        .and_then(|path| path.strip_suffix(" (deleted)"));
    let target = replaced.map_or(&*target, Path::new);
    let id = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let id_of_path = id(path);
    let is_same = |other: &Path| id_of_path.is_some() && id(other) == id_of_path;
    Ok(is_same(&link) || is_same(target) || target == path)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use testkit::process::Kept;

    use super::*;

    /// It has ended since it was found, and `/proc` shows nothing of it any more.
    #[test]
    fn what_has_ended_fits_nothing() {
        let mut sleep = Kept::spawn(Command::new("sleep").arg("1000"));
        let pid = sleep.pid().to_string().parse().unwrap();
        let process = Process::find(pid).unwrap().unwrap();
        let named = Matches {
            name: Some("sleep".to_owned()),
            ..Matches::default()
        };
        let executable = Matches {
            executable: Some(PathBuf::from("/no/such/program")),
            ..Matches::default()
        };
        sleep.0.kill().unwrap();
        sleep.status();
        for matches in [named, executable] {
            assert!(!matches.fit(&process).unwrap(), "{matches:?}");
        }
    }
}
