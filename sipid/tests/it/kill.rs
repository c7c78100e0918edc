//! How processes end.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};

use crate::support::{
    Kept, Lock, SIPID, claim, eventually, in_namespace, kill, ready_shell, sipid, sleeper,
    status_of,
};

fn claimed(process: &Kept) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    assert_eq!(claim(&process.pid(), &file), 0);
    (dir, file)
}

// Holds sipid-5.
#[test]
fn one_that_exits_on_term_and_is_left_a_zombie() {
    let mut process = sleeper();
    let (_dir, file) = claimed(&process);
    let started = Instant::now();
    let output = kill(&file, &["-v"]);
    assert!(output.status.success(), "{output:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    let said = String::from_utf8_lossy(&output.stderr);
    let sent = format!("[INFO  sipid] sent SIGTERM to process {}\n", process.pid());
    assert!(
        said.contains(&sent) && said.contains("[INFO  sipid] gone after "),
        "{said}"
    );
    assert!(!file.exists() && !file.with_file_name(".x.pid.sipid").exists());
    assert!(!process.is_alive());
    assert!(kill(&file, &[]).status.success(), "no file: nothing to do");
}

// Holds sipid-5.
#[test]
fn a_zombie_is_dead_and_so_is_what_is_gone() {
    let mut process = sleeper();
    let (_dir, file) = claimed(&process);
    process.0.kill().unwrap();
    eventually("a zombie", || {
        status_of(&["status", "--pid-file", file.to_str().unwrap()]) == 1
    });
    assert!(kill(&file, &[]).status.success());
    assert!(!file.exists());
}

#[test]
fn one_that_shows_its_stacks_on_quit() {
    let dir = tempfile::tempdir().unwrap();
    let stacks = dir.path().join("stacks");
    let mut process = ready_shell(&format!(
        "trap : TERM; trap 'echo stack >{}; exit' QUIT; echo; while :; do sleep 0.05; done",
        stacks.display()
    ));
    let (_dir, file) = claimed(&process);
    let output = kill(&file, &["--show-stacks", "--timeout", "100ms"]);
    assert!(output.status.success(), "{output:?}");
    eventually("gone", || !process.is_alive());
    assert_eq!(fs::read_to_string(stacks).unwrap(), "stack\n");
}

#[test]
fn one_that_never_ends_by_itself() {
    let mut process = ready_shell("trap '' TERM QUIT; echo; while :; do sleep 0.05; done");
    let (_dir, file) = claimed(&process);
    let output = kill(&file, &["--retry", "TERM/0.2s"]);
    assert_eq!(output.status.code(), Some(110), "{output:?}");
    assert!(file.exists() && process.is_alive());
    assert!(
        kill(&file, &["-v", "--retry", "TERM/0.1s/QUIT/0.1s/KILL"])
            .status
            .success()
    );
    assert!(!process.is_alive() && !file.exists());
}

#[test]
fn one_that_ends_when_it_has_been_asked_often() {
    let process =
        "n=0; trap 'n=$((n + 1)); [ $n -lt 3 ] || exit' USR1; echo; while :; do sleep 0.05; done";
    let mut process = ready_shell(process);
    let (_dir, file) = claimed(&process);
    let schedule = ["-v", "--retry", "CONT/forever/USR1/0.5s"];
    let output = kill(&file, &schedule);
    assert!(output.status.success() && !process.is_alive(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.matches("sent SIGUSR1").count() >= 3, "{said}");
    let bad = kill(&file, &["--retry", "20/TERM"]);
    assert_eq!(bad.status.code(), Some(64), "{bad:?}");
}

#[test]
fn a_stopped_one_sees_its_term() {
    let dir = tempfile::tempdir().unwrap();
    let ended = dir.path().join("ended");
    let mut process = ready_shell(&format!(
        "trap 'echo >{}; exit' TERM; echo; kill -STOP $$; while :; do sleep 0.05; done",
        ended.display()
    ));
    let (_dir, file) = claimed(&process);
    assert!(kill(&file, &["--timeout", "60s"]).status.success());
    eventually("gone", || !process.is_alive());
    assert!(ended.exists());
}

#[test]
fn a_group_ends_with_its_children() {
    use std::os::unix::process::CommandExt;
    let dir = tempfile::tempdir().unwrap();
    let check = dir.path().join("check");
    let script = format!(
        "exec 9>{}; flock 9; trap '' TERM; sleep 1000 & sleep 1000 & wait",
        check.display()
    );
    let mut process = Kept(
        Command::new("bash")
            .args(["-c", &script])
            .process_group(0)
            .spawn()
            .unwrap(),
    );
    let (_dir, file) = claimed(&process);
    let is_locked = || {
        !Command::new("flock")
            .arg("-n")
            .arg(&check)
            .arg("true")
            .status()
            .unwrap()
            .success()
    };
    eventually("the lock is held", is_locked);
    let output = kill(&file, &["--group", "--retry", "TERM/0.2s/KILL"]);
    assert!(output.status.success(), "{output:?}");
    assert!(!process.is_alive() && !is_locked());
    let mut member = sleeper();
    let (_dir, file) = claimed(&member);
    assert_eq!(kill(&file, &["--group"]).status.code(), Some(22));
    assert!(member.is_alive());
}

/// The kill is stopped while the old process ends and a new one claims, so that it continues after
/// both.
// Holds sipid-5.
#[test]
fn one_that_respawns_keeps_its_new_claim() {
    let dir = tempfile::tempdir().unwrap();
    let marker = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (asked, go) = (marker("asked"), marker("go"));
    let wait = format!("while [ ! -e {go} ]; do sleep 0.05; done");
    let mut first = ready_shell(&format!(
        "trap 'echo >{asked}; {wait}; exit' TERM; echo; while :; do sleep 0.05; done"
    ));
    let (_dir, file) = claimed(&first);
    let mut command = Command::new(SIPID);
    command
        .args(["kill", "--timeout", "10m", "--pid-file"])
        .arg(&file);
    let mut killer = Kept(command.spawn().unwrap());
    eventually("it is asked to end", || fs::exists(&asked).unwrap());
    let mut second = sleeper();
    assert_eq!(claim(&second.pid(), &file), 17, "the old one is not gone");
    signal("STOP", &killer);
    eventually("the kill has stopped", || state(&killer) == 'T');
    fs::write(&go, "").unwrap();
    eventually("the old one is gone", || !first.is_alive());
    assert_eq!(claim(&second.pid(), &file), 0, "the kill is not over");
    signal("CONT", &killer);
    assert!(killer.0.wait().unwrap().success());
    assert_eq!(fs::read_to_string(&file).unwrap(), second.pid());
    let args = ["status", "--pid-file", file.to_str().unwrap()];
    assert!(
        String::from_utf8(sipid(&args).stdout)
            .unwrap()
            .contains("identity known")
    );
    assert!(second.is_alive());
}

/// Many kills run at once. A kill that finds the process gone removes the file only if it is still
/// the old process's.
// Holds sipid-5.
#[test]
fn of_many_kills_none_takes_the_next_claim() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    for round in 0..50 {
        let process = sleeper();
        assert_eq!(claim(&process.pid(), &file), 0, "round {round}");
        let mut kills: Vec<Kept> = (0..10)
            .map(|_| {
                let mut command = Command::new(SIPID);
                command.args(["kill", "--pid-file"]).arg(&file);
                Kept(command.spawn().unwrap())
            })
            .collect();
        let mut next = sleeper();
        eventually("the next one claims", || claim(&next.pid(), &file) == 0);
        for kill in &mut kills {
            assert!(kill.0.wait().unwrap().success(), "round {round}");
        }
        // A kill that came after the claim has ended the next process; otherwise that claim stands.
        let content = fs::read_to_string(&file).ok();
        assert_eq!(content.is_some(), next.is_alive(), "round {round}");
        assert!(
            content.is_none_or(|content| content == next.pid()),
            "round {round}"
        );
        kill(&file, &[]);
    }
}

/// A claim first writes, and then cuts off the rest of a longer PID. A kill that has read the file
/// in between must still remove it.
#[test]
fn a_claim_that_was_still_being_written_is_removed_too() {
    let dir = tempfile::tempdir().unwrap();
    let asked = dir.path().join("asked");
    let mut process = ready_shell(&format!(
        "trap 'echo >{}' TERM; echo; while :; do sleep 0.05; done",
        asked.display()
    ));
    let (_dir, file) = claimed(&process);
    let mut command = Command::new(SIPID);
    command.args(["kill", "--retry", "TERM/1h", "--pid-file"]);
    let mut kill = Kept(command.arg(&file).spawn().unwrap());
    eventually("it has been read", || asked.exists());
    let written = |file: &Path| fs::metadata(file).unwrap().modified().unwrap();
    let before = written(&file);
    eventually("it is written later", || {
        let opened = fs::File::options().write(true).open(&file).unwrap();
        opened.set_len(process.pid().len() as u64).unwrap();
        written(&file) > before
    });
    process.0.kill().unwrap();
    assert!(kill.0.wait().unwrap().success());
    assert!(!file.exists());
}

/// Another kill, a status or a claim may be slow on a busy machine.
#[test]
fn a_lock_that_is_not_inherited_is_waited_for() {
    let mut process = sleeper();
    let (_dir, file) = claimed(&process);
    let lock = Lock::on(&file);
    let mut command = Command::new(SIPID);
    let mut kill = Kept(
        command
            .args(["kill", "--pid-file"])
            .arg(&file)
            .spawn()
            .unwrap(),
    );
    eventually("the process is gone", || !process.is_alive());
    // Longer than a claim would wait.
    std::thread::sleep(Duration::from_secs(1));
    assert!(kill.is_alive() && file.exists());
    drop(lock);
    assert!(kill.0.wait().unwrap().success());
    assert!(!file.exists());
}

fn signal(name: &str, process: &Kept) {
    let signal: Signal = format!("SIG{name}").parse().unwrap();
    let pid = Pid::from_raw(process.pid().parse().unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
}

fn state(process: &Kept) -> char {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
    stat.rsplit(") ").next().unwrap().chars().next().unwrap()
}

// Holds sipid-4.
#[test]
fn a_claimed_first_process_of_a_container_can_be_killed_from_inside() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap 'echo ended; exit 0' TERM; cd $2; $1 claim --pid 1 --pid-file x; $1 kill --pid-file x & wait";
    assert_eq!(in_namespace(script, dir.path()), "ended\n");
}
