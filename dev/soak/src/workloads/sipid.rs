//! Processes that inspect and end the claimed process, and PIDs that are used again.

use std::{fs, process::Command, thread, time::Duration};

use super::locks::pidfile;
use crate::world::World;

/// Shows the status of the claimed process, and ends it.
pub(crate) fn kill(world: &World, random: &mut fastrand::Rng) -> bool {
    for arguments in [&["status"][..], &["kill", "--timeout", "1s"]] {
        let mut command = world.tool("sipid");
        command
            .args(arguments)
            .arg("--pid-file")
            .arg(pidfile(world));
        let Ok(mut client) = world.start("sipid-kill", &mut command) else {
            return false;
        };
        let status = client.wait().unwrap_or(-1);
        world.count(&format!("sipid {}: status {status}", arguments[0]));
        thread::sleep(Duration::from_millis(random.u64(100..3_000)));
    }
    true
}

/// Claims for a process, ends that process, and gives its PID to another one. Then sipid must kill
/// what the pidfile names, but nobody may signal the other process.
pub(crate) fn reuse(world: &World, random: &mut fastrand::Rng) -> bool {
    let sleep = || Command::new("sleep").arg("1000").spawn();
    let file = world.disk.join("pids/reused.pid");
    let Ok(mut first) = sleep() else { return false };
    let pid = first.id();
    // Without an identity, a pidfile means whatever process has the PID, as the README says.
    let identity = world.disk.join("pids/.reused.pid.sipid");
    let _ = fs::remove_file(&identity);
    let mut claim = world.tool("sipid");
    claim.args(["claim", "--pid", &pid.to_string()]);
    let client = world.start("sipid-reuse", claim.arg("--pid-file").arg(&file));
    let claimed = client.ok().and_then(|mut client| client.wait());
    let _ = first.kill();
    let _ = first.wait();
    if claimed != Some(0) {
        return false;
    }
    if !fs::read_to_string(&identity).is_ok_and(|text| text.contains("start=")) {
        world.count("sipid claim: without the identity");
        return false;
    }
    for _ in 0..200 {
        // The next process gets the PID after this one.
        let last = fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string());
        let (Ok(()), Ok(mut other)) = (last, sleep()) else {
            return false;
        };
        let is_reused = other.id() == pid;
        let mut status = None;
        if is_reused {
            let mut kill = world.tool("sipid");
            kill.args(["kill", "--timeout", "1s", "--pid-file"])
                .arg(&file);
            let client = world.start("sipid-reuse", &mut kill);
            status = client.ok().and_then(|mut client| client.wait());
            world.count(&format!("sipid kill, PID reused: status {status:?}"));
            if let Ok(Some(ended)) = other.try_wait() {
                world.violation(&format!(
                    "sipid kill ended a process that has the PID {pid} by now: {ended}"
                ));
            }
        }
        let _ = other.kill();
        let _ = other.wait();
        if is_reused {
            return status == Some(0);
        }
        thread::sleep(Duration::from_millis(random.u64(..5)));
    }
    false
}
