//! Starting CMD, from within the guard.

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

/// What can fail between fork and exec beside exec itself, in the order in which it is done.
const STEPS: [&str; 4] = [
    "have the command killed with the guard (prctl)",
    "give the command a process group of its own (setpgid)",
    "restore the limit of open files (setrlimit)",
    "restore the signal mask (sigprocmask)",
];

/// Starts the plan's CMD, and returns its process ID, or the report that says why not.
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
    // SAFETY: the guard has one thread, so that after its fork no lock is held, and anything may be called.
    unsafe { command.pre_exec(settle) };
    let spawned = command.spawn();
    // The closure has the writer, without which nothing more can be read.
    drop(command);
    match spawned {
        Ok(child) => Ok(i32::try_from(child.id()).unwrap_or(0)),
        Err(error) => Err(failed_step(reader).map_or_else(
            || Report::NotStarted(errno(&error)),
            |step| failed(step, &error),
        )),
    }
}

/// What CMD does between fork and exec, in its own process group: it dies with the guard, takes the terminal if that was the
/// client's, and has the limits, the ignored signals and the signal mask that the client was started with.
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
