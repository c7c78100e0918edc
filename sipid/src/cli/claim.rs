//! `sipid claim`.

use std::{ffi::OsString, io, os::unix::process::CommandExt, process::Command};

use clap::{ArgGroup, Args};
use coord_core::{Status, cli::Failure};
use sipid::{Pid, PidFile};

use super::FileArg;

#[derive(Args)]
#[command(group = ArgGroup::new("whom").required(true))]
pub(super) struct Claim {
    #[command(flatten)]
    file: FileArg,
    /// The process to claim for
    #[arg(long, group = "whom")]
    pid: Option<String>,
    /// Claim for this process, and become this command, which keeps the lock while it or a child of it lives; 126 and 127
    /// when it cannot be executed or found
    #[arg(last = true, value_name = "CMD", group = "whom")]
    run: Vec<OsString>,
}

impl Claim {
    pub(super) fn run(self) -> Result<Status, Failure> {
        let file = PidFile::new(self.file.pid_file);
        let Some(pid) = self.pid else {
            return become_command(&file, &self.run);
        };
        // Not an argument parser's error: a bad PID is 22 here, as it is in a file.
        file.claim(pid.parse::<Pid>()?)?;
        Ok(Status::DONE)
    }
}

/// Returns only when the command could not be executed.
fn become_command(file: &PidFile, command: &[OsString]) -> Result<Status, Failure> {
    let claim = file.claim_and_hold()?;
    claim.inherit()?;
    let error = Command::new(&command[0]).args(&command[1..]).exec();
    let status = if error.kind() == io::ErrorKind::NotFound {
        Status::NOT_FOUND
    } else {
        Status::CANNOT_EXECUTE
    };
    claim.release()?;
    Err(Failure::new(
        status,
        format!("cannot execute {:?}: {error}", command[0]),
    ))
}
