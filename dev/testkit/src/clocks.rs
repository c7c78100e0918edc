//! Wall clocks that are wrong.

use std::{fs, path::PathBuf, process::Command};

/// What is preloaded into a program to make its wall clock wrong.
const SHIM: &str = include_str!("wall_clock.c");

/// Wall clocks that can be set, each by the text of a file. The other clocks are left alone.
#[derive(Debug)]
pub struct WallClocks {
    directory: tempfile::TempDir,
    shim: PathBuf,
}

impl WallClocks {
    /// Until they are set, they are right.
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

    /// Shifts somebody's by so many seconds: 3600 is an hour ahead.
    ///
    /// # Panics
    /// When a file cannot be written.
    pub fn set(&self, whose: &str, seconds: i64) {
        // It is read at any time: it is whole at each.
        let new = self.directory.path().join("new");
        fs::write(&new, format!("{seconds}\n")).expect("a file in it");
        fs::rename(new, self.directory.path().join(whose)).expect("a file in it");
    }

    /// Gives a command, which must be linked dynamically, somebody's clock.
    pub fn of<'a>(&self, command: &'a mut Command, whose: &str) -> &'a mut Command {
        command
            .env("LD_PRELOAD", &self.shim)
            .env("WALL_CLOCK", self.directory.path().join(whose))
    }
}
