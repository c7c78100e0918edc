//! The programs that are measured: ours in two builds, and those of others that are installed.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Result;

/// Ours, linked in one way.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    pub(crate) name: &'static str,
    directory: PathBuf,
}

impl Build {
    pub(crate) fn new(name: &'static str, directory: &Path) -> Self {
        Self {
            name,
            directory: directory.to_owned(),
        }
    }

    pub(crate) fn path(&self, binary: &str) -> PathBuf {
        self.directory.join(binary)
    }

    /// How it is called in a table.
    pub(crate) fn who(&self, command: &str) -> String {
        format!("{command}, {}", self.name)
    }
}

/// Another's program, if this machine has it: Debian's packages have all that are asked for.
pub(crate) fn peer(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file());
    if found.is_none() {
        eprintln!("{name} is not installed, and is left out");
    }
    found
}

/// This program itself, which takes part in what is measured.
pub(crate) fn part(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments);
    Ok(command)
}
