//! `sipid claim`.

use std::{ffi::OsString, io, os::unix::process::CommandExt, process::Command};

use clap::{ArgGroup, Args};
use coord_core::{Status, cli::Failure};
use sipid::{Pid, PidFile};

use super::{FileArg, signals::FileSizeSignal};

#[derive(Args)]
#[command(group = ArgGroup::new("whom").required(true))]
pub(super) struct Claim {
    #[command(flatten)]
    file: FileArg,
    /// The process to claim for
    #[arg(long, group = "whom")]
    pid: Option<String>,
    /// The mode of the file: 0600, 0640, 0604 or 0644. Who may read it may also lock it, and so keep a claim waiting
    /// [default: 0600 for a new file]
    #[arg(long, value_parser = mode)]
    mode: Option<u32>,
    /// Claim for this process, and become this command, which keeps the lock while it or a child of it lives; 126 and 127
    /// when it cannot be executed or found
    #[arg(last = true, value_name = "CMD", group = "whom")]
    run: Vec<OsString>,
}

impl Claim {
    pub(super) fn run(self, signal: FileSizeSignal) -> Result<Status, Failure> {
        let mut file = self.file.open();
        if let Some(mode) = self.mode {
            file = file.mode(mode);
        }
        let Some(pid) = self.pid else {
            return become_command(&file, &self.run, signal);
        };
        // Not an argument parser's error: a bad PID is 22 here, as it is in a file.
        file.claim(pid.parse::<Pid>()?)?;
        Ok(Status::DONE)
    }
}

/// Returns only when the command could not be executed.
fn become_command(
    file: &PidFile,
    words: &[OsString],
    signal: FileSizeSignal,
) -> Result<Status, Failure> {
    let claim = file.claim_and_hold()?;
    claim.inherit()?;
    let mut command = Command::new(&words[0]);
    signal.restore_for(&mut command);
    let error = command.args(&words[1..]).exec();
    let status = if error.kind() == io::ErrorKind::NotFound {
        Status::NOT_FOUND
    } else {
        Status::CANNOT_EXECUTE
    };
    claim.release()?;
    Err(Failure::new(
        status,
        format!("cannot execute {:?}: {error}", words[0]),
    ))
}

/// A mode that lets others write would let them name whom they like.
fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode & 0o600 == 0o600 && mode & !0o644 == 0 => Ok(mode),
        _ => Err("write 0600, 0640, 0604 or 0644".to_owned()),
    }
}
