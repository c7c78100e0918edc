//! `cargo xtask demo`: the tools at work on this machine, in a directory that is gone afterwards.

mod cmlock;
mod exitdir;
mod lockheed;
mod lockpipe;
mod sipid;

use std::{
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Result, kube,
    process::{self, cargo, shown},
    tools::TOOLS,
};

/// cmlock is shown where a cluster is up (`cargo xtask kube up`), or is to be started for it.
pub(crate) fn run(start: bool) -> Result {
    let tools = TOOLS.map(|tool| ["--package", tool.package]);
    let build = ["build", "--release", "--locked", "--bins"];
    let examples = ["--example", "leader", "--example", "follower"];
    process::run(cargo(build).args(tools.as_flattened()).args(examples))?;
    let tools = process::target().join("release");
    let place = tempfile::tempdir()?;
    lockpipe::show(&tools.join("lockpipe"), place.path())?;
    exitdir::show(&tools, place.path())?;
    sipid::show(&tools.join("sipid"), place.path())?;
    lockheed::show(&tools.join("lockheed"), place.path())?;
    match kube::for_demo(start)? {
        Some(cluster) => cmlock::show(&tools.join("cmlock"), &cluster),
        None => Ok(()),
    }
}

fn title(text: &str) {
    eprintln!("\n== {text}");
}

/// A child that does not outlive the demo, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Says what is run, runs it, and fails if its status is another than the one expected.
fn expect(command: &mut Command, expected: i32) -> Result {
    eprintln!("$ {}", shown(command));
    let status = command
        .status()
        .map_err(|error| format!("cannot run {}: {error}", shown(command)))?;
    if status.code() != Some(expected) {
        return Err(format!("{}: {status}, and not {expected}", shown(command)).into());
    }
    eprintln!("  status {expected}");
    Ok(())
}

/// Waits until something is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> Result {
    let started = Instant::now();
    while !is_so() {
        if started.elapsed() > Duration::from_secs(10) {
            return Err(format!("not so after ten seconds: {what}").into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
