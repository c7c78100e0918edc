//! Many processes on one lock: no two critical sections overlap, whatever happens to the API server
//! meanwhile.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use apiserver::{
    Namespace,
    cluster::{Binaries, Cluster, Lives},
};
use testkit::process::Kept;

use super::{Place, holder, lockheed};

/// A critical section. An overlap would fail to make the directory, or lose a count in the counter.
/// The log is appended to (`O_APPEND`).
const SECTION: &str = r#"set -eu
echo "begin $LOCKHEED_TOKEN $WORKER" >>log
mkdir exclusive
count=$(cat counter)
sleep 0.002
echo $((count + 1)) >counter
rmdir exclusive
echo "end $LOCKHEED_TOKEN $WORKER" >>log"#;

/// A process that runs this many sections one after another, each under the lock. It ends with the
/// first that fails.
fn worker(mut lockheed: Command, directory: &Path, number: usize, sections: usize) -> Kept {
    lockheed.args(["-v", "run", "contended", "--duration", "10s", "--"]);
    worker_by(&lockheed, directory, number, sections)
}

/// The same, with another program that runs the command after its arguments.
pub(super) fn worker_by(
    program: &Command,
    directory: &Path,
    number: usize,
    sections: usize,
) -> Kept {
    let mut bash = Command::new("bash");
    bash.args([
        "-c",
        r#"for ((i = 0; i < $1; i++)); do "${@:2}" || exit; done"#,
        "worker",
    ]);
    bash.arg(sections.to_string())
        .arg(program.get_program())
        .args(program.get_args());
    bash.args(["bash", "-c", SECTION]);
    bash.env("WORKER", number.to_string())
        .env("LOCKHEED_TOKEN", "-")
        .env_remove("KUBECONFIG")
        .current_dir(directory);
    let log = fs::File::create(directory.join(format!("worker-{number}"))).unwrap();
    Kept::spawn(bash.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log))
}

/// Each section ends before the next one begins, each worker ran all of its own, tokens rise, and
/// the workers did contend.
fn check(directory: &Path, workers: usize, sections: usize) {
    let done = done(directory);
    assert_eq!(done.len(), workers * sections);
    let mut each = vec![0; workers];
    for worker in &done {
        each[*worker] += 1;
    }
    assert!(each.iter().all(|done| *done == sections), "{each:?}");
    let handed_on = done.windows(2).filter(|two| two[0] != two[1]).count();
    let waited: usize = (0..workers).map(|number| waits(directory, number)).sum();
    println!(
        "{} sections, {waited} waited for, {handed_on} handed on to another",
        workers * sections
    );
    assert!(
        2 * waited > workers * sections && 2 * handed_on > workers * sections,
        "they did not contend"
    );
}

/// Whose the sections were, in order. Each ends before the next one begins, and tokens rise.
pub(super) fn done(directory: &Path) -> Vec<usize> {
    let log = fs::read_to_string(directory.join("log")).unwrap();
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split(' ').collect()).collect();
    let mut last = 0;
    let workers: Vec<usize> = lines
        .chunks(2)
        .map(|pair| {
            let [begin, end] = pair else {
                panic!("{pair:?}");
            };
            assert_eq!((begin[0], end[0]), ("begin", "end"), "sections overlap");
            assert_eq!(begin[1..], end[1..], "sections overlap");
            // Other programs have no tokens.
            if begin[1] != "-" {
                let token: u64 = begin[1].parse().unwrap();
                assert!(token > last, "token {token} after {last}");
                last = token;
            }
            begin[2].parse().unwrap()
        })
        .collect();
    let counter = fs::read_to_string(directory.join("counter")).unwrap();
    assert_eq!(counter.trim(), workers.len().to_string());
    workers
}

/// How many of a worker's runs had to wait.
fn waits(directory: &Path, number: usize) -> usize {
    let log = fs::read_to_string(directory.join(format!("worker-{number}"))).unwrap();
    let (mut waits, mut waiting) = (0, false);
    for line in log.lines() {
        if line.contains("waiting: it is held by") {
            waits += usize::from(!std::mem::replace(&mut waiting, true));
        } else if line.contains("acquired, with token") {
            waiting = false;
        }
    }
    waits
}

pub(super) fn wait_for(workers: Vec<Kept>, directory: &Path) {
    for (number, mut worker) in workers.into_iter().enumerate() {
        let status = worker.0.wait().unwrap();
        let log = directory.join(format!("worker-{number}"));
        assert!(
            status.success(),
            "worker {number}: {status}: {}",
            fs::read_to_string(log).unwrap()
        );
    }
}

pub(super) fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("counter"), "0\n").unwrap();
    directory
}

// Holds lockheed-1.
#[test]
#[ignore = "no cluster"]
fn twenty_processes_with_fifty_sections_each_never_overlap() {
    let (place, directory) = (Place::new(), directory());
    let start = |number| worker(place.lockheed(), directory.path(), number, 50);
    wait_for((0..20).map(start).collect(), directory.path());
    check(directory.path(), 20, 50);
    // Nothing is left behind, and no lease.
    assert!(place.record("contended").leases.is_empty());
}

// Holds lockheed-1.
#[test]
#[ignore = "no cluster"]
fn the_api_server_and_etcd_may_be_killed_while_ten_contend() {
    let (run, directory) = (tempfile::tempdir().unwrap(), directory());
    let binaries = Binaries::installed().unwrap();
    let mut cluster =
        Cluster::start(&binaries, &run.path().join("cluster"), Lives::WithThread).unwrap();
    let namespace = Namespace::within(cluster.directory());
    let user = holder(&namespace);
    let start = |number| worker(lockheed(&user), directory.path(), number, 20);
    let workers: Vec<Kept> = (0..10).map(start).collect();
    for begun in [30, 90] {
        let sections = || {
            fs::read_to_string(directory.path().join("log"))
                .unwrap_or_default()
                .lines()
                .count()
                / 2
        };
        testkit::eventually("some more sections", || sections() >= begun);
        cluster.kill();
        cluster.restart().unwrap();
    }
    wait_for(workers, directory.path());
    check(directory.path(), 10, 20);
}

// Holds lockheed-1.
#[test]
#[ignore = "no cluster"]
fn nor_do_those_of_ten_on_a_lease() {
    let (place, directory) = (Place::of_leases(), directory());
    let start = |number| worker(place.lockheed(), directory.path(), number, 20);
    wait_for((0..10).map(start).collect(), directory.path());
    check(directory.path(), 10, 20);
    assert!(place.record("contended").leases.is_empty());
    let spec = &place.object("contended")["spec"];
    assert_eq!(spec["holderIdentity"], "");
    // The first one created it.
    assert_eq!(spec["leaseTransitions"], 199);
}

/// The check itself can fail.
#[test]
fn sections_without_a_lock_are_caught() {
    let directory = directory();
    let overlapping = "begin 1 0\nbegin 2 1\nend 1 0\nend 2 1\n";
    fs::write(directory.path().join("log"), overlapping).unwrap();
    let path = directory.path().to_owned();
    assert!(thread::spawn(move || check(&path, 2, 1)).join().is_err());
}
