//! The live line on a terminal.

use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    process::{Child, Stdio},
};

use nix::{pty::openpty, sys::signal::Signal};

use crate::support::{Place, finish, send};

fn on_terminal(place: &Place, args: &[&str]) -> (Child, File) {
    let pty = openpty(None, None).unwrap();
    let (screen, terminal): (OwnedFd, OwnedFd) = (pty.master, pty.slave);
    let child = place
        .lockpipe()
        .args(args)
        .env("TERM", "xterm")
        .stderr(Stdio::from(terminal))
        .spawn()
        .unwrap();
    (child, File::from(screen))
}

fn read_until(screen: &mut File, text: &str) -> String {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let mut buffer = [0; 1024];
        let length = screen.read(&mut buffer).unwrap();
        seen.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8(seen).unwrap()
}

#[test]
fn a_wait_shows_what_it_waits_for_and_how_long_and_wipes_it() {
    let place = Place::with_pipe();
    let (child, mut screen) = on_terminal(&place, &["-qq", "read", "--timeout", "1h"]);
    let waits_for = format!(" left: waiting for a writer at {:?}", place.pipe());
    let line = read_until(&mut screen, "pipe\"");
    assert!(line.contains(&waits_for), "{line:?}");
    send(&child, Signal::SIGTERM);
    read_until(&mut screen, "\r\x1b[2K");
    finish(child);
}
