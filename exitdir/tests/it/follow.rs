//! Followers, and what happens to their commands.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, time::clock_getcpuclockid, unistd::Pid};
use tempfile::tempdir;

use crate::{Process, eventually, exitdir, run, runs, sleeps, start, unique};

// Holds exitdir-1.
#[test]
fn followers_before_beside_and_after_the_signal_all_end() {
    let dir = tempdir().unwrap();
    let long = unique();
    let follower = || start(dir.path(), &["follow", "--", "sleep", &long]);
    let before = follower();
    eventually("the first command runs", || sleeps(&long));
    let signal = start(dir.path(), &["exit"]);
    let beside: Vec<_> = (0..10).map(|_| follower()).collect();
    assert_eq!(signal.code(), Some(0));
    let after = follower();
    for follower in [before, after].into_iter().chain(beside) {
        assert_eq!(follower.code(), Some(0));
    }
    assert!(!sleeps(&long));
}

#[test]
fn a_follower_that_comes_after_the_signal_does_not_run_its_command() {
    let dir = tempdir().unwrap();
    run(dir.path(), &["exit"]);
    let (code, stdout, stderr) = run(dir.path(), &["-v", "follow", "--", "echo", "ran"]);
    assert_eq!((code, stdout), (Some(0), String::new()));
    assert_eq!(
        stderr,
        "[INFO  exitdir] it is time to exit already, and the command is not run\n"
    );
}

/// By default, a user may have 128 inotify instances. So some followers use events, and the others
/// poll.
// Holds exitdir-1.
#[test]
fn five_hundred_followers_end_on_one_signal() {
    let dir = tempdir().unwrap();
    let long = unique();
    let how = |number| match number {
        0..30 => vec!["wait"],
        30..60 => vec!["follow", "--", "sleep", &long],
        60..160 => vec!["follow", "--poll", "250ms", "--", "sleep", &long],
        _ => vec!["wait", "--poll", "250ms"],
    };
    let followers: Vec<_> = (0..500)
        .map(|number| start(dir.path(), &how(number)))
        .collect();
    assert_eq!(run(dir.path(), &["exit"]).0, Some(0));
    for follower in followers {
        assert_eq!(follower.code(), Some(0));
    }
    assert!(!sleeps(&long));
}

#[test]
fn without_a_directory_nothing_changes() {
    for empty in [false, true] {
        let run = |arguments: &[&str]| {
            let mut command = exitdir("".as_ref(), arguments);
            if !empty {
                command.env_remove("EXIT_DIR");
            }
            let output = command.output().unwrap();
            let json = arguments.contains(&"json");
            assert_eq!(output.stdout, if json { "null\n" } else { "" }.as_bytes());
            (
                output.status.code(),
                String::from_utf8(output.stderr).unwrap(),
            )
        };
        let none = "no exit directory given (--dir or EXIT_DIR), so nothing can signal";
        let warned = |code, more: &str| (Some(code), format!("[WARN  exitdir] {none}{more}\n"));
        let silent = |code| (Some(code), String::new());
        assert_eq!(run(&["exit"]), warned(0, ""));
        assert_eq!(run(&["clear"]), warned(0, ", and nothing is cleared"));
        assert_eq!(run(&["status"]), warned(1, ""));
        assert_eq!(run(&["status", "-o", "json"]), warned(1, ""));
        assert_eq!(
            run(&["wait", "--timeout", "50ms"]),
            (Some(110), format!("exitdir: {none}; waited 50ms\n"))
        );
        assert_eq!(run(&["lead", "--", "sh", "-c", "exit 7"]), silent(7));
        assert_eq!(run(&["follow", "--", "sh", "-c", "exit 8"]), silent(8));
    }
    // The option takes precedence over the variable, before and after the command.
    let dir = tempdir().unwrap();
    let option = dir.path().to_str().unwrap();
    assert_eq!(
        run("/no/such".as_ref(), &["--dir", option, "exit"]).0,
        Some(0)
    );
    assert_eq!(
        run("/no/such".as_ref(), &["status", "--dir", option]).0,
        Some(0)
    );
}

#[test]
fn a_command_that_ignores_the_signal_is_killed_after_the_grace_period() {
    let dir = tempdir().unwrap();
    let long = unique();
    let script = format!("trap '' TERM; sleep {long}; sleep {long}");
    let grace = ["follow", "--grace", "500ms", "--", "sh", "-c", &script];
    let follower = start(dir.path(), &grace);
    eventually("the command runs", || sleeps(&long));
    let signalled = Instant::now();
    run(dir.path(), &["exit"]);
    assert_eq!(follower.code(), Some(0));
    assert!(signalled.elapsed() >= Duration::from_millis(500));
    assert!(!sleeps(&long));
}

#[test]
fn the_signal_that_asks_the_command_to_end_can_be_chosen() {
    for signal in ["USR1", "sigusr1", "10"] {
        let dir = tempdir().unwrap();
        let long = unique();
        let script = format!("trap 'echo asked; exit' USR1; sleep {long} & wait");
        let mut command = exitdir(
            dir.path(),
            &["follow", "--signal", signal, "--", "sh", "-c", &script],
        );
        let follower = command.stdout(Stdio::piped()).spawn().unwrap();
        eventually("the command runs", || sleeps(&long));
        run(dir.path(), &["exit"]);
        let output = follower.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), output.stdout),
            (Some(0), b"asked\n".to_vec())
        );
        assert!(!sleeps(&long));
    }
}

// Holds exitdir-5.
#[test]
fn a_command_that_daemonises_leaves_nothing_behind() {
    let dir = tempdir().unwrap();
    let long = unique();
    let daemon = format!("(setsid sh -c 'sleep {long} & exec sleep {long}' >/dev/null &)");
    // The command exits by itself.
    let script = format!("{daemon}; exit 3");
    assert_eq!(
        run(dir.path(), &["follow", "--", "sh", "-c", &script]).0,
        Some(3)
    );
    assert!(!sleeps(&long));
    // The command is ended.
    let script = format!("{daemon}; while :; do sleep 0.05; done");
    let follower = start(dir.path(), &["follow", "--", "sh", "-c", &script]);
    eventually("the daemon runs", || sleeps(&long));
    run(dir.path(), &["exit"]);
    assert_eq!(follower.code(), Some(0));
    assert!(!sleeps(&long));
}

// Holds exitdir-5.
#[test]
fn a_stopped_command_is_ended_too() {
    let dir = tempdir().unwrap();
    let script = format!("kill -STOP $$; sleep {}", unique());
    let follower = start(dir.path(), &["follow", "--", "sh", "-c", &script]);
    eventually("the command is stopped", || {
        let shells = fs::read_dir("/proc").unwrap().flatten();
        shells.map(|entry| entry.path()).any(|process| {
            let command = format!("sh\0-c\0{script}\0");
            fs::read(process.join("cmdline")).is_ok_and(|line| line == command.as_bytes())
                && fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") T "))
        })
    });
    run(dir.path(), &["exit"]);
    assert_eq!(follower.code(), Some(0));
    assert!(!runs(&["sh", "-c", &script]));
}

// Holds exitdir-5.
#[test]
fn killing_the_supervisor_ends_the_whole_tree() {
    for command in ["follow", "lead"] {
        let dir = tempdir().unwrap();
        let long = unique();
        let ready = tempdir().unwrap();
        let file = ready.path().join("ready");
        let script = format!(
            "(setsid sleep {long} &); sleep {long} & : > {}; exec sleep {long}",
            file.display()
        );
        let supervisor = start(dir.path(), &[command, "--", "sh", "-c", &script]);
        eventually("the command runs", || file.exists());
        supervisor.send(Signal::SIGKILL);
        supervisor.finish();
        eventually("the tree is gone", || !sleeps(&long));
    }
}

/// The processor time that a process has used.
fn cpu_time(process: Pid) -> Duration {
    clock_getcpuclockid(process).unwrap().now().unwrap().into()
}

// Holds exitdir-6.
#[test]
fn waiting_costs_no_cpu_time() {
    for arguments in [
        &["wait"][..],
        &["follow", "--", "sleep", "1000"],
        &["lead", "--", "sleep", "1000"],
    ] {
        let dir = tempdir().unwrap();
        let process = start(dir.path(), arguments);
        let guard = || {
            let children = format!("/proc/{0}/task/{0}/children", process.pid());
            let children = fs::read_to_string(children).unwrap();
            children
                .split_whitespace()
                .map(|pid| Pid::from_raw(pid.parse().unwrap()))
                .next()
        };
        eventually("it waits", || match arguments[0] {
            "wait" => process.watches(),
            "follow" => process.watches() && guard().is_some(),
            _ => crate::is_led(dir.path()) && guard().is_some(),
        });
        let processes: Vec<_> = guard().into_iter().chain([process.pid()]).collect();
        let used = || {
            processes
                .iter()
                .map(|process| cpu_time(*process))
                .sum::<Duration>()
        };
        let before = used();
        // The used time is measured during this pause.
        std::thread::sleep(Duration::from_secs(3));
        let used = used() - before;
        assert!(used < Duration::from_millis(20), "{arguments:?}: {used:?}");
    }
}

#[test]
fn no_descriptor_leaks_and_the_streams_stay_what_they_were() {
    let place = tempdir().unwrap();
    fs::write(place.path().join("in"), "input\n").unwrap();
    // Prints what some descriptors are, and lists all descriptors of the shell. `ls` lists them,
    // because the shell would open one more for that.
    let script = "cat; for fd in 0 1 2 7; do readlink /proc/$$/fd/$fd; done; ls /proc/$$/fd >&2";
    let streams = |mut command: Command| {
        let out = place.path().join("out");
        let file = |name: &str| File::create(place.path().join(name)).unwrap();
        command.stdin(File::open(place.path().join("in")).unwrap());
        let ended = command
            .stdout(file("out"))
            .stderr(file("err"))
            .status()
            .unwrap();
        assert!(ended.success());
        [
            fs::read_to_string(out).unwrap(),
            fs::read_to_string(place.path().join("err")).unwrap(),
        ]
    };
    let with_seven = |words: &[&str]| {
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$@\" 7</dev/null", "sh"])
            .args(words);
        command
    };
    let plain = streams(with_seven(&["sh", "-c", script]));
    assert!(plain[0].starts_with("input\n"), "{plain:?}");
    for how in ["follow", "lead"] {
        let dir = tempdir().unwrap();
        let mut command =
            with_seven(&[env!("CARGO_BIN_EXE_exitdir"), how, "--", "sh", "-c", script]);
        command.env("EXIT_DIR", dir.path());
        assert_eq!(streams(command), plain, "{how}");
    }
}

#[test]
fn statuses_tell_what_went_wrong() {
    let dir = tempdir().unwrap();
    let status = |arguments: &[&str]| run(dir.path(), arguments).0;
    for how in ["follow", "lead"] {
        assert_eq!(status(&["clear"]), Some(0));
        assert_eq!(status(&[how, "--", "/no/such"]), Some(127));
        assert_eq!(status(&["clear"]), Some(0));
        assert_eq!(status(&[how, "--", "/etc/passwd"]), Some(126));
        assert_eq!(status(&["clear"]), Some(0));
        assert_eq!(status(&[how, "--", "sh", "-c", "kill -9 $$"]), Some(137));
        assert_eq!(
            run(&dir.path().join("none"), &[how, "--", "true"]).0,
            Some(125)
        );
        assert_eq!(status(&[how]), Some(64));
        assert_eq!(status(&[how, "--signal", "NONE", "--", "true"]), Some(64));
        assert_eq!(status(&[how, "--grace", "5x", "--", "true"]), Some(64));
    }
    assert_eq!(status(&["wait", "--timeout", "0s"]), Some(64));
    assert_eq!(status(&["wait", "--poll", "0s"]), Some(64));
}

#[test]
fn as_pid_1_it_is_signalled_and_passes_signals_on() {
    let dir = tempdir().unwrap();
    let in_container = |script: &str| {
        let mut command = crate::unshare_mounts();
        command.args([
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            env!("CARGO_BIN_EXE_exitdir"),
        ]);
        command
            .args(["follow", "--", "sh", "-c", script])
            .env("EXIT_DIR", dir.path());
        command
    };
    let script = "trap 'echo term; exit 9' TERM; kill -TERM 1; while :; do sleep 0.02; done";
    let output = in_container(script).output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout),
        (Some(9), b"term\n".to_vec())
    );
    let long = unique();
    let follower = Process(in_container(&format!("exec sleep {long}")).spawn().unwrap());
    eventually("the command runs", || sleeps(&long));
    run(dir.path(), &["exit"]);
    assert_eq!(follower.code(), Some(0));
}
