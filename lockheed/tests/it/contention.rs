//! Many processes at once: their critical sections never overlap, and everybody is served.

use std::{fs, process::Stdio};

use testkit::{eventually, process::Kept};

use crate::support::{LOCKHEED, Place};

const WORKERS: usize = 20;
const SECTIONS: usize = 50;

/// A worker runs this fifty times: it says that it wants the lock. Under the lock it makes a
/// directory that must not exist, and logs when it began and ended, with `O_APPEND`.
const WORKER: &str = r#"
for i in $(seq $SECTIONS); do
    echo "want $WORKER $i" >>$LOG
    $LOCKHEED run counter --id w$WORKER --duration 30s -- sh -c '
        mkdir $BUSY || echo "broken $0 $1" >>$LOG
        echo "begin $0 $1 $LOCKHEED_TOKEN" >>$LOG
        n=$(cat $COUNTER); echo $((n + 1)) >$COUNTER
        echo "end $0 $1 $LOCKHEED_TOKEN" >>$LOG
        rmdir $BUSY' $WORKER $i || echo "failed $WORKER $i $?" >>$LOG
done"#;

#[derive(Clone, Debug, PartialEq)]
struct Line<'a> {
    what: &'a str,
    worker: usize,
    section: usize,
    token: u64,
}

fn parse(line: &str) -> Line<'_> {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok());
    Line {
        what: words[0],
        worker: number(1).unwrap_or_else(|| panic!("{line:?}")),
        section: number(2).unwrap(),
        token: number(3).unwrap_or(0) as u64,
    }
}

// Holds lockheed-1.
#[test]
fn a_thousand_sections_of_twenty_processes_never_overlap() {
    let place = Place::new();
    let log = place.path("log");
    fs::write(place.path("counter"), "0\n").unwrap();
    let worker = |number: usize| {
        let mut command = std::process::Command::new("bash");
        command
            .args(["-c", WORKER])
            .env("LOCKHEED_STORE", place.store())
            .env("LOCKHEED", LOCKHEED)
            .env("LOG", &log);
        command
            .env("WORKER", number.to_string())
            .env("SECTIONS", SECTIONS.to_string());
        command
            .env("BUSY", place.path("busy"))
            .env("COUNTER", place.path("counter"));
        Kept(command.stdin(Stdio::null()).spawn().unwrap())
    };
    let workers: Vec<Kept> = (0..WORKERS).map(worker).collect();
    for worker in workers {
        assert_eq!(worker.finish().0, 0);
    }
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<Line<'_>> = text.lines().map(parse).collect();
    check_sections(&lines);
    check_contention(&lines);
    let counted = fs::read_to_string(place.path("counter")).unwrap();
    assert_eq!(counted, format!("{}\n", WORKERS * SECTIONS));
    assert!(place.leases("counter").is_empty());
}

/// Each section ends before the next one begins, all sections are logged, and tokens strictly rise.
fn check_sections(lines: &[Line<'_>]) {
    let bad: Vec<_> = lines
        .iter()
        .filter(|line| ["broken", "failed"].contains(&line.what))
        .collect();
    assert_eq!(bad, Vec::<&Line<'_>>::new());
    let sections: Vec<_> = lines.iter().filter(|line| line.what != "want").collect();
    assert_eq!(sections.len(), WORKERS * SECTIONS * 2);
    let mut last = 0;
    for pair in sections.chunks(2) {
        let (begin, end) = (pair[0], pair[1]);
        assert_eq!(
            (begin.what, end.what),
            ("begin", "end"),
            "{begin:?} {end:?}"
        );
        assert_eq!(
            (begin.worker, begin.section, begin.token),
            (end.worker, end.section, end.token)
        );
        assert!(begin.token > last, "token {} after {last}", begin.token);
        last = begin.token;
    }
}

/// Most sections waited while others had the lock, and the lock passed from worker to worker.
fn check_contention(lines: &[Line<'_>]) {
    let begins: Vec<_> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.what == "begin")
        .collect();
    let waited = begins.iter().filter(|(at, begin)| {
        let wanted = |line: &Line<'_>| {
            line.what == "want" && (line.worker, line.section) == (begin.worker, begin.section)
        };
        let since = lines.iter().position(wanted).unwrap();
        lines[since..*at]
            .iter()
            .any(|line| line.what == "end" && line.worker != begin.worker)
    });
    let waited = waited.count();
    let passed = begins
        .windows(2)
        .filter(|pair| pair[0].1.worker != pair[1].1.worker)
        .count();
    assert!(
        waited * 2 > begins.len(),
        "only {waited} of {} sections were waited for",
        begins.len()
    );
    assert!(
        passed * 2 > begins.len(),
        "only {passed} of {} times the lock went to another",
        begins.len()
    );
}

/// A waiter that is killed leaves nothing behind, and the others continue.
#[test]
fn waiters_killed_at_any_moment_block_nobody() {
    let place = Place::new();
    for round in 0..40_u64 {
        let mut waiter = place.start(&["run", "x", "--duration", "30s", "--", "true"]);
        std::thread::sleep(std::time::Duration::from_micros(round * 397 % 12_000));
        let _ = waiter.0.kill();
        let _ = waiter.0.wait();
        // Its guard may end a moment later.
        eventually("the lock is free", || {
            place.run(&["run", "x", "--no-wait", "--", "true"]).0 == 0
        });
    }
}
