//! We start a daemon once, wait until it is healthy, and stop it.

use std::fs;

use super::stage::{Stage, eventually, remark, title};
use crate::Result;

/// `EEXIST`: the process in the pidfile is running.
const RUNS_ALREADY: i32 = 17;

/// The exit status after the signal TERM.
const TERMINATED: i32 = 143;

pub(super) fn show(stage: &mut Stage) -> Result {
    title("sipid: start a daemon once, wait until it is healthy, and stop just that process");
    let daemon = "sh -c 'sleep 1; touch healthy; exec sleep infinity'";
    let daemon = stage.start(&format!("sipid claim --pid-file web.pid -- {daemon}"))?;
    let file = stage.directory().join("web.pid");
    let claimed = || fs::read_to_string(&file).is_ok_and(|it| it == daemon.pid().to_string());
    eventually("the pidfile names it", claimed)?;
    let healthy = "sipid wait-until-healthy --pid-file web.pid --polling-frequency 200ms";
    stage.run(&format!("{healthy} --url file:healthy"), 0)?;
    remark("a URL of http:// or https:// works as well");
    stage.run("sipid status --pid-file web.pid", 0)?;
    stage.run(
        "sipid claim --pid-file web.pid -- echo a second one",
        RUNS_ALREADY,
    )?;
    stage.run("sipid kill --pid-file web.pid", 0)?;
    daemon.ends(TERMINATED)?;
    stage.run("sipid status --pid-file web.pid", 1)
}
