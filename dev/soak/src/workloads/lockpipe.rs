//! Readers of a named pipe that one writer releases, or writers that one reader releases.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::libc;

use crate::{
    section::now,
    world::{BOUND, Client, World},
};

pub(crate) fn round(world: &World, random: &mut fastrand::Rng) -> bool {
    let pipe = world.disk.join(format!("pipe-{}", world.next()));
    let is_calm = world.is_calm(now());
    let start = |what: &str| {
        let mut command = world.tool("lockpipe");
        let command = command.arg("--path").arg(&pipe).arg(what);
        world.start("lockpipe", command).ok()
    };
    let (waiting, other) = if random.bool() {
        ("read", "write")
    } else {
        ("write", "read")
    };
    let mut waiters: Vec<_> = (0..4).filter_map(|_| start(waiting)).collect();
    let mut all_are_served = waiters.len() == 4;
    let mut ended = |waiters: &mut Vec<Client<'_>>| {
        waiters.retain_mut(|waiter| {
            let status = waiter.status();
            if let Some(status) = status {
                world.count(&format!("lockpipe {waiting}: status {status}"));
                all_are_served &= status == 0;
            }
            status.is_none()
        });
        waiters.is_empty()
    };
    let mut since = Instant::now();
    while !ended(&mut waiters) {
        thread::sleep(Duration::from_millis(10));
        // A process that does not wait yet cannot be released.
        let all_wait = waiters.iter().all(|waiter| waits(waiter, &pipe));
        if !world.is_calm(now()) {
            since = Instant::now();
        }
        if since.elapsed() > BOUND {
            world.violation(&format!(
                "{} of lockpipe {waiting} do not wait, or are not let go",
                waiters.len()
            ));
            return false;
        }
        if !all_wait {
            continue;
        }
        let Some(mut releases) = start(other) else {
            continue;
        };
        // A process that was stopped may miss the release, and gets another one. Without faults,
        // one is enough.
        let patience = if is_calm {
            BOUND
        } else {
            Duration::from_secs(2)
        };
        let since = Instant::now();
        while !ended(&mut waiters) && since.elapsed() < patience {
            thread::sleep(Duration::from_millis(10));
        }
        if is_calm && !waiters.is_empty() {
            world.violation(&format!(
                "{} of lockpipe {waiting} are not let go",
                waiters.len()
            ));
            return false;
        }
        if is_calm && releases.wait() != Some(0) {
            world.violation(&format!("lockpipe {other} has let go, and failed"));
        }
    }
    let _ = fs::remove_file(&pipe);
    all_are_served
}

/// Whether a process waits for the other end: a reader has opened the pipe, or a writer is in
/// `open(2)`.
fn waits(client: &Client<'_>, pipe: &Path) -> bool {
    let process = format!("/proc/{}", client.pid());
    let entries = |of: &str| {
        fs::read_dir(format!("{process}/{of}"))
            .into_iter()
            .flatten()
    };
    let opens = format!("{} ", libc::SYS_openat);
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let is_in_open = entries("task")
        .flatten()
        .any(|task| text(&task.path().join("syscall")).starts_with(&opens));
    // The other descriptor is only for the path (O_PATH).
    let opened = entries("fd")
        .flatten()
        .filter(|it| fs::read_link(it.path()).is_ok_and(|target| target == pipe));
    is_in_open || opened.count() > 1
}
