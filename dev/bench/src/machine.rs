//! The machine that was measured on, and the versions of the measured programs.

use std::{fs, process::Command, thread};

use crate::Result;

/// Names of facts, with their values here.
pub(crate) fn facts() -> Result<Vec<(String, String)>> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or_default();
    let processors = thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut facts = vec![
        ("processor".to_owned(), format!("{processors} × {model}")),
        (
            "memory".to_owned(),
            format!("{} GiB", memory.div_ceil(1 << 20)),
        ),
        ("kernel".to_owned(), kernel.trim().to_owned()),
    ];
    for program in ["rustc", "hyperfine", "etcdctl", "valgrind"] {
        facts.extend(version(program).map(|version| (program.to_owned(), version)));
    }
    Ok(facts)
}

/// The first line of the version output.
fn version(program: &str) -> Option<String> {
    let argument = if program == "etcdctl" {
        "version"
    } else {
        "--version"
    };
    let said = Command::new(program).arg(argument).output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    Some(said.lines().next()?.trim().to_owned())
}
