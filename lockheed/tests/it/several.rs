//! `run` with several locks: all or none, and the command runs while all are held.

use std::{
    fs::{self, File},
    io::Read,
    process::{Command, Stdio},
};

use nix::{
    pty::{Winsize, openpty},
    sys::signal::Signal,
};
use testkit::{eventually, process::Kept};

use crate::support::{LOCKHEED, Place, content, runs, unique};

const TOKENS: &str = "env | grep ^LOCKHEED_TOKEN | sort";

/// Starts `run` with these locks and this command, and returns once it holds this lock.
fn waiting(place: &Place, arguments: &[&str], holds: &str) -> Kept {
    let waiter = place.start(arguments);
    eventually("it holds the first lock", || place.leases(holds).len() == 1);
    waiter
}

#[test]
fn the_command_has_the_token_of_each_lock() {
    let place = Place::new();
    let key = "slug-4c3d3d0c9ff1c4a1c7a3a2c5a4ad7b0e";
    let tokens = |arguments: &[&str]| {
        let outer = ["run", "outer", "--", LOCKHEED, "run"];
        let command = ["--", "sh", "-c", TOKENS];
        place.expect(&[&outer, arguments, &command].concat(), 0)
    };
    // The outer run has taken the first token.
    let expected = "LOCKHEED_TOKENS={\"a\":2,\"b\":3}\nLOCKHEED_TOKEN_1=3\nLOCKHEED_TOKEN_2=2\n";
    assert_eq!(tokens(&["b", "a"]), expected);
    let last: u64 = place.json("outer")["store"]["version"].as_u64().unwrap();
    let token = last + 2;
    let expected = format!(
        "LOCKHEED_TOKEN={token}\nLOCKHEED_TOKENS={{\"a\":{token}}}\nLOCKHEED_TOKEN_1={token}\n"
    );
    assert_eq!(tokens(&["a"]), expected);
    // Keys and names in the order in which they are given, not in which they are acquired.
    let given = tokens(&["z", "--key", "A b", "y", "--key", key, "--tag", "t", "b"]);
    let numbered = |number: usize| -> u64 {
        let start = format!("LOCKHEED_TOKEN_{number}=");
        let mut lines = given.lines();
        let token = lines.find_map(|line| line.strip_prefix(&start));
        token.unwrap_or_else(|| panic!("{given}")).parse().unwrap()
    };
    let all = given
        .lines()
        .find_map(|line| line.strip_prefix("LOCKHEED_TOKENS="));
    let all: serde_json::Value = serde_json::from_str(all.unwrap()).unwrap();
    let name = |key| lockheed::LockName::from_key(key).unwrap();
    for (at, name) in ["z", name("A b").as_str(), "y", name(key).as_str(), "b"]
        .into_iter()
        .enumerate()
    {
        assert_eq!(all[name], numbered(at + 1), "{given}");
        assert!(place.leases(name).is_empty());
        assert_eq!(place.json(name)["tags"][0], "t");
    }
    assert_eq!(all.as_object().unwrap().len(), 5);
    assert!(!given.contains("LOCKHEED_TOKEN="), "{given}");
}

#[test]
fn the_same_lock_twice_and_a_bad_name_are_refused_before_anything_is_acquired() {
    let place = Place::new();
    let name = lockheed::LockName::from_key("q").unwrap();
    for (locks, named) in [
        (&["a", "b", "a"][..], "a"),
        (&["--key", "q", "b", "--key", "q"], name.as_str()),
        (&["--key", "q", "b", name.as_str()], name.as_str()),
    ] {
        let (code, _, stderr) = place.run(&[&["run"], locks, &["--", "true"]].concat());
        let expected = format!("lockheed: lock {named} is given twice\n");
        assert_eq!((code, stderr), (64, expected), "{locks:?}");
    }
    let (code, _, stderr) = place.run(&["run", "a", "B", "--", "true"]);
    assert_eq!(code, 125);
    assert!(stderr.contains("\"B\""), "{stderr}");
    for missing in [
        &["run", "--", "true"][..],
        &["run", "a", "b"],
        &["run", "a", "true"],
    ] {
        assert_eq!(place.run(missing).0, 64, "{missing:?}");
    }
    assert_eq!(fs::read_dir(place.locks()).unwrap().count(), 0);
}

#[test]
fn when_the_wait_is_over_none_is_held() {
    let place = Place::new();
    place.expect(&["acquire", "b", "--id", "other"], 0);
    for (option, expected) in [
        (
            &["--wait", "2s"][..],
            "lockheed: could not acquire lock b within 2s: it is held by \"other\" until ",
        ),
        (
            &["--no-wait"],
            "lockheed: lock b is held by \"other\" until ",
        ),
    ] {
        let arguments = [
            &["-q", "run", "c", "b", "a"],
            option,
            &["--", "echo", "never"],
        ]
        .concat();
        let (code, stdout, stderr) = place.run(&arguments);
        assert_eq!((code, stdout.as_str()), (124, ""));
        assert!(stderr.starts_with(expected), "{stderr}");
        assert!(place.file("a").exists() && !place.file("c").exists());
        assert_eq!(
            (place.leases("a"), place.leases("b")),
            (vec![], vec!["other".to_owned()])
        );
    }
}

/// It waits as long as it takes, and longer than the lease.
#[test]
fn what_is_held_is_renewed_while_the_next_is_waited_for() {
    let place = Place::new();
    place.expect(&["acquire", "b", "--id", "other"], 0);
    let arguments = [
        "run",
        "b",
        "a",
        "--duration",
        "4s",
        "--renew-interval",
        "100ms",
    ];
    let waiter = waiting(
        &place,
        &[&arguments[..], &["--", "echo", "ran"]].concat(),
        "a",
    );
    let version = || place.json("a")["store"]["version"].as_u64().unwrap();
    let (holder, first) = (place.leases("a"), version());
    eventually("it is renewed beyond its end", || version() > first + 45);
    assert_eq!(place.leases("a"), holder);
    place.expect(&["run", "a", "--no-wait", "--", "true"], 124);
    place.expect(&["release", "b", "--id", "other"], 0);
    let (code, stdout, stderr) = waiter.finish();
    assert_eq!((code, stdout.as_str()), (0, "ran\n"), "{stderr}");
    let is_told = |line: &&str| line.contains("waiting") || line.contains("acquired");
    let lines: Vec<_> = stderr.lines().filter(is_told).collect();
    let start = "[INFO  lockheed] lock b: waiting: it is held by \"other\" until 20";
    assert!(lines[0].starts_with(start), "{stderr}");
    let start = "[INFO  lockheed] lock b: acquired, with token ";
    assert!(
        lines[1].starts_with(start) && lines[1].contains(", after "),
        "{stderr}"
    );
    assert_eq!(lines.len(), 2, "{stderr}");
    assert!(place.leases("a").is_empty() && place.leases("b").is_empty());
}

#[test]
fn a_signal_while_the_second_is_waited_for_releases_the_first() {
    let place = Place::new();
    place.expect(&["acquire", "b", "--id", "other"], 0);
    for (signal, status) in [
        (Signal::SIGTERM, 143),
        (Signal::SIGINT, 130),
        (Signal::SIGHUP, 129),
    ] {
        let waiter = waiting(
            &place,
            &["run", "a", "b", "--duration", "1h", "--", "echo", "never"],
            "a",
        );
        waiter.signal(signal);
        let (code, stdout, stderr) = waiter.finish();
        assert_eq!((code, stdout.as_str()), (status, ""), "{stderr}");
        assert_eq!(
            (place.leases("a"), place.leases("b")),
            (vec![], vec!["other".to_owned()])
        );
    }
}

#[test]
fn the_command_is_ended_when_one_of_its_locks_is_lost() {
    let place = Place::new();
    for lost in ["a", "b", "c"] {
        let (begun, seconds) = (place.path(lost), unique());
        let script = format!(
            "echo >{}; trap 'exit 3' TERM; sleep {seconds} & wait",
            begun.display()
        );
        let holder = place.start(&[
            "run",
            "c",
            "a",
            "b",
            "--duration",
            "1h",
            "--",
            "sh",
            "-c",
            &script,
        ]);
        content(&begun);
        place.expect(&["break", lost, "--yes"], 0);
        let (code, _, stderr) = holder.finish();
        assert_eq!(code, 122, "{stderr}");
        let expected = format!("[ERROR lockheed] lock {lost}: lost: ");
        assert!(stderr.starts_with(&expected), "{stderr}");
        assert!(stderr.contains("ended its lease with `break`"), "{stderr}");
        let others = ["a", "b", "c"].into_iter().filter(|lock| *lock != lost);
        for lock in others {
            assert!(!stderr.contains(&format!("lock {lock}")), "{stderr}");
            assert!(place.leases(lock).is_empty());
        }
        assert!(!runs(&seconds));
    }
    // Otherwise the command's own status counts.
    place.expect(&["run", "a", "b", "--", "sh", "-c", "exit 7"], 7);
    assert_eq!(place.run(&["run", "a", "b", "--", "/nonexistent"]).0, 127);
    assert!(place.leases("a").is_empty() && place.leases("b").is_empty());
}

#[test]
fn when_one_is_lost_while_the_next_is_waited_for_all_are_acquired_again() {
    let place = Place::new();
    place.expect(&["acquire", "c", "--id", "other"], 0);
    let waiter = waiting(
        &place,
        &["run", "a", "b", "c", "--", "sh", "-c", TOKENS],
        "b",
    );
    let first = place.leases("a");
    // It gets its turn as soon as the lock is free.
    let next = place.start(&["run", "b", "--", "echo", "meanwhile"]);
    place.expect(&["break", "a", "--id", &first[0]], 0);
    assert_eq!(next.finish().0, 0);
    eventually("it waits again", || {
        place.leases("a") == first && place.leases("b") == first
    });
    place.expect(&["release", "c", "--id", "other"], 0);
    let (code, stdout, stderr) = waiter.finish();
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stderr.contains("lock a was lost before all were acquired: starting over"),
        "{stderr}"
    );
    let tokens: Vec<u64> = stdout
        .lines()
        .skip(1)
        .map(|line| line[17..].parse().unwrap())
        .collect();
    assert!(tokens.is_sorted() && tokens.len() == 3, "{stdout}");
}

/// One proof of life covers all of the locks.
#[test]
fn when_all_processes_are_gone_all_locks_are_free() {
    let place = Place::new();
    let begun = place.path("begun");
    let script = format!("echo >{}; exec sleep {}", begun.display(), unique());
    let mut holder = place.start(&[
        "run",
        "b",
        "a",
        "--duration",
        "1h",
        "--",
        "sh",
        "-c",
        &script,
    ]);
    content(&begun);
    place.expect(&["run", "a", "--no-wait", "--", "true"], 124);
    place.expect(&["run", "b", "--no-wait", "--", "true"], 124);
    holder.0.kill().unwrap();
    place.expect(&["run", "a", "b", "--wait", "1m", "--", "true"], 0);
}

#[test]
fn the_line_on_a_terminal_says_which_lock_is_waited_for() {
    let place = Place::new();
    place.expect(&["acquire", "b", "--id", "other"], 0);
    let size = Winsize {
        ws_row: 10,
        ws_col: 200,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(&size, None).unwrap();
    let mut command = place.lockheed(&["run", "b", "a", "--wait", "1h", "--", "echo", "runs"]);
    command.env("TERM", "xterm").stdout(Stdio::piped());
    let waiter = Kept::spawn(command.stderr(terminal.slave));
    // The command still has the other end.
    drop(command);
    let mut screen = File::from(terminal.master);
    let mut shown = String::new();
    eventually("the line is shown", || {
        let mut bytes = [0; 4096];
        let read = screen.read(&mut bytes).unwrap();
        shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
        shown.contains("left: waiting for lock b: it is held by \"other\"")
    });
    place.expect(&["release", "b", "--id", "other"], 0);
    assert_eq!(waiter.finish().1, "runs\n");
    // What it had shown is gone.
    let _ = screen.read_to_string(&mut shown);
    assert!(shown.ends_with("\r\x1b[2K"), "{shown:?}");
}

/// Ten rounds of a process, which takes the locks it names in random order and checks each is its
/// own.
const WORKER: &str = r#"
for i in $(seq $ROUNDS); do
    locks=$(shuf -e a b c -n $((RANDOM % 2 + 2)))
    $LOCKHEED -q run $locks -- sh -c '
        for lock; do mkdir $BUSY/$lock || exit 9; done
        for lock; do rmdir $BUSY/$lock; done' sh $locks || exit
done"#;

#[test]
fn ten_processes_that_name_three_locks_in_other_orders_are_all_served() {
    let place = Place::new();
    let busy = place.path("busy");
    fs::create_dir(&busy).unwrap();
    let worker = |_| {
        let mut bash = Command::new("bash");
        bash.args(["-c", WORKER]).stdin(Stdio::null());
        bash.env("LOCKHEED_STORE", place.store())
            .env("LOCKHEED", LOCKHEED);
        bash.env("BUSY", &busy).env("ROUNDS", "20");
        Kept::spawn(&mut bash)
    };
    let workers: Vec<_> = (0..10).map(worker).collect();
    for mut worker in workers {
        assert_eq!(worker.status(), 0);
    }
}

/// One loss while another lock was waited for, and a later one of the same lock under the command.
#[test]
fn each_loss_is_told() {
    let place = Place::new();
    let begun = place.path("begun");
    place.expect(&["acquire", "b", "--id", "other"], 0);
    let script = format!("echo >{}; exec sleep 1000", begun.display());
    let waiter = waiting(&place, &["run", "a", "b", "--", "sh", "-c", &script], "a");
    let first = place.leases("a");
    let version = place.json("a")["store"]["version"].clone();
    place.expect(&["break", "a", "--id", &first[0]], 0);
    eventually("it waits again", || {
        let again = place.json("a");
        place.leases("a") == first && again["store"]["version"] != version
    });
    place.expect(&["release", "b", "--id", "other"], 0);
    content(&begun);
    place.expect(&["break", "a", "--id", &first[0]], 0);
    let (code, _, stderr) = waiter.finish();
    assert_eq!(code, 122, "{stderr}");
    assert_eq!(stderr.matches("lock a: lost: ").count(), 2, "{stderr}");
}
