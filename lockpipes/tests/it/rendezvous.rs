//! Readers and writers meet: one lets all the others go, and nobody waits forever.

use std::{fs::File, io::Write, process::Child};

use crate::support::{Place, await_reader, await_writer, eventually, finish_with, pid};

const CROWD: usize = 1_000;

// Holds lockpipes-1.
#[test]
fn one_write_lets_a_thousand_readers_go_with_and_without_timeouts() {
    let place = Place::with_pipe();
    let start = |i: usize| match i % 2 {
        0 => place.start(&["read"]),
        _ => place.start(&["read", "--timeout", "1h"]),
    };
    let readers: Vec<Child> = (0..CROWD).map(start).collect();
    readers
        .iter()
        .for_each(|reader| await_reader(pid(reader), &place.pipe()));
    place.run(&["write"], 0);
    readers
        .into_iter()
        .for_each(|reader| drop(finish_with(reader, 0)));
}

// Holds lockpipes-1.
#[test]
fn one_read_lets_a_thousand_writers_go_with_and_without_timeouts() {
    let place = Place::with_pipe();
    let start = |i: usize| match i % 2 {
        0 => place.start(&["write"]),
        _ => place.start(&["write", "--timeout", "1h"]),
    };
    let writers: Vec<Child> = (0..CROWD).map(start).collect();
    writers.iter().for_each(|writer| await_writer(pid(writer)));
    place.run(&["read"], 0);
    writers
        .into_iter()
        .for_each(|writer| drop(finish_with(writer, 0)));
}

// Holds lockpipes-4.
#[test]
fn a_timeout_leaves_the_other_waiters_waiting() {
    let place = Place::with_pipe();
    let reader = place.start(&["read"]);
    await_reader(pid(&reader), &place.pipe());
    assert!(
        place
            .run(&["-qq", "read", "--timeout", "50ms"], 110)
            .contains("no writer")
    );
    await_reader(pid(&reader), &place.pipe());
    place.run(&["write"], 0);
    finish_with(reader, 0);

    let writer = place.start(&["write"]);
    await_writer(pid(&writer));
    let timed = place.run(&["-qq", "write", "--timeout", "50ms"], 110);
    assert!(timed.contains("no reader"), "{timed}");
    await_writer(pid(&writer));
    place.run(&["read"], 0);
    finish_with(writer, 0);
}

// Holds lockpipes-3.
#[test]
fn two_gibibytes_are_discarded_in_constant_memory() {
    const MEBIBYTE: usize = 1 << 20;
    let place = Place::with_pipe();
    let reader = place.start(&["read"]);
    let mut writer = File::options().write(true).open(place.pipe()).unwrap();
    let block = vec![b'x'; MEBIBYTE];
    for _ in 0..2048 {
        writer.write_all(&block).unwrap();
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid(&reader))).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 8 * 1024, "{peak} kB");
    drop(writer);
    finish_with(reader, 0);
}

// Holds lockpipes-5.
#[test]
fn reading_lasts_until_the_last_writer_has_closed() {
    let place = Place::with_pipe();
    let reader = place.start(&["read"]);
    let open = || File::options().write(true).open(place.pipe()).unwrap();
    let (first, mut second) = (open(), open());
    drop(first);
    // The reader takes more than the pipe can hold, so it is still there and reading.
    second.write_all(&[0; 1 << 20]).unwrap();
    drop(second);
    finish_with(reader, 0);
}

#[test]
fn a_readers_timeout_covers_the_discarding() {
    let place = Place::with_pipe();
    let reader = place.start(&["read", "--timeout", "300ms"]);
    let writer = File::options().write(true).open(place.pipe()).unwrap();
    finish_with(reader, 110);
    drop(writer);
}

/// Readers and writers start in random order. If only one side is left, its partner may have gone
/// with an earlier waiter, so it gets another partner. While both sides are there, nobody may keep
/// waiting.
// Holds lockpipes-1, lockpipes-8.
#[test]
fn two_hundred_rounds_of_chance_never_hang() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for _ in 0..200 {
        let place = Place::new();
        let mut readers = Vec::new();
        let mut writers = Vec::new();
        for _ in 0..2 + chance.below(6) {
            let timeout: &[&str] = if chance.below(2) == 0 {
                &[]
            } else {
                &["--timeout", "1h"]
            };
            if chance.below(2) == 0 {
                readers.push(place.start(&[&["read"], timeout].concat()));
            } else {
                writers.push(place.start(&[&["write"], timeout].concat()));
            }
        }
        eventually("the round is over", || {
            readers.retain_mut(still_runs);
            writers.retain_mut(still_runs);
            if writers.is_empty() && !readers.is_empty() {
                writers.push(place.start(&["write"]));
            } else if readers.is_empty() && !writers.is_empty() {
                readers.push(place.start(&["read"]));
            }
            readers.is_empty() && writers.is_empty()
        });
    }
}

fn still_runs(child: &mut Child) -> bool {
    match child.try_wait().unwrap() {
        None => true,
        Some(status) => {
            assert!(status.success(), "{status}");
            false
        }
    }
}

/// xorshift64, Marsaglia 2003.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
