//! A container's main process that waits, and is let go.

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use super::{Ended, title};
use crate::{
    Result,
    process::{self, shown},
};

pub(super) fn show(tool: &Path, place: &Path) -> Result {
    title("lockpipe: a container that waits until somebody wants it gone");
    let pipe = place.join("forever");
    let on_pipe = |words: &[&str]| {
        let mut command = Command::new(tool);
        command.arg("--path").arg(&pipe).args(words);
        command
    };
    process::run(&mut on_pipe(&["create"]))?;

    let mut container = in_pid_namespace(&on_pipe(&["read"]));
    eprintln!("$ {} &", shown(&container));
    let mut container = Ended(container.spawn()?);
    let waiter = wait_for_reader(&container.0, &pipe)?;
    eprintln!(
        "  PID 1 of its own PID namespace (process {waiter} outside) waits; it keeps {} resident",
        resident(waiter)?
    );

    let before = Instant::now();
    process::run(&mut on_pipe(&["write"]))?;
    let status = container.0.wait()?;
    eprintln!(
        "  the container ended: {status}, {:?} after the write was started",
        before.elapsed()
    );

    let mut container = in_pid_namespace(&on_pipe(&["read"]));
    eprintln!("$ {} &", shown(&container));
    let mut container = Ended(container.spawn()?);
    let waiter = wait_for_reader(&container.0, &pipe)?;
    process::run(Command::new("sh").args(["-c", &format!("kill -TERM {waiter}")]))?;
    let status = container.0.wait()?;
    eprintln!("  TERM ended it at once, although it was PID 1: {status}");

    process::run(&mut on_pipe(&["delete"]))
}

/// What a container runtime does to its first process. A user namespace makes it work without root.
fn in_pid_namespace(command: &Command) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--kill-child",
    ]);
    unshare.arg(command.get_program()).args(command.get_args());
    unshare
}

/// The process below `unshare`, once it reads from the pipe.
fn wait_for_reader(unshare: &Child, pipe: &Path) -> Result<u32> {
    let children = format!("/proc/{0}/task/{0}/children", unshare.id());
    let reads = |pid: &u32| {
        let links = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        links
            .filter(|link| fs::read_link(link.path()).is_ok_and(|target| target == pipe))
            .count()
            == 2
    };
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        let child = fs::read_to_string(&children)
            .ok()
            .and_then(|text| text.trim().parse().ok());
        if let Some(pid) = child.filter(reads) {
            return Ok(pid);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(
        "the container did not begin to wait (unshare must be allowed to make user namespaces)"
            .into(),
    )
}

fn resident(pid: u32) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.ok_or("no VmRSS in /proc")?.trim().to_owned())
}
