//! The binary `exitdir` and the library, with real processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod follow;
mod leaders;
mod trouble;

use std::{
    fs,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Long enough for a loaded machine; a test that passes does not wait for it.
const PATIENCE: Duration = Duration::from_secs(30);

fn exitdir(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exitdir"));
    command
        .args(arguments)
        .env("EXIT_DIR", dir)
        .stdin(Stdio::null());
    command
}

fn run(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = exitdir(dir, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn finish(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until("the process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

fn code(mut child: Child) -> Option<i32> {
    finish(&mut child).code()
}

/// Whether a process runs whose arguments contain this text; zombies have none.
fn runs(text: &str) -> bool {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|line| {
            String::from_utf8_lossy(&line)
                .split('\0')
                .any(|argument| argument == text)
        })
}

/// A number of seconds to sleep that no other test uses, so that `runs` finds just this test's processes.
fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}.{next}", 100_000 + std::process::id())
}

/// Whether a leader of the directory lives, as a follower asks.
fn led(dir: &Path) -> bool {
    matches!(exitdir::ExitDir::new(dir).lead(), Err(error) if coord_core::HasErrno::errno(&error) == coord_core::Errno::EBUSY)
}
