//! Full disks, read-only mounts, missing permissions and broken directories cause clear errors, and
//! leave nothing half-written.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use testkit::process::outcome;

use crate::support::{LOCKHEED, Place, User, lockheed};

/// Runs a script in its own mount namespace, where it may mount anything at `$2`; `$1` is the
/// binary.
pub(crate) fn in_namespace(script: &str, place: &Place) -> String {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .args(["--mount", "bash", "-c", script, "bash", LOCKHEED])
        .arg(place.locks());
    command.env("LOCKHEED_STORE", place.store());
    let (code, stdout, stderr) = outcome(&mut command);
    assert_eq!(code, 0, "{stdout}{stderr}");
    stdout + &stderr
}

#[test]
fn a_full_disk_is_28_and_leaves_what_was_there() {
    let place = Place::new();
    let script = r#"set -e; mount -t tmpfs -o size=64k none $2; cd $2
        $1 acquire x --id a --duration 1h >/dev/null; cp x.json /dev/shm/before.$$
        dd if=/dev/zero of=fill bs=1k 2>/dev/null || true
        set +e
        $1 renew x --id a; echo renew $?
        $1 run y -- true; echo run $?
        cmp x.json /dev/shm/before.$$ && echo same; rm /dev/shm/before.$$
        ls -A | grep -c -e new -e y.json
        rm fill; $1 renew x --id a; echo renew $?"#;
    let text = in_namespace(script, &place);
    for expected in [
        "renew 28\n",
        "run 125\n",
        "same\n",
        "0\n",
        "renew 0\n",
        "No space left on device",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing: {text}");
    }
}

#[test]
fn a_read_only_mount_can_be_looked_at() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a"], 0);
    let script = r#"set -e; mount --bind $2 $2; mount -o remount,bind,ro $2; set +e
        $1 list -o name; $1 inspect x >/dev/null; echo inspect $?
        $1 acquire y --id a; echo acquire $?
        $1 release x --id a; echo release $?"#;
    let text = in_namespace(script, &place);
    for expected in [
        "x\n",
        "inspect 0\n",
        "acquire 30\n",
        "release 30\n",
        "Read-only file system",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing: {text}");
    }
}

#[test]
fn without_the_right_to_write_it_is_13() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a"], 0);
    let Some(nobody) = User::nobody(&place) else {
        fs::set_permissions(place.locks(), fs::Permissions::from_mode(0o555)).unwrap();
        assert_eq!(place.run(&["acquire", "y", "--id", "a"]).0, 13);
        return;
    };
    let as_nobody = |arguments: &[&str]| outcome(&mut nobody.lockheed(&place, arguments));
    assert_eq!(as_nobody(&["list", "-o", "name"]).1, "x\n");
    let (code, _, stderr) = as_nobody(&[
        "acquire",
        "x",
        "--id",
        "b",
        "--force",
        "acquired equals true",
    ]);
    assert_eq!(code, 13, "{stderr}");
    assert!(stderr.contains("Permission denied"), "{stderr}");
}

#[test]
fn a_directory_that_is_none_or_was_spoilt_is_told() {
    let place = Place::new();
    fs::write(place.path("file"), "").unwrap();
    let store = format!("dir:{}", place.path("file").display());
    let (code, _, stderr) = outcome(&mut lockheed(&["--store", &store, "list"]));
    assert_eq!(code, 20, "{stderr}");

    place.expect(&["run", "x", "--", "true"], 0);
    fs::write(place.locks().join(".counter"), "").unwrap();
    let (code, _, stderr) = place.run(&["acquire", "x", "--id", "a"]);
    assert_eq!(code, 22);
    assert!(
        stderr.contains(
            "does not contain a number: write one there that is higher than every token so far"
        ),
        "{stderr}"
    );
    fs::remove_file(place.locks().join(".counter")).unwrap();
    let (code, _, stderr) = place.run(&["acquire", "x", "--id", "a"]);
    assert_eq!(code, 22);
    assert!(
        stderr.contains("is missing, though there are locks"),
        "{stderr}"
    );
    fs::write(place.locks().join(".counter"), "00000000000000001000\n").unwrap();
    assert_eq!(place.expect(&["acquire", "x", "--id", "a"], 0), "1001\n");
}

#[test]
fn another_time_namespace_is_refused() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a"], 0);
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--time", "--boottime", "1000", "--fork", LOCKHEED, "list"]);
    let (code, _, stderr) = outcome(command.env("LOCKHEED_STORE", place.store()));
    assert_eq!(code, 22, "{stderr}");
    assert!(stderr.contains("another time namespace"), "{stderr}");
}

/// Writers are killed with SIGKILL at any moment: the lock stays whole, and can be acquired again.
#[test]
fn writers_killed_at_any_moment_leave_a_whole_lock() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a", "--duration", "1h"], 0);
    for round in 0..150_u64 {
        let mut writer = place.start(&["renew", "x", "--id", "a"]);
        std::thread::sleep(std::time::Duration::from_micros(round * 61 % 9000));
        let _ = writer.0.kill();
        let _ = writer.0.wait();
        assert_eq!(place.leases("x"), ["a"], "round {round}");
    }
    place.expect(&["renew", "x", "--id", "a"], 0);
    place.expect(&["release", "x", "--id", "a"], 0);
}
