//! A process that waits, and is released.

use std::{fs, time::Instant};

use super::stage::{Stage, Started, eventually, remark, since, title};
use crate::Result;

pub(super) fn show(stage: &mut Stage) -> Result {
    title("lockpipe: keep a process waiting until somebody releases it");
    let waiter = stage.start("lockpipe --path ready read")?;
    eventually("it reads the pipe", || reads_pipe(&waiter))?;
    remark(&format!(
        "it waits without waking up, and keeps {} in memory",
        resident(&waiter)?
    ));
    let before = Instant::now();
    stage.run("lockpipe --path ready write", 0)?;
    waiter.ends(0)?;
    remark(&format!(
        "the waiter has ended with status 0, {} after the write was started",
        since(before)
    ));
    stage.run("lockpipe --path ready read --timeout 500ms", 110)?;
    stage.run("lockpipe --path ready delete", 0)
}

/// Whether it has opened the pipe twice: by its path, and for the wait.
fn reads_pipe(waiter: &Started) -> bool {
    let links = fs::read_dir(format!("/proc/{}/fd", waiter.pid()));
    let links = links.into_iter().flatten().flatten();
    let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    targets.filter(|it| it.ends_with("ready")).count() == 2
}

fn resident(waiter: &Started) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{}/status", waiter.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.ok_or("no VmRSS in /proc")?.trim().to_owned())
}
