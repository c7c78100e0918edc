//! Wall clocks that are wrong, and are set while a lock is held.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use coord_core::boottime;
use testkit::{Proxy, eventually};

use super::{Kept, Place, is_alive, lockheed, number_in};

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

/// The program with another wall clock, which is read from this file each time. The monotonic clocks are left alone.
fn faked<'a>(command: &'a mut Command, file: &Path) -> &'a mut Command {
    command
        .env("LD_PRELOAD", library())
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

/// The wall clock is used for one thing, the validity of certificates: those of the cluster last ten years.
#[test]
#[ignore = "no cluster"]
fn a_shift_is_visible_to_the_program() {
    let place = Place::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    let list = || {
        let mut command = lockheed(&place.user);
        let output = faked(&mut command, file.path())
            .arg("list")
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    fs::write(file.path(), "+0\n").unwrap();
    assert!(list().0, "{:?}", list());
    fs::write(file.path(), "+30y\n").unwrap();
    let (done, error) = list();
    assert!(!done && error.contains("expired"), "{error}");
}

#[test]
#[ignore = "no cluster"]
fn a_wall_clock_that_is_wrong_by_an_hour_takes_no_lock_early_and_keeps_none_late() {
    const LEASE: Duration = Duration::from_secs(4);
    let place = Place::new();
    // It serves plain HTTP, so that the certificates do not matter.
    let proxy = Proxy::start(&place.user);
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    for (name, of_holder, of_waiter) in [
        ("ahead", "+0\n", "+3600\n"),
        ("behind", "+0\n", "-3600\n"),
        ("both", "+3600\n", "-3600\n"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let at = |file: &str| directory.path().join(file);
        fs::write(at("holder"), of_holder).unwrap();
        fs::write(at("waiter"), of_waiter).unwrap();
        let run = |file: &str, command: &str| {
            let mut lockheed = lockheed(&kubeconfig);
            lockheed.args(["run", name, "--duration", "4s", "--", "sh", "-c", command]);
            Kept::spawn(
                faked(&mut lockheed, &at(file))
                    .current_dir(directory.path())
                    .stderr(Stdio::null()),
            )
        };
        let mut holder = run("holder", "echo $$ >pid; exec sleep 1000");
        let pid = number_in(&at("pid"));
        let mut waiter = run("waiter", "cut -d' ' -f1 /proc/uptime | tr -d . >next");
        // While it is held, it is renewed, and the clocks are set to and fro.
        for step in ["-3600\n", "+7200\n", of_holder] {
            fs::write(at("holder"), step).unwrap();
            std::thread::sleep(LEASE);
            assert!(is_alive(pid) && !at("next").exists(), "{name}, {step}");
        }
        holder.signal(nix::sys::signal::Signal::SIGKILL);
        let killed = boottime();
        holder.0.wait().unwrap();
        eventually("the command is gone", || !is_alive(pid));
        let over = boottime();
        let next = Duration::from_millis(10 * u64::try_from(number_in(&at("next"))).unwrap());
        assert!(
            next + Duration::from_millis(10) >= over.min(killed),
            "{name}: it began while the command ran"
        );
        assert!(
            next <= killed + LEASE + Duration::from_secs(2),
            "{name}: {:?} too late",
            next - killed - LEASE
        );
        assert!(waiter.0.wait().unwrap().success());
    }
}
