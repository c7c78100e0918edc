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
    process::run(&mut lockheed(&["delete", "deploy"]))?;
    in_turn(&lockheed)
}

/// Two readers and a writer wait in turn: the readers are served together, then the writer.
fn in_turn(lockheed: &impl Fn(&[&str]) -> Command) -> Result {
    process::run(&mut lockheed(&["acquire", "data", "--id", "somebody"]))?;
    let mut waiters = Vec::new();
    let all = ["reader --shared", "reader --shared", "writer"];
    for (number, words) in all.into_iter().enumerate() {
        let (name, mode) = words.split_once(' ').unwrap_or((words, ""));
        let mode = Some(mode).filter(|mode| !mode.is_empty());
        let options = ["run", "data", "--id", name, "--fair"];
        let options: Vec<_> = options.into_iter().chain(mode).collect();
        let mut waiter = lockheed(&options);
        waiter.args(["--", "sh", "-c", WORK, name]);
        eprintln!("$ {} &", shown(&waiter));
        waiters.push(Ended(waiter.spawn()?));
        eventually("it waits in its place", || {
            let state = lockheed(&["inspect", "data"]).output();
            let text = state.map(|state| String::from_utf8_lossy(&state.stdout).into_owned());
            text.is_ok_and(|text| text.matches("\nwaiting ").count() > number)
        })?;
    }
    process::run(&mut lockheed(&["inspect", "data"]))?;
    process::run(&mut lockheed(&["release", "data", "--id", "somebody"]))?;
    for waiter in &mut waiters {
        waiter.0.wait()?;
    }
    process::run(&mut lockheed(&["delete", "data"]))
}
