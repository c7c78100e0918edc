//! `claim --ready-timeout`: a start that returns when the command is ready.

use std::{
    env, fs,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::{SIPID, claim, kill, sleeper, status_of};

/// The messages that a command sends, and the user that it sends them as.
const WORDS: &str = "SIPID_TEST_WORDS";
const USER: &str = "SIPID_TEST_USER";

/// The tests start this program as the command, with only this test. Otherwise the test does
/// nothing.
#[test]
fn the_command_that_is_started() {
    let (Ok(words), Ok(name)) = (env::var(WORDS), env::var("NOTIFY_SOCKET")) else {
        return;
    };
    if let Ok(user) = env::var(USER) {
        let user = nix::unistd::Uid::from_raw(user.parse().unwrap());
        nix::unistd::setuid(user).unwrap();
    }
    let address = SocketAddr::from_abstract_name(&name[1..]).unwrap();
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect_addr(&address).unwrap();
    for word in words.split('|') {
        socket.send(word.as_bytes()).unwrap();
    }
    thread::sleep(Duration::from_secs(1000));
}

fn start(file: &Path, timeout: &str, command: &[&str]) -> Output {
    start_with(file, timeout, command, &[])
}

fn start_saying(file: &Path, timeout: &str, words: &str, user: Option<&str>) -> Output {
    let program = env::current_exe().unwrap();
    let command = [
        program.to_str().unwrap(),
        "--exact",
        "ready::the_command_that_is_started",
    ];
    let mut variables = vec![(WORDS, words)];
    variables.extend(user.map(|user| (USER, user)));
    start_with(file, timeout, &command, &variables)
}

fn start_with(file: &Path, timeout: &str, command: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut start = Command::new(SIPID);
    start
        .args(["claim", "--ready-timeout", timeout, "--pid-file"])
        .arg(file);
    start.envs(variables.iter().copied());
    // A command that stays must not keep a pipe of ours open.
    let stderr = file.with_extension("err");
    start
        .stdout(Stdio::null())
        .stderr(fs::File::create(&stderr).unwrap());
    let status = start.arg("--").args(command).status().unwrap();
    Output {
        status,
        stdout: Vec::new(),
        stderr: fs::read(stderr).unwrap(),
    }
}

fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    (dir, file)
}

#[test]
fn it_returns_when_the_command_is_ready_and_leaves_it_running() {
    let is_root = nix::unistd::geteuid().is_root();
    let users: &[Option<&str>] = if is_root {
        &[None, Some("65534")]
    } else {
        &[None]
    };
    for user in users {
        for words in ["READY=1", "STATUS=warming up|MAINPID=1\nREADY=1\n"] {
            let (_dir, file) = place();
            let started = start_saying(&file, "2m", words, *user);
            assert!(started.status.success(), "{started:?}");
            assert_eq!(
                status_of(&["status", "--pid-file", file.to_str().unwrap()]),
                0
            );
            let other = sleeper();
            assert_eq!(claim(&other.pid(), &file), 17, "the lock is held");
            assert!(kill(&file, &[]).status.success());
        }
    }
}

#[test]
fn a_command_that_is_not_ready_in_time_is_ended() {
    let (_dir, file) = place();
    let begun = Instant::now();
    let started = start_saying(&file, "300ms", "READY=0|NOTREADY=1", None);
    assert_eq!(started.status.code(), Some(110), "{started:?}");
    let said = String::from_utf8(started.stderr).unwrap();
    assert_eq!(
        said,
        "sipid: the command was not ready within 300ms, and was ended\n"
    );
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(
        status_of(&["status", "--pid-file", file.to_str().unwrap()]),
        1
    );
}

#[test]
fn what_fails_before_it_is_ready_is_told_at_once() {
    let (_dir, file) = place();
    assert_eq!(
        start(&file, "10m", &["sh", "-c", "exit 42"]).status.code(),
        Some(42)
    );
    assert_eq!(start(&file, "10m", &["true"]).status.code(), Some(3));
    assert_eq!(
        start(&file, "10m", &["./no-such-command"]).status.code(),
        Some(127)
    );
    let other = sleeper();
    assert_eq!(claim(&other.pid(), &file), 0);
    let second = start(&file, "10m", &["sleep", "1000"]);
    assert_eq!(second.status.code(), Some(17), "{second:?}");
    assert_eq!(String::from_utf8(second.stderr).unwrap().lines().count(), 1);
}

mod needs_root {
    use super::*;

    /// The socket has a name that every user can see.
    #[test]
    #[ignore = "needs root"]
    fn the_word_of_another_user_does_not_count() {
        let (dir, file) = place();
        let said = dir.path().join("said");
        let program = env::current_exe().unwrap();
        // One of its threads sleeps once it has sent its message.
        let script = "\"$0\" --exact ready::the_command_that_is_started & \
            until grep -qs 65534 /proc/$!/status && grep -qs nanosleep /proc/$!/task/*/wchan; do \
                sleep 0.05; \
            done; touch \"$1\"; kill $!";
        let command = [
            "sh",
            "-c",
            script,
            program.to_str().unwrap(),
            said.to_str().unwrap(),
        ];
        let started = start_with(
            &file,
            "2m",
            &command,
            &[(WORDS, "READY=1"), (USER, "65534")],
        );
        assert_eq!(started.status.code(), Some(3), "{started:?}");
        assert!(said.exists());
    }
}
