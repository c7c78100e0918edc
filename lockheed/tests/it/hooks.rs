//! `run --on-wait` and `--on-lost`: scripts that run beside the command.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::{
    eventually,
    process::{Kept, is_alive, number_in},
};

use crate::support::{Place, content, runs, unique};

impl Place {
    /// Runs a command with these scripts in its own directory; its log is in `stderr`.
    fn hooked(&self, arguments: &[&str], command: &[&str]) -> Kept {
        let log = fs::File::create(self.path("stderr")).unwrap();
        let mut run = self.lockheed(&[&["run", "x"], arguments, &["--"], command].concat());
        Kept::spawn(run.current_dir(self.path("")).stderr(log))
    }

    fn has_logged(&self, text: &str) -> bool {
        fs::read_to_string(self.path("stderr"))
            .unwrap()
            .contains(text)
    }

    fn other_holds(&self) {
        self.expect(
            &[
                "acquire",
                "x",
                "--id",
                "other",
                "--tag",
                "t",
                "--duration",
                "1h",
            ],
            0,
        );
    }

    fn other_releases(&self) {
        self.expect(&["release", "x", "--id", "other"], 0);
    }

    fn news(&self, file: &str) -> Value {
        serde_json::from_str(&content(&self.path(file))).unwrap()
    }
}

/// The command writes this, and then waits.
const WORK: [&str; 3] = ["sh", "-c", "echo >begun; exec sleep 1000"];

#[test]
fn the_scripts_read_what_inspect_shows_and_what_has_happened() {
    let place = Place::new();
    place.other_holds();
    let hooks = [
        "--id",
        "me",
        "--on-wait",
        "cat >wait",
        "--on-lost",
        "cat >lost",
    ];
    let mut run = place.hooked(&hooks, &WORK);
    let wait = place.news("wait");
    let shown = place.expect(&["inspect", "x", "-o", "json"], 0);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    for field in [
        "name", "key", "held", "tags", "version", "expired", "record",
    ] {
        assert_eq!(wait[field], shown[field], "{wait:#}");
    }
    assert_eq!(wait["holders"][0]["id"], "other");
    assert_eq!(wait["event"], "wait");
    assert_eq!(wait["token"], Value::Null);
    let reason = wait["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("it is held by \"other\" until"),
        "{reason}"
    );
    let id = wait["id"].as_str().unwrap();
    assert!(id.starts_with("me-"), "{id}");

    place.other_releases();
    content(&place.path("begun"));
    assert_eq!(place.leases("x"), [id]);
    place.expect(&["break", "x", "--yes"], 0);
    let lost = place.news("lost");
    assert_eq!((&lost["event"], &lost["id"]), (&"lost".into(), &id.into()));
    assert_eq!(lost["reason"], "somebody else took it, or ended it");
    assert_eq!(lost["held"], false);
    assert!(lost["token"].as_u64().unwrap() > 1, "{lost:#}");
    assert_eq!(run.status(), 122);
}

/// The lock is held even while the script hangs: a second and a half, with a lease of one second.
#[test]
fn a_script_that_hangs_is_ended_and_holds_up_nothing() {
    let place = Place::new();
    place.other_holds();
    let (first, second) = (unique(), unique());
    let stubborn = format!("trap '' TERM; sleep {first}& sleep {second}");
    let begun = Instant::now();
    let wait = ["--wait", "300ms", "--on-wait", &stubborn];
    let mut run = place.hooked(&wait, &["true"]);
    assert_eq!(run.status(), 124);
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "it held the end up"
    );
    assert!(!runs(&first) && !runs(&second));

    let hooks = [
        "--duration",
        "1s",
        "--hook-timeout",
        "1500ms",
        "--on-wait",
        &stubborn,
    ];
    let mut run = place.hooked(&hooks, &WORK);
    eventually("the script runs", || runs(&first) && runs(&second));
    place.other_releases();
    // The command has started while the script still runs, and its lease is renewed.
    content(&place.path("begun"));
    assert!(runs(&second));
    eventually("the script is ended", || !runs(&first) && !runs(&second));
    let said = "the script of --on-wait did not end within 1s 500ms, and was ended";
    eventually("it is said", || place.has_logged(said));
    assert_eq!(place.leases("x").len(), 1);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.status(), 143);
    assert!(!place.has_logged("lost"));
}

#[test]
fn a_loss_makes_room_and_its_script_has_its_time() {
    let place = Place::new();
    place.other_holds();
    let long = unique();
    let hang = format!("trap '' TERM; while sleep {long}; do :; done");
    let slow = "cat >lost; sleep 1; echo >done";
    let hooks = [
        "--hook-timeout",
        "1h",
        "--on-wait",
        &hang,
        "--on-lost",
        slow,
    ];
    let mut run = place.hooked(&hooks, &WORK);
    eventually("the script runs", || runs(&long));
    place.other_releases();
    content(&place.path("begun"));
    place.expect(&["break", "x", "--yes"], 0);
    assert_eq!(run.status(), 122);
    assert!(place.path("done").exists());
    assert!(!runs(&long));
    let said = "the script of --on-wait was ended, since the lock was lost";
    assert!(place.has_logged(said));
}

/// The command is ended before the lease expires. This is reported and counted as a loss.
#[test]
fn a_lease_that_cannot_be_renewed_is_lost() {
    let place = Place::new();
    let metrics = place.path("x.prom");
    let lost = "cat >lost";
    let hooks = [
        "--duration",
        "2s",
        "--on-lost",
        lost,
        "--metrics",
        metrics.to_str().unwrap(),
    ];
    let command = ["sh", "-c", "echo $$ >begun; exec sleep 1000"];
    let mut run = place.hooked(&hooks, &command);
    let command = number_in(&place.path("begun"));
    let guard = place.guard();
    eventually("the command is ended", || !is_alive(command));
    drop(guard);
    assert_eq!(run.status(), 122);
    assert_eq!(place.news("lost")["reason"], "it expired");
    assert!(place.has_logged("lock x: lost: it expired"));
    let text = fs::read_to_string(&metrics).unwrap();
    assert!(text.contains("lockheed_losses_total{"), "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("lockheed_losses") && line.ends_with(" 1"))
    );
}

#[test]
fn a_script_that_fails_is_a_warning() {
    let place = Place::new();
    let cases = [
        (
            "echo words; exit 3",
            "the script of --on-wait ended with status 3",
        ),
        (
            "kill -USR1 $$",
            "the script of --on-wait was ended by signal 10",
        ),
        (
            "exec /no/such/program",
            "the script of --on-wait ended with status 127",
        ),
    ];
    for (script, said) in cases {
        place.other_holds();
        let mut run = place.hooked(&["--on-wait", script], &["sh", "-c", "exit 7"]);
        eventually("it is said", || place.has_logged(said));
        place.other_releases();
        assert_eq!(run.status(), 7);
    }
}

/// The script's standard input is a file, and larger than a pipe.
#[test]
fn a_script_need_not_read() {
    let place = Place::new();
    place.other_holds();
    let tag = "t".repeat(200_000);
    place.expect(&["renew", "x", "--id", "other"], 0);
    let text = fs::read_to_string(place.file("x")).unwrap();
    place.write("x", &text.replace("\"t\"", &format!("\"{tag}\"")));
    for script in [
        "exec <&-; echo >ready; echo words",
        "echo >ready",
        "wc -c >ready",
    ] {
        let mut run = place.hooked(&["--on-wait", script], &["true"]);
        content(&place.path("ready"));
        run.signal(Signal::SIGTERM);
        assert_eq!(run.status(), 143);
        for failure in ["with status", "by signal", "cannot run"] {
            assert!(!place.has_logged(failure), "{script}");
        }
        fs::remove_file(place.path("ready")).unwrap();
    }
}

/// Processes in the script's process group are ended in time; others are not.
#[test]
fn what_a_script_leaves_in_the_background_is_ended_in_time() {
    let place = Place::new();
    place.other_holds();
    let (near, far) = (unique(), unique());
    let script = format!("sleep {near} & setsid sleep {far} & echo >ready");
    let hooks = ["--hook-timeout", "1s", "--on-wait", &script];
    let mut run = place.hooked(&hooks, &WORK);
    content(&place.path("ready"));
    eventually("both run", || runs(&near) && runs(&far));
    eventually("one is ended", || !runs(&near));
    assert!(runs(&far));
    eventually("it is said", || place.has_logged("did not end within 1s"));
    place.other_releases();
    content(&place.path("begun"));
    run.signal(Signal::SIGTERM);
    assert_eq!(run.status(), 143);
    assert!(runs(&far));
    let mut kill = std::process::Command::new("pkill");
    assert!(
        kill.args(["-f", &format!("^sleep {far}$")])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_script_inherits_the_standard_streams_and_no_signals() {
    let place = Place::new();
    place.other_holds();
    let script =
        "ls /proc/self/fd | wc -l >fds; grep -E 'SigBlk|SigIgn' /proc/self/status >signals";
    let log = fs::File::create(place.path("stderr")).unwrap();
    let mut command = std::process::Command::new("env");
    command
        .args(["--block-signal=USR1", "--ignore-signal=HUP"])
        .arg(crate::support::LOCKHEED)
        .args(["run", "x", "--on-wait", script, "--", "sh", "-c"])
        .arg("ls /proc/self/fd | wc -l >commands")
        .env("LOCKHEED_STORE", place.store())
        .current_dir(place.path(""))
        .stderr(log);
    let mut run = Kept::spawn(&mut command);
    eventually("the script has ended", || {
        fs::read_to_string(place.path("signals")).is_ok_and(|text| text.lines().count() == 2)
    });
    let masks = fs::read_to_string(place.path("signals")).unwrap();
    for mask in masks.lines() {
        let (_, digits) = mask.split_once('\t').unwrap();
        // The C library keeps two or three signals for itself.
        assert_eq!(&digits[9..], "0000000", "{masks}");
    }
    place.other_releases();
    assert_eq!(run.status(), 0);
    // The script has as many descriptors as the command, which has those that lockheed was started
    // with.
    let [hooks, commands] = ["fds", "commands"].map(|file| number_in(&place.path(file)));
    assert_eq!(hooks, commands);
}

/// With `--restart` the script continues during the next life, and is ended in time there.
#[test]
fn a_script_outlives_the_life_that_has_started_it() {
    let place = Place::new();
    let long = unique();
    let hang = format!("cat >>lost; echo $$ >script; sleep {long}");
    let hooks = ["--restart", "--hook-timeout", "2s", "--on-lost", &hang];
    let command = ["sh", "-c", "echo $LOCKHEED_TOKEN >>lives; exec sleep 1000"];
    let mut run = place.hooked(&hooks, &command);
    content(&place.path("lives"));
    place.expect(&["break", "x", "--yes"], 0);
    let lives = || {
        fs::read_to_string(place.path("lives"))
            .unwrap()
            .lines()
            .count()
    };
    eventually("the command runs again", || lives() == 2);
    let script = number_in(&place.path("script"));
    assert!(is_alive(script));
    eventually("the script is ended", || !is_alive(script));
    eventually("it is said", || place.has_logged("did not end within 2s"));
    eventually("nothing of it is left", || {
        !std::path::Path::new(&format!("/proc/{script}")).exists()
    });
    run.signal(Signal::SIGTERM);
    assert_eq!(run.status(), 143);
    assert_eq!(content(&place.path("lost")).lines().count(), 1);
}

#[test]
fn a_script_must_be_one() {
    let place = Place::new();
    for wrong in [
        ["--on-wait", ""],
        ["--on-lost", ""],
        ["--hook-timeout", "0"],
    ] {
        let arguments = [&["run", "x"], &wrong[..], &["--", "true"]].concat();
        let (status, _, error) = place.run(&arguments);
        assert_eq!(status, 64, "{error}");
        assert!(error.contains(wrong[0]), "{error}");
    }
}
