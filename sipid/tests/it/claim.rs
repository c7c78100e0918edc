//! Races between claims, kills, renames and SIGKILL.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill as kill_process},
    unistd::Pid,
};
use testkit::Random;

use crate::support::{Kept, SIPID, claim, eventually, in_namespace, kill, sleeper, status_of};

// Holds sipid-1.
#[test]
fn of_a_hundred_claimants_exactly_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let mut processes: Vec<Kept> = (0..100).map(|_| sleeper()).collect();
    for round in 0..200 {
        let start = |process: &Kept| {
            let mut command = Command::new(SIPID);
            command
                .args(["claim", "--pid", &process.pid(), "--pid-file"])
                .arg(&file);
            command.stderr(Stdio::null()).spawn().unwrap()
        };
        let claims: Vec<_> = processes.iter().map(start).collect();
        let codes: Vec<_> = claims
            .into_iter()
            .map(|mut claim| claim.wait().unwrap().code().unwrap())
            .collect();
        let winners: Vec<_> = (0..100).filter(|&i| codes[i] == 0).collect();
        assert_eq!(winners.len(), 1, "round {round}: {codes:?}");
        assert!(
            codes.iter().all(|code| [0, 11, 17].contains(code)),
            "round {round}: {codes:?}"
        );
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            processes[winners[0]].pid()
        );
        processes[winners[0]] = sleeper();
    }
}

/// Each winner becomes a process without children, which holds a lock on `check` while it lives. A
/// winner that finds `check` locked has met another winner that is alive.
// Holds sipid-1.
#[test]
fn kills_looks_and_renames_never_make_two_winners() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (file, check, won) = (path("x.pid"), path("check"), path("won"));
    // A process that nobody can find any more, which would be a mistake, too, ends after a while.
    let note = format!("echo >>{won}; exec sleep 60");
    let live = ["flock", "--no-fork", "-nE", "99", &check, "sh", "-c", &note];
    let plain = format!("{SIPID} claim --pid $$ --pid-file {file} || exit; exec \"$@\"");
    let met = AtomicBool::new(false);
    let run = |command: &mut Command| {
        let ended = command.stderr(Stdio::null()).status().unwrap();
        if ended.code() == Some(99) {
            met.store(true, Ordering::Relaxed);
        }
    };
    let claim_plain = || run(Command::new("sh").args(["-c", &plain, "sh"]).args(live));
    let claim_held = || {
        let args = ["claim", "--pid-file", &file, "--"];
        run(Command::new(SIPID).args(args).args(live));
    };
    let end = || drop(kill(file.as_ref(), &["--retry", "KILL"]));
    let look = || {
        status_of(&["status", "--pid-file", &file]);
    };
    // A writer that respects the lock: it replaces the file by a copy, if the path still names the
    // file that it has locked.
    let replace =
        format!("[ {file} -ef /proc/self/fd/3 ] && cp {file} {file}.new && mv {file}.new {file}");
    let replace = format!("flock {file} -c '{replace}' 3<{file}");
    let rename = || run(Command::new("sh").args(["-c", &replace]));
    let over = AtomicBool::new(false);
    let repeat = |action: &(dyn Fn() + Sync)| {
        while !over.load(Ordering::Relaxed) {
            action();
        }
    };
    thread::scope(|scope| {
        let mixed_in: [&(dyn Fn() + Sync); 5] =
            [&claim_plain, &claim_plain, &claim_held, &look, &rename];
        let busy: Vec<_> = mixed_in
            .into_iter()
            .map(|action| scope.spawn(move || repeat(action)))
            .collect();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(15) && !met.load(Ordering::Relaxed) {
            end();
        }
        over.store(true, Ordering::Relaxed);
        // The last winners live until they are killed.
        while !busy.iter().all(thread::ScopedJoinHandle::is_finished) {
            end();
        }
    });
    assert!(!met.into_inner(), "two winners were alive at once");
    let winners = fs::read_to_string(&won).unwrap().len();
    assert!(winners > 20, "only {winners} have won");
}

/// The moments are random, from the start of a claim until a little after its usual end.
/// `TEST_SEED` repeats them.
// Holds sipid-1.
#[test]
fn a_claimant_killed_at_any_moment_blocks_and_loses_nothing() {
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let (first, second) = (sleeper(), sleeper());
    let usual = usual_time_of_a_claim(&first.pid(), &file);
    let (mut before, mut after) = (0, 0);
    for round in 0..500 {
        let mut claimant = start_claim(&first.pid(), &file);
        let moment = Duration::from_nanos(random.below(usual * 3 / 2));
        thread::sleep(moment);
        claimant.kill().unwrap();
        let won = claimant.wait().unwrap().code() == Some(0);
        let code = claim(&second.pid(), &file);
        let content = fs::read_to_string(&file).unwrap();
        match code {
            0 => assert!(!won && content == second.pid(), "round {round}: {content}"),
            17 => assert_eq!(content, first.pid(), "round {round}"),
            other => panic!("round {round}, {moment:?}: status {other}, content {content}"),
        }
        *(if code == 0 { &mut before } else { &mut after }) += 1;
        // The process that the file names is running, and it is the one to kill.
        assert_eq!(
            status_of(&["status", "--pid-file", file.to_str().unwrap()]),
            0
        );
        fs::remove_file(&file).unwrap();
    }
    assert!(before > 0 && after > 0, "{before} before, {after} after");
}

// Holds sipid-1.
#[test]
fn a_holder_killed_at_any_moment_blocks_nothing() {
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let mut process = sleeper();
    let usual = usual_time_of_a_claim(&process.pid(), &file);
    for round in 0..200 {
        let mut command = Command::new(SIPID);
        command.args(["claim", "--pid-file"]).arg(&file);
        command.args(["--", "sleep", "1000"]);
        let mut holder = command.stderr(Stdio::null()).spawn().unwrap();
        let moment = Duration::from_nanos(random.below(usual * 3 / 2));
        thread::sleep(moment);
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_eq!(claim(&process.pid(), &file), 0, "round {round}, {moment:?}");
        process = sleeper();
    }
}

fn start_claim(pid: &str, file: &Path) -> Child {
    let mut command = Command::new(SIPID);
    command
        .args(["claim", "--pid", pid, "--pid-file"])
        .arg(file);
    command.stderr(Stdio::null()).spawn().unwrap()
}

/// The median of some claims, in nanoseconds.
fn usual_time_of_a_claim(pid: &str, file: &Path) -> u64 {
    let mut times: Vec<Duration> = (0..21)
        .map(|_| {
            let started = Instant::now();
            assert!(start_claim(pid, file).wait().unwrap().success());
            let took = started.elapsed();
            fs::remove_file(file).unwrap();
            took
        })
        .collect();
    times.sort();
    times[10].as_nanos().try_into().unwrap()
}

#[test]
fn a_command_keeps_the_lock_and_its_children_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let mut command = Command::new(SIPID);
    command.args(["claim", "--pid-file"]).arg(&file).args([
        "--",
        "bash",
        "-c",
        "exec >/dev/null; sleep 1000 2>&1 & echo $! >&2; wait",
    ]);
    let mut holder = Kept(command.stderr(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(holder.0.stderr.take().unwrap()),
        &mut line,
    )
    .unwrap();
    let other = sleeper();
    assert_eq!(claim(&other.pid(), &file), 17);
    let started = Instant::now();
    let killed = kill(&file, &[]);
    assert_eq!(killed.status.code(), Some(11), "{killed:?}");
    // An inherited lock is not waited for, unlike a lock of another process.
    assert!(started.elapsed() < Duration::from_secs(25));
    assert!(
        String::from_utf8_lossy(&killed.stderr).contains(line.trim()),
        "{killed:?}"
    );
    assert_eq!(claim(&other.pid(), &file), 11);
    let holder = Pid::from_raw(line.trim().parse().unwrap());
    kill_process(holder, Signal::SIGTERM).unwrap();
    eventually("the lock is free", || claim(&other.pid(), &file) == 0);
}

/// Prints one line per claim: the pidfile, the claim's status, and the file's content, with P for
/// the claimed PID.
const CLAIM_EACH: &str = "
    say() { sed s/$P/P/ $1; echo; }
    claim() { prlimit --fsize=${2-unlimited} $S claim --pid $P --pid-file $1 2>/dev/null; echo $1 $? \"$(say $1)\"; }
    S=$1; cd $2; echo 12344 >/proc/sys/kernel/ns_last_pid; sleep 1000 & P=$!";

// Holds sipid-6.
#[test]
fn a_full_disk_leaves_the_old_or_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "{CLAIM_EACH}
        set -e; mount -t tmpfs -o size=16k none .; cd $2; printf 9999999 >old; : >empty
        dd if=/dev/zero of=fill bs=1k 2>/dev/null || true
        set +e; claim old; claim empty; claim new"
    );
    let output = in_namespace(&script, dir.path());
    // An existing file can be overwritten. Its identity cannot be written, and the claim does
    // without it.
    assert_eq!(output, "old 0 P\nempty 28 \nnew 28 \n");
}

/// On an overlay, such as a container's root, a write to a file needs room for a copy of it.
// Holds sipid-6.
#[test]
fn a_full_overlay_keeps_the_old_pid() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "{CLAIM_EACH}
        set -e; mkdir lower upper merged; printf 9999999 >lower/x
        mount -t tmpfs -o size=24k none upper; mkdir upper/files upper/work
        dirs=lowerdir=lower,upperdir=upper/files,workdir=upper/work
        mount -t overlay -o $dirs none merged 2>/dev/null || mount -t overlay -o userxattr,$dirs none merged
        dd if=/dev/zero of=upper/fill bs=1k 2>/dev/null || true
        set +e; claim merged/x"
    );
    assert_eq!(in_namespace(&script, dir.path()), "merged/x 28 9999999\n");
}

/// The last block of a disk may cut a write short like this. Here a limit lets three bytes in, or
/// none.
// Holds sipid-6.
#[test]
fn a_write_cut_short_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "{CLAIM_EACH}
        trap '' XFSZ; printf 9999999 >old; printf 2 >short; : >empty
        for f in old short empty new; do claim $f 3; done; claim old 0; claim old"
    );
    assert_eq!(
        in_namespace(&script, dir.path()),
        "old 28 9999999\nshort 28 2\nempty 28 \nnew 28 \nold 27 9999999\nold 0 P\n"
    );
}

#[test]
fn only_a_live_process_can_be_claimed_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("made/x.pid");
    for bad in ["0", "-1", "4294967297", "x", ""] {
        let pid = format!("--pid={bad}");
        assert_eq!(
            status_of(&["claim", &pid, "--pid-file", file.to_str().unwrap()]),
            22,
            "{bad:?}"
        );
    }
    let mut gone = sleeper();
    gone.0.kill().unwrap();
    eventually("a zombie is dead", || claim(&gone.pid(), &file) == 3);
    let process = sleeper();
    assert_eq!(claim(&process.pid(), &file), 0);
    assert_eq!(claim(&process.pid(), &file), 17);
}
