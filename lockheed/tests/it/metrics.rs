//! `run --metrics`, as a collector of Prometheus' text format reads it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use nix::{sys::signal::Signal, sys::stat::Mode, unistd::mkfifo};
use testkit::{eventually, process::Kept};

use crate::support::{Place, content, lockheed};

#[derive(Debug, Default)]
struct Metrics {
    values: BTreeMap<String, f64>,
    labels: BTreeMap<String, String>,
}

impl Metrics {
    /// Parses as strictly as the format's description: each name has one help, one type and one
    /// sample, in this order.
    fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        let lines: Vec<_> = text.strip_suffix('\n').unwrap().split('\n').collect();
        for group in lines.chunks(3) {
            let [help, kind, sample] = group else {
                panic!("{text}")
            };
            let help = help.strip_prefix("# HELP ").unwrap();
            let (name, help) = help.split_once(' ').unwrap();
            assert!(
                is_name(name) && !help.is_empty() && !help.contains('\\'),
                "{help:?}"
            );
            let kind = kind.strip_prefix(&format!("# TYPE {name} ")).unwrap();
            let is_total = name.ends_with("_total");
            assert_eq!(kind, if is_total { "counter" } else { "gauge" });
            let sample = sample.strip_prefix(&format!("{name}{{")).unwrap();
            let (labels, value) = labels(sample);
            let value: f64 = value.strip_prefix("} ").unwrap().parse().unwrap();
            assert!(value.is_finite() && value >= 0.0);
            assert!(
                metrics.values.insert(name.to_owned(), value).is_none(),
                "{text}"
            );
            metrics.labels = labels;
        }
        metrics
    }

    fn read(file: &Path) -> Option<Self> {
        fs::read_to_string(file).ok().map(|text| Self::parse(&text))
    }

    #[track_caller]
    fn of(&self, name: &str) -> f64 {
        self.values[&format!("lockheed_{name}")]
    }
}

fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(is_part) && text.starts_with(|c: char| !c.is_ascii_digit())
}

/// Reads labels up to the closing brace, and returns the rest of the line.
fn labels(mut text: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    loop {
        let (name, rest) = text.split_once("=\"").unwrap();
        assert!(is_name(name), "{name:?}");
        let mut value = String::new();
        let mut characters = rest.chars();
        loop {
            match characters.next().unwrap() {
                '"' => break,
                '\\' => value.push(match characters.next().unwrap() {
                    'n' => '\n',
                    special @ ('\\' | '"') => special,
                    other => panic!("{other:?}"),
                }),
                other => value.push(other),
            }
        }
        assert!(labels.insert(name.to_owned(), value).is_none());
        text = characters.as_str();
        match text.strip_prefix(',') {
            Some(more) => text = more,
            None => return (labels, text),
        }
    }
}

impl Place {
    fn measured(&self, arguments: &[&str]) -> (Kept, PathBuf) {
        let file = self.path("metrics/lock.prom");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let log = fs::File::create(self.path("stderr")).unwrap();
        let mut command = self.lockheed(&["run", "x", "--metrics"]);
        command.arg(&file).args(arguments).args(["--", "sh", "-c"]);
        command.arg("echo $$ >>begun; exec sleep 1000");
        let kept = Kept::spawn(command.current_dir(self.path("")).stderr(log));
        (kept, file)
    }
}

#[test]
fn the_wait_the_lease_and_its_end_are_counted() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "other", "--duration", "1h"], 0);
    let often = ["--duration", "2s", "--renew-interval", "100ms"];
    let (mut run, file) = place.measured(&often);
    let read = || Metrics::read(&file).unwrap_or_default();
    eventually("the file is there", || file.exists());
    let waiting = read();
    assert_eq!(waiting.values.len(), 7);
    for name in ["held", "acquisitions_total", "hold_seconds_total"] {
        assert_eq!(waiting.of(name), 0.0);
    }
    place.expect(&["release", "x", "--id", "other"], 0);
    content(&place.path("begun"));
    // A reader always finds the whole file.
    eventually("the lease is renewed", || {
        read().of("renewals_total") >= 5.0
    });
    let holding = read();
    assert_eq!(
        (holding.of("held"), holding.of("acquisitions_total")),
        (1.0, 1.0)
    );
    assert!(holding.of("wait_seconds_total") > 0.0);
    assert_eq!(holding.of("renewal_failures_total"), 0.0);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.status(), 143);
    let over = read();
    assert_eq!((over.of("held"), over.of("losses_total")), (0.0, 0.0));
    assert!(over.of("hold_seconds_total") >= holding.of("hold_seconds_total"));
    assert_eq!(
        over.of("wait_seconds_total"),
        holding.of("wait_seconds_total")
    );
    let beside: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
}

#[test]
fn each_life_goes_on_counting() {
    let place = Place::new();
    let (mut run, file) = place.measured(&["--restart"]);
    for life in 1..=3 {
        let begun = || fs::read_to_string(place.path("begun")).unwrap_or_default();
        eventually("the command runs", || begun().lines().count() == life);
        if life < 3 {
            place.expect(&["break", "x", "--yes"], 0);
        }
    }
    run.signal(Signal::SIGTERM);
    assert_eq!(run.status(), 143);
    let metrics = Metrics::read(&file).unwrap();
    assert_eq!(metrics.of("acquisitions_total"), 3.0);
    assert_eq!(metrics.of("losses_total"), 2.0);
}

#[test]
fn what_is_special_in_a_label_is_escaped() {
    let place = Place::new();
    let (locks, file) = (place.path("a\"b\\c\nd}"), place.path("x.prom"));
    let store = format!("dir:{}", locks.display());
    let mut command = lockheed(&["--store", &store, "run", "x", "--metrics"]);
    assert!(
        command
            .arg(&file)
            .args(["--", "true"])
            .status()
            .unwrap()
            .success()
    );
    let labels = Metrics::read(&file).unwrap().labels;
    let expected = [("lock", "x"), ("store", &*store)];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(labels, BTreeMap::from(expected));
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_at_the_start_and_a_warning_later() {
    let place = Place::new();
    let fifo = place.path("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    for wrong in ["/no/such/directory/x.prom", "/", fifo.to_str().unwrap()] {
        let (status, _, error) = place.run(&["run", "x", "--metrics", wrong, "--", "true"]);
        assert_eq!(status, 125, "{error}");
        let said = format!("lockheed: cannot write metrics to {wrong:?}: ");
        assert!(error.starts_with(&said), "{error}");
    }
    assert!(place.leases("x").is_empty());

    let often = ["--duration", "2s", "--renew-interval", "100ms"];
    let (mut run, file) = place.measured(&often);
    content(&place.path("begun"));
    fs::remove_dir_all(file.parent().unwrap()).unwrap();
    let warned = || {
        let log = fs::read_to_string(place.path("stderr")).unwrap();
        log.matches("cannot write metrics").count()
    };
    eventually("it is said", || warned() == 1);
    fs::create_dir(file.parent().unwrap()).unwrap();
    eventually("it is written again", || file.exists());
    assert_eq!(warned(), 1);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.status(), 143);
}
