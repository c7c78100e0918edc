//! Plays the scenarios, one after the other.

use std::{
    fs,
    os::unix::process::parent_id,
    panic,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testkit::process::is_alive;

use crate::{boot::FILE_SYSTEMS, place::Place, scenarios};

/// How long a scenario's processes may take to end after it. A killed process is gone as soon as it
/// gets the processor.
const BOUND: Duration = Duration::from_secs(60);

/// The names of the scenarios in a virtual machine, as `FILE SYSTEM/TOOL/SCENARIO`.
pub(crate) fn names(only: &str) -> impl Iterator<Item = String> {
    let all = FILE_SYSTEMS.iter().flat_map(|directory| {
        let all = scenarios::all();
        all.map(|(tool, scenario, _)| name(Path::new(directory), tool, scenario))
    });
    all.filter(move |name| name.contains(only))
}

fn name(directory: &Path, tool: &str, scenario: &str) -> String {
    let file_system = directory.file_name().unwrap().to_string_lossy();
    format!("{file_system}/{tool}/{scenario}")
}

pub(crate) fn play(directories: &[PathBuf], only: &str) {
    assert_eq!(parent_id(), 1, "others would be killed");
    // The message of the last panic.
    static WHY: Mutex<String> = Mutex::new(String::new());
    panic::set_hook(Box::new(|panic| {
        let why = panic.to_string().replace('\n', " ");
        *WHY.lock().unwrap() = why;
    }));
    for directory in directories {
        for (tool, scenario, run) in scenarios::all() {
            let name = name(directory, tool, scenario);
            if !name.contains(only) {
                continue;
            }
            let begun = Instant::now();
            let place = Place::new(directory.join(tool).join(scenario));
            let played = panic::catch_unwind(|| {
                run(&place);
                assert_nobody_is_left();
            });
            let seconds = begun.elapsed().as_secs_f64();
            match played {
                Ok(()) => println!("ok {name} ({seconds:.1} s)"),
                Err(_) => println!("FAILED {name}: {}", WHY.lock().unwrap()),
            }
            for pid in others() {
                println!("  killed: {}", shown(pid));
                // It may have ended meanwhile.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

/// Everything that a scenario starts must end with it.
#[track_caller]
fn assert_nobody_is_left() {
    let since = Instant::now();
    while others().next().is_some() {
        let left: Vec<_> = others().map(shown).collect();
        assert!(since.elapsed() < BOUND, "left behind: {left:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// All processes except this one, its parent and the kernel's own threads.
fn others() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let own = [1, std::process::id().cast_signed()];
    pids.filter(move |pid| !own.contains(pid) && !command_line(*pid).is_empty() && is_alive(*pid))
}

/// Its command line, and the kernel function in which it sleeps.
fn shown(pid: i32) -> String {
    let sleeps = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    format!("{pid} {}in {sleeps}", command_line(pid))
}

/// The kernel's threads have none.
fn command_line(pid: i32) -> String {
    let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&text).replace('\0', " ")
}
