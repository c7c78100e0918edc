//! Two programs that use the library, then two that know nothing of each other, and a leader that is killed.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{Ended, eventually, expect, title};
use crate::{Result, process::shown};

/// The leader died without signalling.
const LOST: i32 = 122;

pub(super) fn show(tools: &Path, place: &Path) -> Result {
    title("exitdir: helpers that stop when the main program is done, however it ends");
    let tool = Tool { tools, place };
    two_programs(&tool)?;
    two_wrapped_programs(&tool)?;
    a_killed_leader(&tool)
}

struct Tool<'a> {
    tools: &'a Path,
    place: &'a Path,
}

impl Tool<'_> {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.tools.join(program));
        // So that what is run can be typed: the directory is in the current one.
        command.current_dir(self.place).env("EXIT_DIR", "exit.d");
        command
    }

    fn exitdir(&self, words: &[&str]) -> Command {
        let mut command = self.command("exitdir");
        command.args(words);
        command
    }
}

fn start(mut command: Command) -> Result<Ended> {
    eprintln!("$ {} &", shown(&command));
    Ok(Ended(command.stdin(Stdio::null()).spawn()?))
}

fn two_programs(tool: &Tool<'_>) -> Result {
    eprintln!("$ mkdir exit.d; export EXIT_DIR=exit.d");
    fs::create_dir(tool.place.join("exit.d"))?;
    let mut follower = start(tool.command("examples/follower"))?;
    expect(&mut tool.command("examples/leader"), 0)?;
    ended(&mut follower, 0)?;
    expect(&mut tool.exitdir(&["clear"]), 0)
}

fn two_wrapped_programs(tool: &Tool<'_>) -> Result {
    let mut follower = start(tool.exitdir(&["follow", "--", "sleep", "infinity"]))?;
    let main = [
        "--name",
        "main",
        "--",
        "sh",
        "-c",
        "echo working; sleep 1; exit 7",
    ];
    expect(tool.exitdir(&["lead"]).args(main), 7)?;
    ended(&mut follower, 0)?;
    expect(&mut tool.exitdir(&["status", "-o", "json"]), 0)?;
    expect(&mut tool.exitdir(&["wait", "--leader-status"]), 7)
}

fn a_killed_leader(tool: &Tool<'_>) -> Result {
    let mut leader = start(tool.exitdir(&["lead", "--clear", "--", "sleep", "infinity"]))?;
    eventually("the leader's command runs", || command_runs(&leader))?;
    let mut follower =
        start(tool.exitdir(&["follow", "--leader-by", "1s", "--", "sleep", "infinity"]))?;
    eventually("the helper runs", || command_runs(&follower))?;
    let kill = format!("kill -KILL {}", leader.0.id());
    expect(Command::new("sh").args(["-c", &kill]), 0)?;
    leader.0.wait()?;
    ended(&mut follower, LOST)
}

/// The command is the child of the guard, which is the child of `lead` or `follow`.
fn command_runs(supervisor: &Ended) -> bool {
    child_of(supervisor.0.id()).and_then(child_of).is_some()
}

fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    children.ok()?.split_whitespace().next()?.parse().ok()
}

fn ended(follower: &mut Ended, expected: i32) -> Result {
    let status = follower.0.wait()?;
    eprintln!("  the helper ended: {status}");
    if status.code() == Some(expected) {
        return Ok(());
    }
    Err(format!("the helper should have ended with status {expected}").into())
}
