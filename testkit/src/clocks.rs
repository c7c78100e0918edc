//! Wall clocks that are wrong.

use std::{ffi::OsString, fs, path::PathBuf, process::Command};

/// Debian's package `libfaketime` has it here, in the directory of this machine's architecture.
fn library() -> PathBuf {
    let directories = fs::read_dir("/usr/lib")
        .expect("there are libraries")
        .flatten()
        .map(|entry| entry.path());
    let mut found = directories.map(|directory| directory.join("faketime/libfaketimeMT.so.1"));
    found
        .find(|path| path.exists())
        .expect("install Debian's package faketime")
}

/// Goes before libfaketime, which shifts timers of the boot-time clock too, as if it was the wall clock.
const TIMERS_LEFT_ALONE: &str = r"#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>
int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old) {
    return syscall(SYS_timerfd_settime, fd, flags, new, old);
}";

/// Wall clocks that can be set, each by the text of a file. The other clocks are left alone.
#[derive(Debug)]
pub struct WallClocks {
    directory: tempfile::TempDir,
    preload: OsString,
}

impl WallClocks {
    /// Until they are set, they are right.
    ///
    /// # Panics
    /// Without libfaketime and a C compiler.
    #[must_use]
    pub fn set_up() -> Self {
        let directory = tempfile::tempdir().expect("it is there");
        let (source, shim) = (
            directory.path().join("timers.c"),
            directory.path().join("timers.so"),
        );
        fs::write(&source, TIMERS_LEFT_ALONE).expect("it is there");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&shim, &source])
            .status();
        assert!(compiled.expect("it is there").success());
        let mut preload = shim.into_os_string();
        preload.push(":");
        preload.push(library());
        Self { directory, preload }
    }

    /// Shifts somebody's by what libfaketime takes: `+3600` is an hour ahead.
    ///
    /// # Panics
    /// When a file cannot be written.
    pub fn set(&self, whose: &str, shift: &str) {
        // It is read at any time: it is whole at each.
        let new = self.directory.path().join("new");
        fs::write(&new, format!("{shift}\n")).expect("it is there");
        fs::rename(new, self.directory.path().join(whose)).expect("it is there");
    }

    /// Gives a command, which must be linked dynamically, somebody's clock.
    pub fn of<'a>(&self, command: &'a mut Command, whose: &str) -> &'a mut Command {
        command
            .env("LD_PRELOAD", &self.preload)
            .env("FAKETIME_TIMESTAMP_FILE", self.directory.path().join(whose))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    }
}
