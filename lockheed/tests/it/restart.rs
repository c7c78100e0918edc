//! `run --restart`: a new life of the command after each loss of the lock.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use testkit::{
    eventually,
    process::{Kept, copy_program, is_alive},
};

use crate::support::{LOCKHEED, Place};

/// Writes a line about each life of a command. For the client's descriptors, it is the number
/// without `O_CLOEXEC` (02000000), which the next life inherits. For signals, it is the first 28;
/// the C library changes some of the others.
const LIFE: &str = r#"guard=$PPID
client=$(cut -d' ' -f4 /proc/$guard/stat)
own=$(ls /proc/self/fd | wc -l)
kept=$(grep -LE 'flags:.*[2367][0-9]{6}$' /proc/$client/fdinfo/* 2>/dev/null | wc -l)
signals=$(grep -E 'SigBlk|SigIgn' /proc/self/status | cut -c1-8,18- | tr -d '\n')
name=$(cat /proc/$client/comm)
arguments=$(tr '\0\n' '||' </proc/$client/cmdline)
environment=$(env | grep -v -e ^LOCKHEED_TOKEN -e ^_= | sort | cksum)
echo "$LOCKHEED_TOKEN;$client;$own;$kept;$signals;$name;$arguments;$environment" >>"$0"
exec sleep 1000"#;

/// The part that differs in each life: the token.
fn lives(file: &Path) -> Vec<(u64, String)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lives = whole.lines().map(|line| line.split_once(';').unwrap());
    let lives = lives.map(|(token, rest)| (token.parse().unwrap(), rest.to_owned()));
    lives.collect()
}

fn await_life(number: usize, file: &Path) {
    eventually("the command runs", || lives(file).len() == number);
}

impl Place {
    fn end_lease(&self) {
        self.expect(&["break", "x", "--yes"], 0);
    }

    /// Starts a singleton; its lives are in the file, and its log is in `stderr`.
    fn singleton(&self, arguments: &[&str], script: &str) -> (Kept, PathBuf) {
        let file = self.path("lives");
        let log = fs::File::create(self.path("stderr")).unwrap();
        let mut command = self.lockheed(&["run", "x", "--restart"]);
        command.args(arguments).args(["--", "bash", "-c", script]);
        let kept = Kept::spawn(command.arg(&file).stderr(log));
        (kept, file)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap()
    }
}

/// The binary may be gone by then, as after an upgrade.
#[test]
fn each_life_finds_what_the_first_one_found_and_a_higher_token() {
    const LIVES: usize = 6;
    let place = Place::new();
    let (copy, file) = (place.path("locker"), place.path("lives"));
    copy_program(Path::new(LOCKHEED), &copy);
    let mut command = Command::new("env");
    command
        .args(["--block-signal=USR1", "--ignore-signal=USR2"])
        .arg(&copy)
        .args(["run", "x", "--restart", "--duration", "1h", "--"])
        .args(["bash", "-c", LIFE])
        .arg(&file)
        .args(["", "a b"])
        .env("LOCKHEED_STORE", place.store())
        .env("LOCKHEED_LIFE", "1:0::{}")
        .stderr(fs::File::create(place.path("stderr")).unwrap())
        .stdin(Stdio::null());
    let mut singleton = Kept::spawn(&mut command);
    for life in 1..LIVES {
        await_life(life, &file);
        if life == 1 {
            fs::remove_file(&copy).unwrap();
        }
        place.end_lease();
    }
    await_life(LIVES, &file);
    let lives = lives(&file);
    assert!(lives.is_sorted_by(|a, b| a.0 < b.0), "{lives:?}");
    let (_, first) = &lives[0];
    assert!(lives.iter().all(|(_, life)| life == first), "{lives:#?}");
    let pid = singleton.pid();
    assert!(first.starts_with(&format!("{pid};")), "{first}");
    let expected = [";locker;", "|run|x|--restart|", "||a b|;"];
    for part in expected {
        assert!(first.contains(part), "{first}");
    }
    // USR1's and USR2's, without SIGPIPE.
    let signals = |name: &str| {
        let mask = first.split_once(name).unwrap().1.trim_start();
        u64::from_str_radix(&mask[..7], 16).unwrap()
    };
    assert_eq!(signals("SigBlk:"), 1 << (Signal::SIGUSR1 as i32 - 1));
    let ignored = signals("SigIgn:");
    assert_ne!(ignored & 1 << (Signal::SIGUSR2 as i32 - 1), 0);
    assert_eq!(ignored & 1 << (Signal::SIGPIPE as i32 - 1), 0);
    singleton.signal(Signal::SIGTERM);
    assert_eq!(singleton.status(), 143);
    let log = place.log();
    let told = log.matches("waiting to run the command again").count();
    assert_eq!(told, LIVES - 1, "{log}");
    assert!(place.leases("x").is_empty());
}

/// This also holds for the status that stands for a lost lock.
#[test]
fn the_commands_own_end_ends_the_run() {
    let place = Place::new();
    for status in [0, 7, 122] {
        let script = format!("exit {status}");
        let run = ["run", "x", "--restart", "--", "sh", "-c", &script];
        place.expect(&run, status);
    }
    let (mut singleton, file) = place.singleton(&[], "echo '1;' >>$0; exec sleep 1000");
    await_life(1, &file);
    place.end_lease();
    await_life(2, &file);
    let child = |pid: i32| {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        children.unwrap().trim().parse().unwrap()
    };
    let command = child(child(singleton.pid()));
    kill(Pid::from_raw(command), Signal::SIGUSR1).unwrap();
    assert_eq!(singleton.status(), 128 + Signal::SIGUSR1 as i32);
}

/// The wait and the condition to take the lock away count only for the first life.
#[test]
fn after_a_loss_it_waits_as_long_as_it_takes_and_takes_nothing_away() {
    let place = Place::new();
    let first_only = [
        &["--no-wait", "--force", "acquired equals true"][..],
        &["--wait", "200ms"],
    ];
    for arguments in first_only {
        let (mut singleton, file) = place.singleton(arguments, "echo '1;' >>$0; exec sleep 1000");
        await_life(1, &file);
        let force = ["--force", "acquired equals true"];
        let acquire = [&["acquire", "x", "--id", "other"][..], &force].concat();
        place.expect(&acquire, 0);
        let waits = || place.log().contains("waiting: it is held by \"other\"");
        eventually("it waits", waits);
        thread::sleep(Duration::from_secs(1));
        assert_eq!(place.leases("x"), ["other"]);
        assert!(is_alive(singleton.pid()), "{}", place.log());
        place.expect(&["release", "x", "--id", "other"], 0);
        await_life(2, &file);
        place.expect(&acquire, 0);
        eventually("it waits", || {
            place.log().matches("by \"other\"").count() >= 4
        });
        singleton.signal(Signal::SIGTERM);
        assert_eq!(singleton.status(), 143, "{}", place.log());
        assert!(place.log().contains("stopped waiting"), "{}", place.log());
        assert_eq!(lives(&file).len(), 2);
        fs::remove_file(&file).unwrap();
        place.expect(&["release", "x", "--id", "other"], 0);
    }
    // If the lock is held at first, they do count.
    place.expect(&["acquire", "x", "--id", "other"], 0);
    for wait in [&["--no-wait"][..], &["--wait", "100ms"]] {
        let run = [&["run", "x", "--restart"], wait, &["--", "true"]].concat();
        place.expect(&run, 124);
    }
}

/// The status when the signal was forwarded to a command that had already lost its lock.
const LOST: i32 = 122;

/// The signal comes while the command ends, between two lives, or while the lock is waited for.
#[test]
fn a_signal_at_any_moment_is_the_last_one() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        for round in 0..15_u64 {
            let place = Place::new();
            let (mut singleton, file) = place.singleton(&[], "echo '1;' >>$0; exec sleep 1000");
            await_life(1, &file);
            place.end_lease();
            thread::sleep(Duration::from_millis(7 * round));
            singleton.signal(signal);
            let ended = [LOST, 128 + signal as i32].contains(&singleton.status());
            assert!(ended, "round {round}: {}", place.log());
            assert!(place.leases("x").is_empty());
        }
    }
}

/// PID 1 of a container does not receive signals that it has no handler for.
#[test]
fn as_pid_1_no_signal_is_lost_between_two_lives() {
    for round in 0..10_u64 {
        let place = Place::new();
        let file = place.path("lives");
        let mut command = Command::new("unshare");
        if !geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        let script = "echo '1;' >>$0; exec sleep 1000";
        command
            .args(["--pid", "--fork", "--mount-proc", "--kill-child", LOCKHEED])
            .args(["-q", "run", "x", "--restart", "--", "sh", "-c", script])
            .arg(&file)
            .env("LOCKHEED_STORE", place.store());
        let mut unshare = Kept::spawn(&mut command);
        await_life(1, &file);
        let list = format!("/proc/{0}/task/{0}/children", unshare.pid());
        let init = fs::read_to_string(list).unwrap().trim().parse().unwrap();
        place.end_lease();
        thread::sleep(Duration::from_millis(7 * round));
        kill(Pid::from_raw(init), Signal::SIGTERM).unwrap();
        let ended = [LOST, 143].contains(&unshare.status());
        assert!(ended, "round {round}");
    }
}

/// A user who has asked the command to stop wants no new life.
#[test]
fn a_command_that_was_asked_to_end_does_not_run_again() {
    let place = Place::new();
    let script = "trap 'echo >$0.asked' TERM; echo '1;' >>$0; while :; do sleep 0.05; done";
    let (mut singleton, file) = place.singleton(&["--duration", "2s"], script);
    await_life(1, &file);
    singleton.signal(Signal::SIGTERM);
    eventually("it was asked", || file.with_extension("asked").exists());
    place.end_lease();
    assert_eq!(singleton.status(), 122, "{}", place.log());
    assert_eq!(lives(&file).len(), 1);
}

/// It has ended already, and a process that it has left behind has the rest of the grace period.
#[test]
fn a_command_does_not_run_again_after_a_hangup_while_its_tree_is_ended() {
    let place = Place::new();
    let script = "(trap '' TERM; echo >$0.left; while :; do sleep 0.05; done) & trap exit TERM
        until [ -e $0.left ]; do sleep 0.01; done; echo \"$$;\" >>$0; wait";
    let (mut singleton, file) = place.singleton(&["--duration", "1m", "--grace", "5s"], script);
    await_life(1, &file);
    let pid = i32::try_from(lives(&file)[0].0).unwrap();
    place.end_lease();
    eventually("the command has ended", || !is_alive(pid));
    singleton.signal(Signal::SIGHUP);
    assert_eq!(
        singleton.status(),
        128 + Signal::SIGHUP as i32,
        "{}",
        place.log()
    );
    assert_eq!(lives(&file).len(), 1);
}

/// Its guard killed it, because its client was stopped for longer than the lease.
#[test]
fn a_command_that_was_killed_at_the_deadline_runs_again() {
    let place = Place::new();
    let script = "trap '' TERM; echo \"$$;\" >>$0; while :; do sleep 0.05; done";
    let (mut singleton, file) = place.singleton(&["--duration", "1s"], script);
    await_life(1, &file);
    let pid = i32::try_from(lives(&file)[0].0).unwrap();
    singleton.signal(Signal::SIGSTOP);
    eventually("the command is killed", || !is_alive(pid));
    singleton.signal(Signal::SIGCONT);
    await_life(2, &file);
    singleton.signal(Signal::SIGTERM);
    assert_eq!(singleton.status(), 128 + Signal::SIGKILL as i32);
}

/// The command runs again once it has all of its locks again, each with a higher token.
#[test]
fn of_several_locks_each_is_acquired_again() {
    let place = Place::new();
    let file = place.path("lives");
    let script = r#"echo "$LOCKHEED_TOKEN_1;$LOCKHEED_TOKEN_2" >>"$0"; exec sleep 1000"#;
    let mut command = place.lockheed(&["run", "y", "x", "--restart", "--", "sh", "-c", script]);
    let mut singleton = Kept::spawn(command.arg(&file));
    for life in 1..=3 {
        await_life(life, &file);
        if life < 3 {
            place.expect(&["break", ["x", "y"][life - 1], "--yes"], 0);
        }
    }
    singleton.signal(Signal::SIGTERM);
    assert_eq!(singleton.status(), 143);
    let lives = lives(&file);
    assert!(lives.is_sorted_by(|a, b| a.0 < b.0), "{lives:?}");
    let others: Vec<u64> = lives
        .iter()
        .map(|(_, token)| token.parse().unwrap())
        .collect();
    assert!(others.is_sorted_by(|a, b| a < b), "{others:?}");
    assert!(place.leases("x").is_empty() && place.leases("y").is_empty());
}

#[test]
fn what_is_told_of_one_lock_is_refused_for_several() {
    let place = Place::new();
    for option in [
        ["--on-wait", "true"],
        ["--on-lost", "true"],
        ["--metrics", "/dev/null/x"],
    ] {
        let run = [&["run", "x", "y"][..], &option, &["--", "true"]].concat();
        let (status, _, stderr) = place.run(&run);
        assert_eq!(status, 64, "{stderr}");
        assert!(stderr.contains("are for one lock"), "{stderr}");
    }
}
