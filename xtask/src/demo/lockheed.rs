//! Four contenders for one lock in a directory: one at a time, and the lock of one that dies is free at once.

use std::{
    path::Path,
    process::{Child, Command},
    time::Instant,
};

use super::{Ended, eventually, title};
use crate::{
    Result,
    process::{self, shown},
};

/// What each contender does while it holds the lock.
const WORK: &str =
    "echo \"  $0 begins, with token $LOCKHEED_TOKEN\"; sleep 0.3; echo \"  $0 ends\"";

pub(super) fn show(tool: &Path, place: &Path) -> Result {
    title("lockheed: four contenders, one lock, on one machine");
    let store = format!("dir:{}", place.join("locks").display());
    let lockheed = |words: &[&str]| {
        let mut command = Command::new(tool);
        command.args(["--store", &store]).args(words);
        command
    };
    let run = |name: &str, work: &str| {
        lockheed(&["run", "deploy", "--id", name, "--", "sh", "-c", work, name])
    };
    eprintln!("$ {} &    (four of them)", shown(&run("one", WORK)));
    let contenders: std::io::Result<Vec<Child>> = ["one", "two", "three", "four"]
        .iter()
        .map(|name| run(name, WORK).spawn())
        .collect();
    for contender in contenders? {
        let status = Ended(contender).0.wait()?;
        if !status.success() {
            return Err(format!("a contender failed: {status}").into());
        }
    }

    let begun = place.join("begun");
    let forever = format!("echo >{}; sleep 1000", begun.display());
    let mut holder = run("five", &forever);
    eprintln!("$ {} &", shown(&holder));
    let mut holder = Ended(holder.spawn()?);
    eventually("the holder has begun", || begun.exists())?;
    process::run(&mut lockheed(&["list"]))?;
    eprintln!("  the holder is killed with SIGKILL, its lease would last 30 s");
    let killed = Instant::now();
    holder.0.kill()?;
    process::run(&mut run("six", WORK))?;
    eprintln!(
        "  the next one was done {:?} later; what the holder had started is gone",
        killed.elapsed()
    );
    process::run(&mut lockheed(&["delete", "deploy"]))
}
