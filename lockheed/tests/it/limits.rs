//! Exhausted limits: an error reports them, and no lock is lost.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use nix::fcntl::{Flock, FlockArg};
use testkit::{
    eventually,
    process::{outcome, run_with_little_memory},
};

use crate::support::{Place, User};

/// More address space than this build of lockheed needs, in KiB.
const ENOUGH_MEMORY: usize = 64_000;

/// With too little memory the command does not start, and an error says why. With enough, the
/// status is ours. In both cases nobody holds the lock afterwards.
#[test]
fn memory_runs_out_before_the_command_starts() {
    let place = Place::new();
    let command = place.lockheed(&["run", "x", "--", "sh", "-c", "echo ran; exit 7"]);
    let outcomes = run_with_little_memory(&command, ENOUGH_MEMORY);
    for (status, said, error) in &outcomes {
        if said == "ran\n" {
            assert_eq!(*status, Some(7), "{error}");
        } else {
            // The loader's status, for our program or the shell, is 127.
            assert!(
                matches!(status, Some(125..=127) | None),
                "{status:?}, {error}"
            );
            assert!(!error.is_empty() || status.is_none(), "{status:?}");
        }
    }
    assert_eq!(outcomes.last().unwrap().1, "ran\n");
    assert!(place.leases("x").is_empty());
    place.expect(&["acquire", "x", "--id", "a", "--no-wait"], 0);
}

/// The same for a command that runs no other: `ENOMEM`, or `EAGAIN` from a thread.
#[test]
fn memory_runs_out_with_an_error() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a"], 0);
    let command = place.lockheed(&["list", "--output", "name"]);
    let outcomes = run_with_little_memory(&command, ENOUGH_MEMORY);
    for (status, said, error) in &outcomes {
        match status {
            Some(0) => assert_eq!(said, "x\n"),
            Some(11 | 12 | 127) => assert!(!error.is_empty()),
            None => {}
            Some(other) => panic!("{other}: {error}"),
        }
    }
    assert_eq!(outcomes.last().unwrap().0, Some(0));
}

/// Whatever the limit of descriptors, the program ends with an error, never with a bug.
#[test]
fn descriptors_run_out_with_an_error() {
    let place = Place::new();
    for limit in 4..40 {
        let with_limit = |arguments: &[&str]| {
            let command = place.lockheed(arguments);
            let mut limited = Command::new("prlimit");
            limited.arg(format!("--nofile={limit}"));
            limited.arg(command.get_program()).args(command.get_args());
            limited.env("LOCKHEED_STORE", place.store());
            let (status, _, error) = outcome(&mut limited);
            assert!(status == 0 || !error.is_empty(), "{limit}: {status}");
            assert!(!error.contains("lockheed: bug:"), "{limit}: {error}");
            status
        };
        let run = with_limit(&["run", "x", "--wait", "1s", "--", "true"]);
        assert!(
            [0, 122, 124, 125, 126, 127].contains(&run),
            "{limit}: {run}"
        );
        let list = with_limit(&["list"]);
        assert!([0, 24, 127].contains(&list), "{limit}: {list}");
    }
}

const THREADS: &str = "limits::a_renewal_needs_no_new_thread";

/// The command under a lock may use up all resources of its user.
#[test]
fn a_renewal_needs_no_new_thread() {
    if let Some(dir) = std::env::var_os("DIRECTORY_WITHOUT_THREADS") {
        return renew_without_threads(Path::new(&dir));
    }
    let place = Place::new();
    let program = std::env::current_exe().unwrap();
    // Root has no such limit.
    let mut test = match User::new(&place, 50_004, &[]) {
        Some(user) => {
            fs::set_permissions(place.locks(), fs::Permissions::from_mode(0o777)).unwrap();
            user.command_at(&program, "test")
        }
        None => Command::new(program),
    };
    test.args(["--exact", THREADS, "--nocapture"]);
    let (code, stdout, stderr) = outcome(test.env("DIRECTORY_WITHOUT_THREADS", place.locks()));
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}

fn renew_without_threads(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_keep_alive(Duration::from_millis(1))
        .enable_all()
        .build()
        .unwrap();
    let store = lockheed::DirStore::open(dir).unwrap();
    let lock = lockheed::Lock::new(store, "x".parse().unwrap())
        .duration(Duration::from_secs(6))
        .renew_interval(Duration::from_millis(200));
    let held = runtime.block_on(lock.acquire()).unwrap();
    let this = std::process::id().to_string();
    let (code, _, stderr) = outcome(Command::new("prlimit").args(["--nproc=1", "--pid", &this]));
    assert_eq!(code, 0, "{stderr}");
    assert!(std::thread::Builder::new().spawn(|| ()).is_err());
    let started = Instant::now();
    let longer_than_the_lease = Duration::from_secs(8);
    eventually("time passes", || {
        // Another writer is there often, and no thread can wait for its end.
        let writer = fs::File::open(dir.join(".guard")).unwrap();
        let writer = Flock::lock(writer, FlockArg::LockExclusive).map_err(|(_, error)| error);
        std::thread::sleep(Duration::from_millis(10));
        drop(writer.unwrap());
        held.is_lost() || started.elapsed() > longer_than_the_lease
    });
    assert!(!held.is_lost());
    runtime.block_on(held.release()).unwrap();
}

#[test]
fn a_name_is_as_long_as_a_files_can_be() {
    let place = Place::new();
    let (longest, longer) = ("x".repeat(244), "x".repeat(245));
    place.expect(&["acquire", &longest, "--id", "me"], 0);
    assert_eq!(
        place.expect(&["list", "-o", "name"], 0),
        format!("{longest}\n")
    );
    for command in ["acquire", "inspect"] {
        let (code, _, stderr) = place.run(&[command, &longer]);
        assert_eq!(code, 22, "{stderr}");
        assert!(
            stderr.contains("its name has more than the 244 characters"),
            "{stderr}"
        );
    }
    // A file that belongs to somebody else.
    place.write(&longer, "{}");
    assert_eq!(
        place.expect(&["list", "-o", "name"], 0),
        format!("{longest}\n")
    );
}
