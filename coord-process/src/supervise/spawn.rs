//! Starts CMD, from within the guard.

use std::{
    ffi::OsString,
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::unix::process::CommandExt,
    process::Command,
};

use coord_core::signal;
use nix::{
    libc,
    sys::{prctl, signal::Signal},
    unistd::{Pid, getpgid, getpid, getppid, setpgid},
};

use super::{Plan, descriptors::Descriptors, reexec::SignalMask, terminal::Terminal, wire::Report};

/// The steps between fork and exec that can fail, in their order.
const STEPS: [&str; 4] = [
    "have the command killed with the guard (prctl)",
    "give the command a process group of its own (setpgid)",
    "restore the limit of open files (setrlimit)",
    "restore the signal mask (sigprocmask)",
];

/// Starts the plan's CMD. Returns its process ID, or a report that says why it failed.
pub(crate) fn start(
    plan: &Plan,
    vars: Vec<(OsString, OsString)>,
    client: Pid,
    descriptors: Descriptors,
    mask: SignalMask,
) -> Result<i32, Report> {
    let [program, arguments @ ..] = &*plan.command else {
        return Err(Report::NotStarted(libc::EINVAL));
    };
    let failed = |what: &str, error: &io::Error| Report::Failed(what.to_owned(), errno(error));
    let (reader, mut writer) = io::pipe().map_err(|error| failed("open a pipe (pipe2)", &error))?;
    let guard = getpid();
    let mut command = Command::new(program);
    for name in &plan.without_vars {
        command.env_remove(name);
    }
    command.args(arguments).envs(vars);
    let settle = move || settle(guard, client, descriptors, &mask, &mut writer);
    // SAFETY: the guard has one thread, so no lock is held after its fork and any function may be
    // called.
    unsafe { command.pre_exec(settle) };
    let spawned = command.spawn();
    // The closure owns the writer; the read below ends only when the writer is closed.
    drop(command);
    match spawned {
        Ok(child) => Ok(i32::try_from(child.id()).unwrap_or(0)),
        Err(error) => Err(failed_step(reader).map_or_else(
            || Report::NotStarted(errno(&error)),
            |step| failed(step, &error),
        )),
    }
}

/// CMD's setup between fork and exec, in its own process group. It will die with the guard, and
/// takes the terminal if that was the client's. It gets the limits, ignored signals and signal mask
/// that the client started with.
fn settle(
    guard: Pid,
    client: Pid,
    descriptors: Descriptors,
    mask: &SignalMask,
    writer: &mut PipeWriter,
) -> io::Result<()> {
    let this = Pid::from_raw(0);
    let mut step = 0;
    let mut done = |result: nix::Result<()>| {
        if result.is_err() {
            let _ = writer.write(&[step]);
        }
        step += 1;
        result
    };
    done(prctl::set_pdeathsig(Signal::SIGKILL))?;
    if getppid() != guard {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    done(setpgid(this, this))?;
    if let Ok(group) = getpgid(Some(client)) {
        Terminal::open().pass(group, getpid());
    }
    done(descriptors.restore())?;
    signal::keep_sigpipe();
    done(mask.try_set())?;
    Ok(())
}

fn failed_step(mut reader: PipeReader) -> Option<&'static str> {
    let mut step = [0];
    let read = reader.read(&mut step).ok()?;
    STEPS
        .get(usize::from(step[0]))
        .filter(|_| read > 0)
        .copied()
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::alone::alone;

    /// Who leads a session cannot change its group.
    #[test]
    fn the_step_that_failed_is_told() {
        alone(|| {
            let (reader, mut writer) = io::pipe().unwrap();
            let (descriptors, mask) = (Descriptors::raise(), SignalMask::current());
            let settled = settle(getppid(), getpid(), descriptors, &mask, &mut writer);
            assert_eq!(errno(&settled.unwrap_err()), libc::EPERM);
            drop(writer);
            assert_eq!(failed_step(reader), Some(STEPS[1]));
        });
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        assert_eq!(failed_step(reader), None);
    }
}
