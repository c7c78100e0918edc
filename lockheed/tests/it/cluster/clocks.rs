//! Wall clocks that are wrong, and are set while a lock is held.

use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use coord_core::boottime;
use testkit::{
    Proxy,
    process::{Kept, is_alive, number_in},
};

use super::{Place, lockheed};

/// Debian's package `libfaketime` has it here, in the directory of this machine's architecture.
fn library() -> PathBuf {
    let directories = fs::read_dir("/usr/lib")
        .unwrap()
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
struct WallClocks {
    directory: tempfile::TempDir,
    preload: OsString,
}

impl WallClocks {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (source, shim) = (
            directory.path().join("timers.c"),
            directory.path().join("timers.so"),
        );
        fs::write(&source, TIMERS_LEFT_ALONE).unwrap();
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&shim, &source])
            .status();
        assert!(compiled.unwrap().success());
        let mut preload = shim.into_os_string();
        preload.push(":");
        preload.push(library());
        Self { directory, preload }
    }

    /// What libfaketime takes: `+3600` is an hour ahead.
    fn set(&self, whose: &str, shift: &str) {
        // It is read at any time: it is whole at each.
        let new = self.directory.path().join("new");
        fs::write(&new, format!("{shift}\n")).unwrap();
        fs::rename(new, self.directory.path().join(whose)).unwrap();
    }

    fn of<'a>(&self, command: &'a mut Command, whose: &str) -> &'a mut Command {
        command
            .env("LD_PRELOAD", &self.preload)
            .env("FAKETIME_TIMESTAMP_FILE", self.directory.path().join(whose))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    }
}

/// The wall clock is used for one thing, the validity of certificates: those of the cluster last ten years.
#[test]
#[ignore = "no cluster"]
fn a_shift_is_visible_to_the_program() {
    let (place, clocks) = (Place::new(), WallClocks::new());
    let list = || {
        let mut command = lockheed(&place.user);
        let output = clocks.of(&mut command, "its").arg("list").output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    clocks.set("its", "+0");
    assert!(list().0, "{:?}", list());
    clocks.set("its", "+30y");
    let (done, error) = list();
    assert!(!done && error.contains("expired"), "{error}");
}

/// Writes down when it began, as a `CLOCK_BOOTTIME` in hundredths of a second, if the one before does not run.
const NEXT: &str = r#"if kill -0 $(cat pid) 2>/dev/null; then echo -1 >next; exit 1; fi
cut -d' ' -f1 /proc/uptime | tr -d . >next"#;

#[test]
#[ignore = "no cluster"]
fn a_wall_clock_that_is_wrong_by_an_hour_takes_no_lock_early_and_keeps_none_late() {
    const LEASE: Duration = Duration::from_secs(4);
    let (place, clocks) = (Place::new(), WallClocks::new());
    // It serves plain HTTP, so that the certificates do not matter.
    let proxy = Proxy::start(&place.user);
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    for (name, of_holder, of_waiter) in [
        ("ahead", "+0", "+3600"),
        ("behind", "+0", "-3600"),
        ("both", "+3600", "-3600"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let at = |file: &str| directory.path().join(file);
        clocks.set("holder", of_holder);
        clocks.set("waiter", of_waiter);
        let run = |whose: &str, command: &str| {
            let mut lockheed = lockheed(&kubeconfig);
            lockheed.args(["run", name, "--duration", "4s", "--", "sh", "-c", command]);
            Kept::spawn(
                clocks
                    .of(&mut lockheed, whose)
                    .current_dir(directory.path())
                    .stderr(Stdio::null()),
            )
        };
        let mut holder = run("holder", "echo $$ >pid; exec sleep 1000");
        let pid = number_in(&at("pid"));
        let mut waiter = run("waiter", NEXT);
        // While it is held, it is renewed, and the clocks are set to and fro.
        for step in ["-3600", "+7200", of_holder] {
            clocks.set("holder", step);
            std::thread::sleep(LEASE);
            assert!(is_alive(pid) && !at("next").exists(), "{name}, {step}");
        }
        holder.signal(nix::sys::signal::Signal::SIGKILL);
        let killed = boottime();
        holder.0.wait().unwrap();
        let next = u64::try_from(number_in(&at("next")));
        let next = Duration::from_millis(10 * next.expect("it began while the command ran"));
        assert!(
            next <= killed + LEASE + Duration::from_secs(2),
            "{name}: {:?} too late",
            next - killed - LEASE
        );
        assert!(waiter.0.wait().unwrap().success());
    }
}
