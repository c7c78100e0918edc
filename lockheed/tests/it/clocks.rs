//! Wall clocks that are wrong, or step, have no effect.
//!
//! Only dynamically linked programs can be given such a clock.

use std::{fs, process::Stdio, time::SystemTime};

use lockheed::Timestamp;

use testkit::{
    WallClocks, eventually,
    process::{Kept, outcome},
};

use crate::support::{Place, content, lockheed};

const HOUR: i64 = 3600;

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

/// Checks that the program sees the shift: a new directory's time starts with the wall clock.
fn prove_visible(clocks: &WallClocks) {
    let place = Place::new();
    clocks.set("its", HOUR);
    let mut command = place.lockheed(&["acquire", "x", "--id", "a", "--duration", "1h"]);
    clocks.of(&mut command, "its");
    assert_eq!(outcome(&mut command).0, 0);
    let ahead = expires(&place) - now();
    assert!(
        (ahead - 2 * HOUR).abs() < 300,
        "the shift is not visible: {ahead}"
    );
}

// Holds lockheed-2.
#[test]
fn a_clock_that_is_an_hour_off_takes_nothing_and_keeps_everything() {
    let place = Place::new();
    let clocks = WallClocks::set_up();
    prove_visible(&clocks);
    for by in [HOUR, -HOUR] {
        clocks.set("its", by);
        place.expect(&["acquire", "x", "--id", "a", "--duration", "1h"], 0);
        let contender = |arguments: &[&str]| {
            let mut command = place.lockheed(arguments);
            clocks.of(&mut command, "its");
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

// Holds lockheed-2.
#[test]
fn a_clock_that_steps_while_it_holds_loses_nothing() {
    let place = Place::new();
    let (clocks, begun, end) = (WallClocks::set_up(), place.path("begun"), place.path("end"));
    prove_visible(&clocks);
    // The directory's time starts with the right clock.
    place.expect(&["list"], 0);
    clocks.set("its", 0);
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
    clocks.of(&mut holder, "its");
    let holder = Kept(holder.spawn().unwrap());
    content(&begun);
    for step in [HOUR, -HOUR, 2 * HOUR] {
        clocks.set("its", step);
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
    // The shell's own sleep is not under test.
    clocks.set("its", 0);
    fs::write(&end, "").unwrap();
    let (code, _, stderr) = holder.finish();
    assert_eq!(code, 0, "{stderr}");
}
