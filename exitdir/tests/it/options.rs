//! Further options of leaders and followers, and why a wait ended without a signal.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use exitdir::{ExitDir, Record};
use nix::{libc, sys::signal::Signal};
use tempfile::tempdir;
use testkit::process::{copy_program, words_of};

use crate::{Process, eventually, exitdir, run, sleeps, start, unique, unshare_mounts};

#[test]
fn a_follower_ends_with_its_leaders_status_if_asked_to() {
    for (record, status) in [
        (Record::exited(0), 0),
        (Record::exited(7), 7),
        (Record::killed(9), 137),
        (Record::default(), 0),
    ] {
        for (own, expected) in [("own", 0), ("leader", status)] {
            let dir = tempdir().unwrap();
            let long = unique();
            let follow = ["follow", "--status", own, "--", "sleep", &long];
            let follower = start(dir.path(), &follow);
            eventually("the command runs", || sleeps(&long));
            ExitDir::new(dir.path()).signal(&record).unwrap();
            assert_eq!(follower.code(), Some(expected), "{record:?}");
            // The same if the exit was signalled before the start.
            assert_eq!(run(dir.path(), &follow).0, Some(expected), "{record:?}");
        }
    }
    // A command that ends by itself keeps its own status.
    let dir = tempdir().unwrap();
    let follow = ["follow", "--status", "leader", "--", "sh", "-c", "exit 3"];
    assert_eq!(run(dir.path(), &follow).0, Some(3));
}

/// Answers one request, and returns its first line.
fn serve(listener: &TcpListener, answer: &str) -> String {
    let (mut connection, _) = listener.accept().unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    connection.write_all(answer.as_bytes()).unwrap();
    let request = String::from_utf8(request).unwrap();
    request.lines().next().unwrap().to_owned()
}

#[test]
fn a_helper_that_cannot_be_wrapped_is_asked_to_end_after_the_record_is_written() {
    let dir = tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/quitquitquit", listener.local_addr().unwrap());
    let lead = ["lead", "--post", &url, "--", "sh", "-c", "exit 7"];
    for (answer, warning) in [
        ("HTTP/1.1 200 OK\r\n\r\n", ""),
        ("HTTP/1.0 503 Busy\r\n\r\n", "answered with status 503"),
        ("hello\r\n", "the answer is not HTTP"),
    ] {
        let leader = exitdir(dir.path(), &lead)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        assert_eq!(serve(&listener, answer), "POST /quitquitquit HTTP/1.1");
        assert!(ExitDir::new(dir.path()).signalled().unwrap().is_some());
        let output = leader.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(7), "{stderr}");
        assert!(
            stderr.contains(warning) && stderr.is_empty() == warning.is_empty(),
            "{stderr}"
        );
        run(dir.path(), &["clear"]);
    }
    // First a server that accepts the connection and does not answer, then no server.
    let silent = [
        "lead",
        "--post-timeout",
        "200ms",
        "--post",
        &url,
        "--",
        "sh",
        "-c",
        "exit 7",
    ];
    let (code, _, stderr) = run(dir.path(), &silent);
    assert_eq!(code, Some(7));
    assert!(
        stderr.contains(&format!("POST {url} failed: no answer in time")),
        "{stderr}"
    );
    drop(listener);
    run(dir.path(), &["clear"]);
    let (code, _, stderr) = run(dir.path(), &lead);
    assert_eq!(code, Some(7));
    assert!(stderr.contains("Connection refused"), "{stderr}");
}

/// An invalid value is a failure of the wrapper, as an invalid lock name is for lockheed.
#[test]
fn a_post_to_what_is_no_url_fails_before_the_command_starts() {
    let dir = tempdir().unwrap();
    for (url, said) in [
        ("https://x/", "\"https://x/\" does not start with http://"),
        ("http://me:secret@x/", "\"http://***@x/\" is not a URL"),
        ("http://x:0/", "\"http://x:0/\" has a port"),
    ] {
        let lead = ["lead", "--post", url, "--", "echo", "started"];
        let (code, stdout, stderr) = run(dir.path(), &lead);
        assert_eq!((code, &*stdout), (Some(125), ""), "{stderr}");
        assert!(stderr.starts_with(&format!("exitdir: {said}")), "{stderr}");
        assert!(ExitDir::new(dir.path()).signalled().unwrap().is_none());
    }
}

/// What systemd, s6 and others pass on for readiness reaches the command: variables and
/// descriptors.
#[test]
fn readiness_is_the_commands_own_to_tell() {
    let dir = tempdir().unwrap();
    let script = "\"$0\" lead -- sh -c 'echo \"$NOTIFY_SOCKET\"; echo ready >&5' 5>&1";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_exitdir")]);
    let output = shell
        .env("EXIT_DIR", dir.path())
        .env("NOTIFY_SOCKET", "@x")
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"@x\nready\n");
}

#[test]
fn a_wait_says_why_nothing_came_of_it() {
    let dir = tempdir().unwrap();
    let warned = |text: &str| (Some(3), String::new(), format!("[WARN  exitdir] {text}\n"));
    let none = format!(
        "no leader was seen alive in exit directory {:?} within 50ms",
        dir.path()
    );
    let waited = run(dir.path(), &["wait", "--leader-by", "50ms"]);
    assert_eq!(waited, warned(&none));
    let follow = ["follow", "--leader-by", "50ms", "--", "sleep", "1000"];
    let (status, _, said) = run(dir.path(), &follow);
    assert!(status == Some(122) && said.contains(&none), "{said}");
    let leader = ExitDir::new(dir.path()).lead().unwrap();
    let mut waiter = exitdir(dir.path(), &["wait"]);
    let waiter = Process(waiter.stderr(Stdio::piped()).spawn().unwrap());
    eventually("it waits", || waiter.watches() && waiter.is_asleep());
    drop(leader);
    let mut waiter = waiter;
    let mut said = String::new();
    waiter
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "[WARN  exitdir] the leader died without signalling\n");
    assert_eq!(waiter.code(), Some(3));
    assert_eq!(
        run(dir.path(), &["status", "-o", "json"]),
        (Some(1), "null\n".to_owned(), String::new())
    );
    // Without a directory, the wait never ends.
    let mut waiter = exitdir("".as_ref(), &["wait"]);
    let waiter = Process(waiter.stderr(Stdio::piped()).spawn().unwrap());
    let mut waiter = waiter;
    let mut said = [0; 90];
    waiter
        .0
        .stderr
        .take()
        .unwrap()
        .read_exact(&mut said)
        .unwrap();
    assert!(said.starts_with(
        b"[WARN  exitdir] no exit directory given (--dir or EXIT_DIR), so nothing can signal"
    ));
}

/// Client, guard and command are three processes, and none needs another thread.
// Holds exitdir-6.
#[test]
fn a_follower_needs_no_thread() {
    let dir = tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let long = unique();
    let follower = start(dir.path(), &["follow", "--", "sleep", &long]);
    eventually("the command runs", || sleeps(&long));
    let threads = fs::read_dir(format!("/proc/{}/task", follower.pid())).unwrap();
    assert_eq!(threads.count(), 1);
    follower.send(Signal::SIGTERM);
    assert_eq!(follower.code(), Some(143));
}

mod needs_root {
    use super::*;

    /// Root has no such limit, and this user has no other process.
    #[test]
    #[ignore = "needs root"]
    fn a_limit_of_processes_is_an_error_or_enough() {
        let place = tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let tool = place.path().join("exitdir");
        copy_program(Path::new(env!("CARGO_BIN_EXE_exitdir")), &tool);
        let dir = place.path().join("dir");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        let limited = |limit: &str, how: &str| {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "54322", "--clear-groups", "prlimit", limit]);
            command
                .arg(&tool)
                .args([how, "--", "sh", "-c", "exit 7"])
                .env("EXIT_DIR", &dir);
            let output = command.output().unwrap();
            fs::remove_file(dir.join("exitFile")).ok();
            (
                output.status.code(),
                String::from_utf8(output.stderr).unwrap(),
            )
        };
        for how in ["lead", "follow"] {
            assert_eq!(limited("--nproc=3", how), (Some(7), String::new()), "{how}");
            for limit in [
                "--nproc=1",
                "--nproc=2",
                "--nofile=4",
                "--nofile=5",
                "--nofile=7",
            ] {
                let (code, stderr) = limited(limit, how);
                // If the test has inherited a descriptor, the dynamic linker already has one too
                // few.
                if stderr.contains("error while loading shared libraries") {
                    continue;
                }
                let works = code == Some(7);
                assert!(
                    works || code == Some(125),
                    "{how} {limit}: {code:?} {stderr}"
                );
                let reasons = [libc::EMFILE, libc::EAGAIN].map(words_of);
                assert!(
                    works || reasons.iter().any(|reason| stderr.contains(reason)),
                    "{how} {limit}: {stderr}"
                );
                assert!(!stderr.contains("bug"), "{how} {limit}: {stderr}");
            }
        }
    }
}

#[test]
fn signals_that_were_ignored_stay_so_while_it_waits() {
    let dir = tempdir().unwrap();
    let script = "trap '' INT HUP; \"$0\" wait & echo $!; wait $!";
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, env!("CARGO_BIN_EXE_exitdir")])
        .env("EXIT_DIR", dir.path());
    let mut shell = shell.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let stdout = shell.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    let waiter = nix::unistd::Pid::from_raw(line.trim().parse().unwrap());
    eventually("it waits", || {
        let stat = fs::read_to_string(format!("/proc/{waiter}/stat")).unwrap_or_default();
        stat.contains("(exitdir) S ")
    });
    for signal in [Signal::SIGINT, Signal::SIGHUP] {
        nix::sys::signal::kill(waiter, signal).unwrap();
    }
    run(dir.path(), &["exit"]);
    assert!(shell.wait().unwrap().success());
}

#[test]
fn as_pid_1_a_wait_reaps_what_it_inherits() {
    let dir = tempdir().unwrap();
    let place = tempdir().unwrap();
    let script = "(sh -c 'sleep 0.2 & : > \"$0\"' \"$1\" &) ; exec \"$0\" wait";
    let mut outer = unshare_mounts();
    outer.args([
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        script,
    ]);
    outer
        .arg(env!("CARGO_BIN_EXE_exitdir"))
        .arg(place.path().join("left"));
    let outer = Process(outer.env("EXIT_DIR", dir.path()).spawn().unwrap());
    let children = |process: &str| {
        let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
        children.unwrap_or_default().trim().to_owned()
    };
    let mut init = String::new();
    eventually("the orphan has begun", || {
        init = children(&outer.pid().to_string());
        place.path().join("left").exists() && !init.is_empty()
    });
    eventually("it waits", || {
        let stat = fs::read_to_string(format!("/proc/{init}/stat")).unwrap_or_default();
        stat.contains("(exitdir) S ")
    });
    eventually("the orphan is reaped", || children(&init).is_empty());
    run(dir.path(), &["exit"]);
    assert_eq!(outer.code(), Some(0));
}
