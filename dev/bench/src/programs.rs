//! The measured programs: ours in two builds, and others that are installed.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Result;

/// Our programs, linked in one way.
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

    /// The program's name in a table.
    pub(crate) fn who(&self, command: &str) -> String {
        format!("{command}, {}", self.name)
    }
}

/// Another project's program, if this machine has it; Debian packages all of them.
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

/// This program itself, which takes part in measurements.
pub(crate) fn part(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments);
    Ok(command)
}
