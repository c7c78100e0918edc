//! What the kernel reports about processes: whether they wait, their memory, and how often they
//! ran.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use testkit::process::switches;

use crate::Result;

const TRIES: Duration = Duration::from_secs(60);

/// A process and all its descendants; the process itself comes first.
pub(crate) fn tree(root: i32) -> Vec<i32> {
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&parent) = tree.get(next) {
        next += 1;
        // Each thread has its own children.
        let threads = fs::read_dir(format!("/proc/{parent}/task"));
        for thread in threads.into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children"));
            let children = children.unwrap_or_default();
            tree.extend(
                children
                    .split_whitespace()
                    .filter_map(|it| it.parse::<i32>().ok()),
            );
        }
    }
    tree
}

/// Those of a process and its descendants that run this program, including forked copies.
pub(crate) fn of_program(root: i32, program: &Path) -> Vec<i32> {
    let program = program
        .canonicalize()
        .unwrap_or_else(|_| program.to_owned());
    let runs = |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|it| it == program);
    tree(root).into_iter().filter(runs).collect()
}

/// Waits until a process has nothing more to do: it sleeps, and has not run for a while.
pub(crate) fn settled(pid: i32) -> Result {
    let begun = Instant::now();
    let mut before = u64::MAX;
    while begun.elapsed() < TRIES {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        if stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z'))
        {
            return Err(format!("process {pid} has ended").into());
        }
        let sleeps = stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('S'));
        let now = switches(&[pid])?;
        if sleeps && now == before {
            return Ok(());
        }
        before = now;
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("process {pid} does not come to rest").into())
}

/// One of the sums in `smaps_rollup`, `proc_pid_smaps(5)`, in bytes.
pub(crate) fn memory(pid: i32, which: &str) -> Result<u64> {
    let text = fs::read_to_string(PathBuf::from(format!("/proc/{pid}/smaps_rollup")))?;
    let sum = text.lines().find_map(|line| {
        let value = line.strip_prefix(which)?.strip_prefix(':')?;
        value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    Ok(sum.ok_or_else(|| format!("process {pid} has no {which}"))? * 1024)
}
