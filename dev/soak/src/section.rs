//! The command of a holder: a critical section that notices and records overlaps.

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use clap::Args;
use nix::{
    fcntl::{Flock, FlockArg},
    time::{ClockId, clock_gettime},
};

/// One critical section.
#[derive(Args)]
pub(crate) struct Section {
    /// The log of all sections.
    #[arg(long)]
    log: PathBuf,
    /// The files that stand for what the lock protects. A section that finds one unlocked has it
    /// alone.
    #[arg(long)]
    guard: PathBuf,
    /// The largest number of sections at once.
    #[arg(long)]
    slots: u32,
    /// Other sections with this flag may run at the same time.
    #[arg(long)]
    shared: bool,
    /// The number of this hold.
    #[arg(long)]
    hold: u64,
    #[arg(long)]
    milliseconds: u64,
}

impl Section {
    /// The guard's kernel locks end with this process, so a section that is over does not overlap.
    pub(crate) fn run(&self) -> io::Result<()> {
        let mut log = File::options().append(true).open(&self.log)?;
        let kind = if self.shared {
            FlockArg::LockSharedNonblock
        } else {
            FlockArg::LockExclusiveNonblock
        };
        let guard = |slot| File::open(guard(&self.guard, slot));
        let files: Vec<File> = (0..self.slots).map(guard).collect::<io::Result<_>>()?;
        let free = files
            .into_iter()
            .find_map(|file| Flock::lock(file, kind).ok());
        let token = env::var("LOCKHEED_TOKEN").unwrap_or("0".to_owned());
        let begun = if free.is_some() { "begin" } else { "overlap" };
        // Each line is one write, because O_APPEND keeps a single write whole.
        log.write_all(format!("{begun} {} {token} {}\n", self.hold, now()).as_bytes())?;
        thread::sleep(Duration::from_millis(self.milliseconds));
        log.write_all(format!("end {} {token} {}\n", self.hold, now()).as_bytes())
    }
}

/// The file of one slot.
pub(crate) fn guard(stem: &Path, slot: u32) -> PathBuf {
    stem.with_extension(slot.to_string())
}

/// Creates the files of a guard.
pub(crate) fn make_guard(stem: &Path, slots: u32) -> io::Result<()> {
    (0..slots).try_for_each(|slot| fs::write(guard(stem, slot), ""))
}

/// `CLOCK_BOOTTIME` in nanoseconds: one clock for all processes, which nobody can set.
pub(crate) fn now() -> i64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_or(0, |time| time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}
