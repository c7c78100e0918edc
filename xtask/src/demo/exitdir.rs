//! A helper that ends with its leader, when the leader is done and when it is killed.

use std::{fs, time::Instant};

use super::stage::{Stage, Started, eventually, remark, since, title};
use crate::Result;

/// The exit status when the leader died without signalling.
const LOST: i32 = 122;

pub(super) fn show(stage: &mut Stage) -> Result {
    title("exitdir: stop the helpers when the main program is done, however it ends");
    stage.run("mkdir exit.d", 0)?;
    stage.export("EXIT_DIR", "exit.d");
    let helper = stage.start("exitdir follow -- sleep infinity")?;
    let main = "exitdir lead --name main -- sh -c 'echo the main program works; sleep 1; exit 7'";
    stage.run(main, 7)?;
    helper.ends(0)?;
    remark("the helper has ended, too");
    stage.run("exitdir status", 0)?;

    let leader = stage.start("exitdir lead --clear -- sleep infinity")?;
    eventually("the main program runs", || command_runs(&leader))?;
    let helper = stage.start("exitdir follow -- sleep infinity")?;
    eventually("the helper runs", || command_runs(&helper))?;
    let before = Instant::now();
    stage.run(&format!("kill -KILL {}    # the leader", leader.pid()), 0)?;
    helper.ends(LOST)?;
    remark(&format!(
        "the helper has ended with status {LOST}, {} after that: its leader died without signalling",
        since(before)
    ));
    Ok(())
}

/// The command is the child of the guard, which is the child of `lead` or `follow`.
fn command_runs(supervisor: &Started) -> bool {
    child_of(supervisor.pid()).and_then(child_of).is_some()
}

fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    children.ok()?.split_whitespace().next()?.parse().ok()
}
