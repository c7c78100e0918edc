//! Wall clocks that are wrong, or step: nothing follows from them.
//!
//! libfaketime works on programs that are linked dynamically; it leaves the clocks that run since boot alone here.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::SystemTime,
};

use lockheed::Timestamp;

use testkit::{
    eventually,
    process::{Kept, outcome},
};

use crate::support::{Place, content, lockheed};

const HOUR: i64 = 3600;

/// Makes a command see the wall clock as this file says, from one look to the next.
fn fake(command: &mut Command, file: &Path) {
    let environment = Command::new("faketime").args(["-f", "+0", "env"]).output();
    let environment = environment.expect("faketime is needed: apt-get install faketime");
    let environment = String::from_utf8(environment.stdout).unwrap();
    let library = environment
        .lines()
        .find_map(|line| line.strip_prefix("LD_PRELOAD="));
    command
        .env("LD_PRELOAD", library.unwrap())
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

fn now() -> i64 {
    i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

fn expires(place: &Place) -> i64 {
    let json = place.json("x");
    let lease = json["leases"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap()
        .clone();
    let expires: Timestamp = lease["expires"].as_str().unwrap().parse().unwrap();
    i64::try_from(expires.since_unix().as_secs()).unwrap()
}

/// The program itself sees the shift: a new directory's time begins with the wall clock.
fn prove_visible(file: &Path) {
    let place = Place::new();
    fs::write(file, "+1h").unwrap();
    let mut command = place.lockheed(&["acquire", "x", "--id", "a", "--duration", "1h"]);
    fake(&mut command, file);
    assert_eq!(outcome(&mut command).0, 0);
    let ahead = expires(&place) - now();
    assert!(
        (ahead - 2 * HOUR).abs() < 300,
        "the shift is not visible: {ahead}"
    );
}

#[test]
fn a_clock_that_is_an_hour_off_takes_nothing_and_keeps_everything() {
    let place = Place::new();
    let file = place.path("time");
    prove_visible(&file);
    for by in ["+1h", "-1h"] {
        fs::write(&file, by).unwrap();
        place.expect(&["acquire", "x", "--id", "a", "--duration", "1h"], 0);
        let contender = |arguments: &[&str]| {
            let mut command = place.lockheed(arguments);
            fake(&mut command, &file);
            outcome(&mut command).0
        };
        assert_eq!(
            contender(&["acquire", "x", "--id", "b", "--no-wait"]),
            16,
            "{by}"
        );
        assert_eq!(contender(&["renew", "x", "--id", "a"]), 0, "{by}");
        let ahead = expires(&place) - now();
        assert!(
            (ahead - HOUR).abs() < 300,
            "{by}: the wall clock is in the lease: {ahead}"
        );
    }
}

#[test]
fn a_clock_that_steps_while_it_holds_loses_nothing() {
    let place = Place::new();
    let (file, begun, end) = (place.path("time"), place.path("begun"), place.path("end"));
    prove_visible(&file);
    // The directory's time begins with the right clock.
    place.expect(&["list"], 0);
    fs::write(&file, "+0").unwrap();
    let script = format!(
        "echo >{}; while [ ! -e {} ]; do sleep 0.05; done",
        begun.display(),
        end.display()
    );
    let mut holder = lockheed(&[
        "run",
        "x",
        "--duration",
        "20s",
        "--renew-interval",
        "300ms",
        "--",
        "sh",
        "-c",
        &script,
    ]);
    holder
        .env("LOCKHEED_STORE", place.store())
        .stderr(Stdio::piped());
    fake(&mut holder, &file);
    let holder = Kept(holder.spawn().unwrap());
    content(&begun);
    for step in ["+1h", "-1h", "+2h"] {
        fs::write(&file, step).unwrap();
        let before = expires(&place);
        eventually("it is renewed after the step", || expires(&place) != before);
        assert_eq!(
            place.run(&["acquire", "x", "--id", "b", "--no-wait"]).0,
            16,
            "{step}"
        );
        let ahead = expires(&place) - now();
        assert!(
            ahead.abs() < 300,
            "{step}: the wall clock is in the lease: {ahead}"
        );
    }
    // The shell's own sleep is not what is tested.
    fs::write(&file, "+0").unwrap();
    fs::write(&end, "").unwrap();
    let (code, _, stderr) = holder.finish();
    assert_eq!(code, 0, "{stderr}");
}
