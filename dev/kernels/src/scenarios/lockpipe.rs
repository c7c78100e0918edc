//! Named pipes on which processes wait for each other.

use std::{fs, path::Path};

use nix::{libc, sys::signal::Signal};
use testkit::{
    eventually,
    process::{Kept, assert_sleeps},
};

use super::scenarios;
use crate::place::{Place, child_of, descriptors, ends, send};

scenarios![
    one_write_lets_every_reader_go,
    one_read_lets_every_writer_go,
    what_is_written_is_read_to_its_end,
    a_pipe_is_made_found_and_deleted,
    a_deleted_pipe_ends_the_wait,
    a_moved_pipe_ends_the_wait_among_other_files,
    signals_end_the_wait,
    a_signal_ends_the_first_process_of_a_container,
    a_timeout_ends_the_wait,
    a_waiter_sleeps,
];

fn reader(place: &Place, more: &[&str]) -> Kept {
    let reader = place.start("lockpipe", &[&["read"], more].concat());
    await_reader(reader.pid(), &place.path("pipe"));
    reader
}

fn writer(place: &Place, more: &[&str]) -> Kept {
    let writer = place.start("lockpipe", &[&["write"], more].concat());
    await_writer(writer.pid());
    writer
}

/// Waits until a reader has found the pipe with one descriptor, and opened it for reading with
/// another.
fn await_reader(reader: i32, pipe: &Path) {
    eventually("the reader has the pipe open", || {
        descriptors(reader, pipe) == 2
    });
}

/// Waits until a thread of a writer blocks in its open.
fn await_writer(writer: i32) {
    // musl calls `open` if the architecture has it.
    #[cfg(target_arch = "x86_64")]
    let open = libc::SYS_open;
    #[cfg(not(target_arch = "x86_64"))]
    let open = libc::SYS_openat;
    let open = format!("{open} ");
    let is_opening = |task: &Path| {
        let read = |file| fs::read_to_string(task.join(file)).unwrap_or_default();
        read("comm") == "fifo open\n" && read("syscall").starts_with(&open)
    };
    eventually("the writer blocks in its open", || {
        let tasks = fs::read_dir(format!("/proc/{writer}/task"));
        tasks
            .into_iter()
            .flatten()
            .flatten()
            .any(|task| is_opening(&task.path()))
    });
}

fn one_write_lets_every_reader_go(place: &Place) {
    let readers = [&[][..], &["--timeout", "1h"], &[], &["--timeout", "1h"]];
    let readers = readers.map(|more| reader(place, more));
    place.expect("lockpipe", &["write"], 0);
    readers.into_iter().for_each(|reader| drop(ends(reader, 0)));
}

fn one_read_lets_every_writer_go(place: &Place) {
    let writers = [&[][..], &["--timeout", "1h"], &[], &["--timeout", "1h"]];
    let writers = writers.map(|more| writer(place, more));
    place.expect("lockpipe", &["read"], 0);
    writers.into_iter().for_each(|writer| drop(ends(writer, 0)));
}

fn what_is_written_is_read_to_its_end(place: &Place) {
    let reader = reader(place, &[]);
    // Several times as much as a pipe can hold.
    place.expect("sh", &["-c", "head -c 1000000 /dev/zero >pipe"], 0);
    ends(reader, 0);
}

fn a_pipe_is_made_found_and_deleted(place: &Place) {
    for (command, status) in [
        ("exists", 1),
        ("create", 0),
        ("create", 0),
        ("exists", 0),
        ("delete", 0),
        ("exists", 1),
        ("delete", 0),
    ] {
        place.expect("lockpipe", &[command], status);
    }
    place.write("pipe", "text");
    for command in ["create", "read", "write", "exists", "delete"] {
        place.expect("lockpipe", &[command], 17);
    }
    assert_eq!(place.lines("pipe"), ["text"]);
}

fn a_deleted_pipe_ends_the_wait(place: &Place) {
    for (start, more) in [
        (reader as fn(&Place, &[&str]) -> Kept, &[][..]),
        (reader, &["--timeout", "1h"]),
        (writer, &[]),
        (writer, &["--timeout", "1h"]),
    ] {
        let waiter = start(place, more);
        place.expect("lockpipe", &["delete"], 0);
        ends(waiter, 2);
    }
}

/// With so many other files, the tool stops watching the directory, and watches the pipe instead.
fn a_moved_pipe_ends_the_wait_among_other_files(place: &Place) {
    let waiter = reader(place, &[]);
    for number in 0..100 {
        let other = place.path(&format!("other-{number}"));
        fs::write(&other, "").unwrap();
        fs::remove_file(other).unwrap();
    }
    fs::rename(place.path("pipe"), place.path("elsewhere")).unwrap();
    ends(waiter, 2);
}

fn signals_end_the_wait(place: &Place) {
    for start in [reader, writer] {
        for (signal, status) in [
            (Signal::SIGTERM, 143),
            (Signal::SIGINT, 130),
            (Signal::SIGHUP, 129),
        ] {
            let waiter = start(place, &[]);
            send(waiter.pid(), signal);
            ends(waiter, status);
        }
    }
    place.expect("lockpipe", &["exists"], 0);
}

fn a_signal_ends_the_first_process_of_a_container(place: &Place) {
    let container = place.start(
        "unshare",
        &["--pid", "--fork", "--mount-proc", "lockpipe", "read"],
    );
    let first = child_of(container.pid());
    await_reader(first, &place.path("pipe"));
    send(first, Signal::SIGTERM);
    ends(container, 143);
}

fn a_timeout_ends_the_wait(place: &Place) {
    let other = reader(place, &[]);
    place.expect("lockpipe", &["read", "--timeout", "100ms"], 110);
    place.expect("lockpipe", &["write"], 0);
    ends(other, 0);
    place.expect("lockpipe", &["write", "--timeout", "100ms"], 110);
}

fn a_waiter_sleeps(place: &Place) {
    let waiter = reader(place, &[]);
    assert_sleeps(&[waiter.pid()]);
    place.expect("lockpipe", &["write"], 0);
    ends(waiter, 0);
}
