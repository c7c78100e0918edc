//! A directory that others may write to, that a cleaner of old files visits, and that containers
//! share: no lock has two holders, and nothing outside the directory is touched.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use nix::{libc, sys::stat::Mode, unistd::mkfifo};
use testkit::{
    eventually,
    process::{Kept, outcome},
    refusal::{Call, refuse},
};

use crate::{
    support::{Place, User, runs, unique},
    trouble::in_namespace,
};

/// All files that the store has in the directory beside the locks.
const FILES: [&str; 5] = [".clock", ".counter", ".guard", ".holders", ".waiting"];

fn version(place: &Place) -> u64 {
    place.json("x")["store"]["version"].as_u64().unwrap()
}

#[test]
fn a_cleaner_of_old_files_gives_nobody_a_lock_that_is_held() {
    let place = Place::new();
    let holder = place.hold("1m");
    for removed in [
        &[".holders"][..],
        &[".guard", ".waiting"],
        &[".clock"],
        &FILES,
    ] {
        for file in removed.iter().filter(|file| **file != ".counter") {
            let _ = fs::remove_file(place.locks().join(file));
        }
        // The store creates the files again.
        place.expect(&["run", "y", "--", "true"], 0);
        let (code, _, stderr) = place.run(&["run", "x", "--no-wait", "--", "true"]);
        assert_eq!(code, 124, "without {removed:?}: {stderr}");
        let before = version(&place);
        eventually("it is renewed", || version(&place) > before + 1);
    }
    place.let_go();
    assert_eq!(holder.finish().0, 0);
    place.expect(&["run", "x", "--no-wait", "--", "true"], 0);
}

#[test]
fn a_clock_that_was_removed_counts_on_whatever_the_wall_clock_says_by_then() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a", "--duration", "1h"], 0);
    let clock = place.locks().join(".clock");
    let before = fs::read_to_string(&clock).unwrap();
    fs::remove_file(&clock).unwrap();
    place.expect(&["acquire", "x", "--id", "b", "--no-wait"], 16);
    assert_eq!(fs::read_to_string(&clock).unwrap(), before);
}

/// For example, `systemd-nspawn(1)` does this.
#[test]
fn another_boot_id_in_a_container_gives_nobody_a_lock_that_is_held() {
    let place = Place::new();
    let holder = place.hold("1m");
    place.expect(&["acquire", "left", "--id", "a", "--duration", "1h"], 0);
    let id = place.path("boot_id");
    fs::write(&id, "01234567-89ab-cdef-0123-456789abcdef\n").unwrap();
    let script = format!(
        "mount --bind {} /proc/sys/kernel/random/boot_id || exit
        for lock in x left; do $1 acquire $lock --id b --no-wait; echo $lock $?; done
        $1 run y -- true; echo y $?",
        id.display()
    );
    let text = in_namespace(&script, &place);
    for expected in ["x 16\n", "left 16\n", "y 0\n"] {
        assert!(text.contains(expected), "{expected:?} is missing: {text}");
    }
    let before = version(&place);
    eventually("it is renewed", || version(&place) > before);
    place.let_go();
    assert_eq!(holder.finish().0, 0);
}

/// The lock's file may also record another boot.
#[test]
fn a_living_holder_is_believed_before_the_boot_id() {
    let place = Place::new();
    let holder = place.hold("1h");
    let guard = place.guard();
    let mut json = place.json("x");
    json["store"]["boot"] = "another".into();
    place.write("x", &json.to_string());
    let listed = place.expect(&["list", "-o", "json"], 0);
    drop(guard);
    assert!(
        listed.contains(r#""held": true"#) || listed.contains(r#""held":true"#),
        "{listed}"
    );
    place.let_go();
    assert_eq!(holder.finish().0, 0);
}

// Holds lockheed-10.
#[test]
fn whoever_may_only_read_can_keep_nobody_from_writing() {
    let place = Place::new();
    place.expect(&["run", "x", "--", "true"], 0);
    let Some(nobody) = User::nobody(&place) else {
        return;
    };
    for file in FILES {
        let path = place.locks().join(file);
        // The modes that an earlier version set.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        place.expect(&["run", "x", "--", "true"], 0);
        let seconds = unique();
        let mut lock = nobody.command("flock");
        let mut lock = Kept::spawn(lock.arg("--no-fork").arg(&path).args(["sleep", &seconds]));
        eventually("it is locked or refused", || {
            runs(&seconds) || lock.0.try_wait().unwrap().is_some()
        });
        let started = Instant::now();
        place.expect(&["run", "x", "--duration", "5s", "--", "true"], 0);
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{file} kept it waiting"
        );
    }
    // As after a reboot: it looks before anybody has written.
    fs::remove_file(place.locks().join(".clock")).unwrap();
    let (code, listed, _) = outcome(&mut nobody.lockheed(&place, &["list", "-o", "name"]));
    assert_eq!((code, listed.as_str()), (0, "x\n"));
}

/// A dead holder's lease is over even for users who may not open `.holders`.
// Holds lockheed-10.
#[test]
fn whoever_may_only_read_sees_who_is_dead() {
    let place = Place::new();
    let mut holder = place.hold("1h");
    let Some(nobody) = User::nobody(&place) else {
        return;
    };
    let is_held = || {
        let (_, listed, stderr) = outcome(&mut nobody.lockheed(&place, &["list", "-o", "json"]));
        let listed: serde_json::Value = serde_json::from_str(&listed).expect(&stderr);
        listed[0]["held"] == true
    };
    assert!(is_held());
    holder.0.kill().unwrap();
    eventually("the lock is free", || !is_held());
}

#[test]
fn a_group_shares_what_is_in_its_directory_and_nobody_else_does() {
    const GROUP: u32 = 47_110;
    let place = Place::new();
    let parent = place.path("shared");
    fs::create_dir(&parent).unwrap();
    let Some(alice) = User::new(&place, 50_001, &[GROUP]) else {
        return;
    };
    let (bob, eve) = (
        User::new(&place, 50_002, &[GROUP]),
        User::new(&place, 50_003, &[]),
    );
    let (bob, eve) = (bob.unwrap(), eve.unwrap());
    for mode in [0o2770, 0o770, 0o2775] {
        let dir = parent.join(format!("{mode:o}"));
        fs::create_dir(&dir).unwrap();
        std::os::unix::fs::chown(&dir, None, Some(GROUP)).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
        let run = |user: &User, arguments: &[&str]| {
            let mut command = user.lockheed(&place, arguments);
            outcome(command.env("LOCKHEED_STORE", format!("dir:{}", dir.display())))
        };
        let expect = |user: &User, arguments: &[&str], status: i32| {
            let (code, stdout, stderr) = run(user, arguments);
            assert_eq!(code, status, "{mode:o} {arguments:?}: {stdout}{stderr}");
        };
        expect(&alice, &["acquire", "x", "--id", "a"], 0);
        // As if Alice had been killed right after she had created the file. Her next use repairs
        // it.
        let guard = dir.join(".guard");
        std::os::unix::fs::chown(&guard, None, Some(50_001)).unwrap();
        fs::set_permissions(&guard, fs::Permissions::from_mode(0o600)).unwrap();
        expect(&alice, &["acquire", "x", "--id", "a"], 0);
        expect(&bob, &["acquire", "x", "--id", "b", "--no-wait"], 16);
        expect(&bob, &["acquire", "x", "--id", "b", "--wait", "100ms"], 110);
        expect(&alice, &["release", "x", "--id", "a"], 0);
        expect(&bob, &["run", "x", "--", "true"], 0);
        expect(&alice, &["run", "x", "--", "true"], 0);
        expect(&eve, &["acquire", "x", "--id", "e"], 13);
    }
}

#[test]
fn a_directory_is_made_with_the_mode_that_is_asked_for() {
    let place = Place::new();
    for (asked, made, files) in [
        ("2770", 0o2770, 0o660),
        ("0660", 0o770, 0o660),
        ("700", 0o700, 0o600),
    ] {
        let dir = place.path(asked);
        let store = format!("dir:{}", dir.display());
        let mut command = Command::new("sh");
        command.args([
            "-c",
            r#"umask 077; exec "$@""#,
            "sh",
            crate::support::LOCKHEED,
        ]);
        command.args(["--store", &store, "--mode", asked, "run", "x", "--", "true"]);
        let (code, _, stderr) = outcome(&mut command);
        assert_eq!(code, 0, "{stderr}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&dir), made, "{asked}");
        for file in FILES.into_iter().chain(["x.json"]) {
            assert_eq!(mode(&dir.join(file)) & 0o666, files, "{asked}: {file}");
        }
    }
    for wrong in ["", "8", "77777", "rwx", "+2770", "1777"] {
        let arguments = ["--mode", wrong, "run", "x", "--", "true"];
        assert_eq!(place.run(&arguments).0, 64, "{wrong:?}");
    }
    for store in ["kube", "lease"] {
        let (code, _, stderr) = place.run(&["--store", store, "--mode", "2770", "list"]);
        let line = "lockheed: --mode is for --store dir:PATH";
        assert!(code == 64 && stderr.starts_with(line), "{stderr}");
    }
}

/// Puts something in the place of one of the store's files.
type Trap<'a> = Box<dyn Fn(&Path) + 'a>;

/// What somebody may put where one of the store's files should be.
fn traps(victim: &Path) -> Vec<(&'static str, Trap<'_>)> {
    let make_huge = |path: &Path| File::create(path).unwrap().set_len(3 << 30).unwrap();
    vec![
        (
            "a symbolic link",
            Box::new(move |path| symlink(victim, path).unwrap()),
        ),
        (
            "another name",
            Box::new(move |path| fs::hard_link(victim, path).unwrap()),
        ),
        (
            "a FIFO",
            Box::new(|path| mkfifo(path, Mode::S_IRWXU).unwrap()),
        ),
        (
            "a directory",
            Box::new(|path| fs::create_dir(path).unwrap()),
        ),
        ("more than", Box::new(make_huge)),
    ]
}

/// A file that is only locked may have any content. Without a queue there is only no order.
fn is_in_the_way(file: &str, what: &str) -> bool {
    match what {
        "another name" | "more than" => ![".guard", ".holders", ".waiting"].contains(&file),
        _ => file != ".waiting",
    }
}

#[test]
fn what_others_put_there_is_not_followed_nor_waited_for_nor_read_whole() {
    let victim_place = Place::new();
    let victim = victim_place.path("victim");
    fs::write(&victim, "00000000000000000007\n").unwrap();
    for (what, lay) in traps(&victim) {
        for file in FILES.into_iter().chain(["x.json"]) {
            let place = Place::new();
            place.expect(&["run", "y", "--", "true"], 0);
            let path = place.locks().join(file);
            let _ = fs::remove_file(&path);
            lay(&path);
            let (code, _, stderr) = place
                .start(&["run", "x", "--no-wait", "--", "true"])
                .finish();
            let status = if is_in_the_way(file, what) { 125 } else { 0 };
            assert_eq!(code, status, "{file} is {what}: {stderr}");
            let is_named = stderr.contains(file) || stderr.contains("lock x");
            let is_told = is_named && (stderr.contains(what) || what == "another name");
            assert!(is_told || status == 0, "{file}, {what}: {stderr}");
            assert_eq!(
                fs::read_to_string(&victim).unwrap(),
                "00000000000000000007\n",
                "{file}"
            );
        }
    }
}

#[test]
fn a_link_under_the_temporary_name_is_not_followed() {
    let place = Place::new();
    let victim = place.path("victim");
    fs::write(&victim, "kept").unwrap();
    for file in ["..clock.new", "..counter.new", ".x.json.new"] {
        symlink(&victim, place.locks().join(file)).unwrap();
    }
    place.expect(&["run", "x", "--", "true"], 0);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
}

#[test]
fn a_list_reports_what_is_no_lock_and_shows_the_others() {
    let place = Place::new();
    place.expect(&["run", "x", "--", "true"], 0);
    for (at, (what, lay)) in traps(&place.path("nothing")).into_iter().enumerate() {
        if what != "another name" {
            lay(&place.file(&format!("trap{at}")));
        }
    }
    let (code, stdout, stderr) = place.start(&["list", "-o", "name"]).finish();
    assert_eq!((code, stdout.as_str()), (0, "x\n"), "{stderr}");
    for what in [
        "trap0",
        "a symbolic link",
        "a FIFO",
        "a directory",
        "more than",
    ] {
        assert!(stderr.contains(what), "{what:?} is missing: {stderr}");
    }
    assert_eq!(place.start(&["inspect", "trap2"]).finish().0, 22);
}

#[test]
fn after_the_highest_token_there_is_an_error_and_no_other_token() {
    let place = Place::new();
    place.expect(&["run", "x", "--", "true"], 0);
    let counter = place.locks().join(".counter");
    fs::write(&counter, "18446744073709551614\n").unwrap();
    let last = place.expect(&["acquire", "x", "--id", "a", "--duration", "1h"], 0);
    assert_eq!(last, "18446744073709551615\n");
    let before = fs::read_to_string(&counter).unwrap();
    for arguments in [
        &["acquire", "y", "--id", "a"][..],
        &["release", "x", "--id", "a"],
    ] {
        let (code, stdout, stderr) = place.run(arguments);
        assert_eq!((code, stdout.as_str()), (75, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(".counter"), "{stderr}");
        assert_eq!(fs::read_to_string(&counter).unwrap(), before);
    }
}

/// If the directory itself cannot be synced to the disk, no token is given that depends on it.
#[test]
fn names_are_on_the_disk_before_anything_rests_on_them() {
    let place = Place::new();
    let acquire = ["acquire", "x", "--id", "a"];
    let sync = Call::any(libc::SYS_fsync);
    let (code, stdout, stderr) = outcome(refuse(&mut place.lockheed(&acquire), sync, libc::EIO));
    assert_eq!((code, stdout.as_str()), (5, ""), "{stderr}");
    assert!(stderr.contains("cannot write"), "{stderr}");
    assert_eq!(place.expect(&acquire, 0), "1\n");
}

/// After a crash the disk has only what was synced: the limit, and perhaps an older number.
// Holds lockheed-5.
#[test]
fn after_a_crash_tokens_go_on_above_all_that_were_given() {
    let place = Place::new();
    let token = || -> u64 {
        let printed = place.expect(&["acquire", "x", "--id", "a"], 0);
        place.expect(&["release", "x", "--id", "a"], 0);
        printed.trim().parse().unwrap()
    };
    let first = token();
    let counter = place.locks().join(".counter");
    let synced = fs::read_to_string(&counter).unwrap();
    let last = (0..3).map(|_| token()).max().unwrap();
    assert!(last > first);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(
        &counter,
        synced.replace(boot.trim(), "01234567-89ab-cdef-0123-456789abcdef"),
    )
    .unwrap();
    assert!(token() > last);
}
