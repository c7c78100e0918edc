//! `sipid claim`.

use std::{ffi::OsString, io, os::unix::process::CommandExt, process::Command, time::Duration};

use clap::{ArgGroup, Args};
use coord_core::{
    Status,
    cli::{Failure, help::heading},
    duration,
};
use sipid::{Pid, PidFile};

use super::{
    FileArg,
    ready::{NotifySocket, wait_until_ready},
    signals::FileSizeSignal,
};

#[derive(Args)]
#[command(group = ArgGroup::new("whom").required(true))]
pub(super) struct Claim {
    /// PID of the process to claim for
    #[arg(long, group = "whom", help_heading = heading::PROCESS)]
    pid: Option<String>,
    /// Mode of the pidfile: 0600, 0640, 0604 or 0644. Whoever may read the file may also lock it,
    /// and so make a claim fail [default: 0600 for a new file]
    #[arg(long, value_parser = mode)]
    mode: Option<u32>,
    /// Start CMD in the background, and return when it reports READY=1, as services with systemd's
    /// Type=notify do. If it is not ready within this time, end it (exit status 110)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive, conflicts_with = "pid", help_heading = heading::WAITING)]
    ready_timeout: Option<Duration>,
    /// Command to claim for: sipid writes its own PID, then becomes the command (exec). The lock is
    /// held while the command or a child of it lives
    #[arg(last = true, value_name = "CMD", group = "whom")]
    run: Vec<OsString>,
    #[command(flatten)]
    file: FileArg,
}

impl Claim {
    pub(super) fn run(self, signal: FileSizeSignal) -> Result<Status, Failure> {
        let mut file = self.file.open();
        if let Some(mode) = self.mode {
            file = file.mode(mode);
        }
        let Some(pid) = self.pid else {
            let Some(limit) = self.ready_timeout else {
                return become_command(&file, &self.run, signal, None);
            };
            return wait_until_ready(limit, |socket| {
                become_command(&file, &self.run, signal, Some(socket))
            });
        };
        // Not an error of the argument parser: an invalid PID has status 22 here, as in a file.
        file.claim(pid.parse::<Pid>()?)?;
        Ok(Status::DONE)
    }
}

/// Returns only when the command could not be executed.
fn become_command(
    file: &PidFile,
    words: &[OsString],
    signal: FileSizeSignal,
    socket: Option<&NotifySocket>,
) -> Result<Status, Failure> {
    let claim = file.claim_and_hold()?;
    claim.inherit()?;
    let mut command = Command::new(&words[0]);
    if let Some(socket) = socket {
        command.env("NOTIFY_SOCKET", &socket.name);
    }
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
    let is_safe = |mode: u32| mode & 0o600 == 0o600 && mode & !0o644 == 0;
    match u32::from_str_radix(text, 8) {
        Ok(mode) if is_safe(mode) && !text.starts_with('+') => Ok(mode),
        _ => Err("write 0600, 0640, 0604 or 0644".to_owned()),
    }
}
