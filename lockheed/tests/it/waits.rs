//! Reports on a wait, with and without a terminal.

use std::{
    fs::{self, File},
    io::Read,
    process::Stdio,
};

use nix::{
    pty::{Winsize, openpty},
    sys::signal::Signal,
};
use testkit::{eventually, process::Kept};

use crate::support::Place;

/// Starts a command whose standard error goes to this file.
fn logging(place: &Place, log: &str, arguments: &[&str]) -> Kept {
    let log = File::create(place.path(log)).unwrap();
    let mut command = place.lockheed(arguments);
    Kept::spawn(command.stderr(log).stdout(Stdio::null()))
}

fn lines(place: &Place, log: &str) -> Vec<String> {
    let text = fs::read_to_string(place.path(log)).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_wait_without_a_terminal_is_told_when_it_begins_changes_and_ends() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a", "--duration", "1h"], 0);
    let waiter = logging(&place, "log", &["run", "x", "--", "true"]);
    let quiet = logging(&place, "quiet", &["-q", "run", "x", "--", "true"]);
    eventually("the beginning is told", || lines(&place, "log").len() == 1);
    // The same holder is not reported again.
    for _ in 0..3 {
        place.expect(&["renew", "x", "--id", "a"], 0);
    }
    let force = ["--force", "acquired equals true", "--duration", "1h"];
    place.expect(&[&["acquire", "x", "--id", "b"], &force[..]].concat(), 0);
    eventually("the next holder is told", || {
        lines(&place, "log").len() == 2
    });
    quiet.signal(Signal::SIGTERM);
    assert_eq!(quiet.finish().0, 143);
    place.expect(&["release", "x", "--id", "b"], 0);
    assert_eq!(waiter.finish().0, 0);
    let lines = lines(&place, "log");
    assert_eq!(lines.len(), 3, "{lines:?}");
    let until =
        |id: &str| format!("[INFO  lockheed] lock x: waiting: it is held by \"{id}\" until 20");
    assert!(lines[0].starts_with(&until("a")), "{lines:?}");
    assert!(lines[1].starts_with(&until("b")), "{lines:?}");
    // The time is shown to the second.
    assert!(
        lines[0].ends_with('Z') && !lines[0].contains('.'),
        "{lines:?}"
    );
    assert!(
        lines[2].contains("lock x: acquired, with token "),
        "{lines:?}"
    );
    assert!(lines[2].contains(", after "), "{lines:?}");
    assert_eq!(fs::read_to_string(place.path("quiet")).unwrap(), "");
}

#[test]
fn who_does_not_wait_says_nothing_more() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a"], 0);
    for arguments in [
        &["acquire", "x", "--no-wait"][..],
        &["acquire", "x", "--wait", "0"],
        &["acquire", "x", "--wait", "20ms"],
        &["run", "x", "--no-wait", "--", "true"],
    ] {
        let (_, _, stderr) = place.run(arguments);
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("lockheed: "), "{stderr}");
    }
    place.expect(&["release", "x", "--id", "a"], 0);
    assert_eq!(place.run(&["run", "x", "--", "true"]).2, "");
}

#[test]
fn a_wait_that_is_stopped_says_so() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a"], 0);
    for arguments in [&["run", "x", "--", "true"][..], &["acquire", "x"]] {
        let waiter = logging(&place, "log", arguments);
        eventually("the beginning is told", || lines(&place, "log").len() == 1);
        waiter.signal(Signal::SIGTERM);
        assert_eq!(waiter.finish().0, 143);
        let lines = lines(&place, "log");
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[1].contains("lock x: stopped waiting after "),
            "{lines:?}"
        );
    }
}

#[test]
fn a_wait_on_a_terminal_is_one_line_of_its_width() {
    const COLUMNS: u16 = 50;
    let place = Place::new();
    let id = "a-name-that-is-longer-than-what-a-terminal-has-room-for";
    place.expect(&["acquire", "x", "--id", id], 0);
    let size = Winsize {
        ws_row: 10,
        ws_col: COLUMNS,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(&size, None).unwrap();
    let mut command = place.lockheed(&["acquire", "x", "--wait", "1h"]);
    command.env("TERM", "xterm").stdout(Stdio::null());
    let waiter = Kept::spawn(command.stderr(terminal.slave));
    let mut screen = File::from(terminal.master);
    let mut shown = String::new();
    eventually("the line is shown", || {
        let mut bytes = [0; 4096];
        let read = screen.read(&mut bytes).unwrap();
        shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
        // The text comes in parts.
        shown.contains("left: waiting for lock x: it is") && shown.ends_with("\x1b[?7h")
    });
    drop(waiter);
    assert!(!shown.contains("INFO"), "{shown:?}");
    let start = shown.find("\x1b[?7l").unwrap() + "\x1b[?7l".len();
    let end = shown[start..].find("\x1b[?7h").unwrap() + start;
    let first = &shown[start..end];
    assert_eq!(first.chars().count(), usize::from(COLUMNS), "{first:?}");
    assert!(first.ends_with('…'), "{first:?}");
    assert!(first.starts_with(|c: char| c.is_ascii_digit()), "{first:?}");
}

/// No usage shows it, as only another option needs it.
#[cfg(feature = "kube")]
#[test]
fn an_option_that_another_one_needs_is_named() {
    let arguments = ["run", "x", "--long-wait", "1s", "--", "true"];
    let (code, _, stderr) = Place::new().run(&arguments);
    let said = "lockheed: missing --events (see lockheed run --help)\n";
    assert_eq!((code, &*stderr), (64, said));
}
