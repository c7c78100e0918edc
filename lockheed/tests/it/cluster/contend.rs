//! Many processes on one lock: no two critical sections overlap, whatever happens to the API server meanwhile.

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

/// One critical section. The directory would break another one's, the log is appended to (`O_APPEND`), and the counter loses what is
/// counted at the same time.
const SECTION: &str = r#"set -eu
echo "begin $LOCKHEED_TOKEN $WORKER" >>log
mkdir exclusive
count=$(cat counter)
sleep 0.002
echo $((count + 1)) >counter
rmdir exclusive
echo "end $LOCKHEED_TOKEN $WORKER" >>log"#;

/// A process that runs so many sections, one after the other, each under the lock, and ends with the first that fails.
fn worker(kubeconfig: &Path, directory: &Path, number: usize, sections: usize) -> Kept {
    worker_by(&lockheed(kubeconfig), directory, number, sections)
}

fn worker_by(lockheed: &Command, directory: &Path, number: usize, sections: usize) -> Kept {
    let mut bash = Command::new("bash");
    bash.args([
        "-c",
        r#"for ((i = 0; i < $1; i++)); do "${@:2}" || exit; done"#,
        "worker",
    ]);
    bash.arg(sections.to_string())
        .arg(lockheed.get_program())
        .args(lockheed.get_args());
    bash.args([
        "-v",
        "run",
        "contended",
        "--duration",
        "10s",
        "--",
        "bash",
        "-c",
        SECTION,
    ]);
    bash.env("WORKER", number.to_string())
        .env_remove("KUBECONFIG")
        .current_dir(directory);
    let log = fs::File::create(directory.join(format!("worker-{number}"))).unwrap();
    Kept::spawn(bash.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log))
}

/// Each section is whole before the next one begins, each worker did all of its own, tokens rise, and the workers did contend.
fn check(directory: &Path, workers: usize, sections: usize) {
    let log = fs::read_to_string(directory.join("log")).unwrap();
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 2 * workers * sections);
    let mut last = 0;
    let mut handed_on = 0;
    let mut done = vec![0; workers];
    let mut before = "";
    for pair in lines.chunks(2) {
        let ([begin, token, worker], [end, ends, also]) = (&pair[0][..], &pair[1][..]) else {
            panic!("{pair:?}");
        };
        assert_eq!(
            (*begin, *end, token, worker),
            ("begin", "end", ends, also),
            "sections overlap"
        );
        let token: u64 = token.parse().unwrap();
        assert!(token > last, "token {token} after {last}");
        last = token;
        done[worker.parse::<usize>().unwrap()] += 1;
        handed_on += usize::from(std::mem::replace(&mut before, worker) != *worker);
    }
    assert!(done.iter().all(|done| *done == sections), "{done:?}");
    let counter = fs::read_to_string(directory.join("counter")).unwrap();
    assert_eq!(counter.trim(), (workers * sections).to_string());
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

fn wait_for(workers: Vec<Kept>, directory: &Path) {
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

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("counter"), "0\n").unwrap();
    directory
}

#[test]
#[ignore = "no cluster"]
fn twenty_processes_with_fifty_sections_each_never_overlap() {
    let (place, directory) = (Place::new(), directory());
    let start = |number| worker(&place.user, directory.path(), number, 50);
    wait_for((0..20).map(start).collect(), directory.path());
    check(directory.path(), 20, 50);
    // Nothing is left behind, and nobody's lease.
    assert!(place.record("contended").leases.is_empty());
}

#[test]
#[ignore = "no cluster"]
fn the_api_server_and_etcd_may_be_killed_while_ten_contend() {
    let (run, directory) = (tempfile::tempdir().unwrap(), directory());
    let binaries = Binaries::installed().unwrap();
    let mut cluster =
        Cluster::start(&binaries, &run.path().join("cluster"), Lives::WithThread).unwrap();
    let namespace = Namespace::within(cluster.directory());
    let user = holder(&namespace);
    let start = |number| worker(&user, directory.path(), number, 20);
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

#[test]
#[ignore = "no cluster"]
fn nor_do_those_of_ten_on_a_lease() {
    let (place, directory) = (Place::of_leases(), directory());
    let start = |number| worker_by(&place.lockheed(), directory.path(), number, 20);
    wait_for((0..10).map(start).collect(), directory.path());
    check(directory.path(), 10, 20);
    assert!(place.record("contended").leases.is_empty());
    let spec = &place.object("contended")["spec"];
    assert_eq!(spec["holderIdentity"], "");
    // The first one made it.
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
