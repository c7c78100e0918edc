//! Wall clocks that are wrong.

use std::{fs, path::PathBuf, process::Command};

/// The library that is preloaded into a program to make its wall clock wrong.
const SHIM: &str = include_str!("wall_clock.c");

/// Wall clocks that can be set, each by the text of a file. Other clocks stay unchanged.
#[derive(Debug)]
pub struct WallClocks {
    directory: tempfile::TempDir,
    shim: PathBuf,
}

impl WallClocks {
    /// Starts with right clocks.
    ///
    /// # Panics
    /// Without a C compiler, which Rust needs for linking.
    #[must_use]
    pub fn set_up() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let shim = directory.path().join("wall_clock.so");
        let source = shim.with_extension("c");
        fs::write(&source, SHIM).expect("a file in it");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&shim, &source])
            .status();
        assert!(compiled.expect("a C compiler").success());
        Self { directory, shim }
    }

    /// Shifts the clock named `whose` by this many seconds: 3600 is an hour ahead.
    ///
    /// # Panics
    /// When a file cannot be written.
    pub fn set(&self, whose: &str, seconds: i64) {
        // Programs may read it at any time, so it must always be complete.
        let new = self.directory.path().join("new");
        fs::write(&new, format!("{seconds}\n")).expect("a file in it");
        fs::rename(new, self.directory.path().join(whose)).expect("a file in it");
    }

    /// Makes a command, which must be linked dynamically, use the clock named `whose`.
    pub fn of<'a>(&self, command: &'a mut Command, whose: &str) -> &'a mut Command {
        command
            .env("LD_PRELOAD", &self.shim)
            .env("WALL_CLOCK", self.directory.path().join(whose))
    }
}
