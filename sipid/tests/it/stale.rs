//! Pidfiles of other programs, which have no identity: what else tells whether a process is the one
//! that the file means.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use testkit::process::copy_program;

use crate::support::{
    Kept, SIPID, claim, eventually, in_namespace, kill, sipid, sleeper, status_of,
};

fn written_at(file: &Path, content: &str, time: SystemTime) {
    fs::write(file, content).unwrap();
    let opened = fs::File::options().write(true).open(file).unwrap();
    opened.set_modified(time).unwrap();
}

fn status(file: &Path, more: &[&str]) -> i32 {
    status_of(&[&["status", "--pid-file", file.to_str().unwrap()], more].concat())
}

/// Runs a copy of sleep with this name.
fn named(name: &str, dir: &Path) -> Kept {
    let program = dir.join(name);
    copy_program(Path::new("/bin/sleep"), &program);
    let process = Kept(Command::new(&program).arg("1000").spawn().unwrap());
    let comm = format!("/proc/{}/comm", process.pid());
    eventually("it has its name", || {
        fs::read_to_string(&comm).unwrap().trim_end() == name
    });
    process
}

#[test]
fn a_process_that_began_after_the_file_was_written_is_not_the_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let (mut process, other) = (sleeper(), sleeper());
    let now = SystemTime::now();
    for (ago, running) in [(0, true), (5, false), (1_000_000, false)] {
        written_at(&file, &process.pid(), now - Duration::from_secs(ago));
        assert_eq!(status(&file, &[]), i32::from(!running), "{ago}s ago");
        let signalled = ["signal", "--pid-file", file.to_str().unwrap(), "CONT"];
        assert_eq!(status_of(&signalled), if running { 0 } else { 3 });
        if !running {
            assert_eq!(kill(&file, &[]).status.code(), Some(0));
            assert!(!file.exists() && process.is_alive());
            written_at(&file, &process.pid(), now - Duration::from_secs(ago));
        }
        let claimed = claim(&other.pid(), &file);
        assert_eq!(claimed, if running { 17 } else { 0 }, "{ago}s ago");
        let _ = fs::remove_file(dir.path().join(".x.pid.sipid"));
    }
    // A time in the future proves nothing.
    written_at(&file, &process.pid(), now + Duration::from_secs(1_000_000));
    assert_eq!(status(&file, &[]), 0);
    // If the identity counts, the file's time does not matter.
    fs::remove_file(&file).unwrap();
    assert_eq!(claim(&process.pid(), &file), 0);
    assert_eq!(status(&file, &[]), 0);
}

#[test]
fn an_executable_a_name_and_a_user_tell_a_process_from_another() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let mut process = named("served", dir.path());
    fs::write(&file, process.pid()).unwrap();
    let program = dir.path().join("served");
    let program = program.to_str().unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(program, &link).unwrap();
    let user = nix::unistd::geteuid().to_string();
    let it_is: [&[&str]; 6] = [
        &["--exec", program],
        &["--exec", link.to_str().unwrap()],
        &["--name", "served"],
        &["--user", &user],
        &["--exec", program, "--name", "served", "--user", &user],
        &[],
    ];
    let it_is_not: [&[&str]; 5] = [
        &["--exec", "/bin/sleep"],
        &["--exec", "/no/such/program"],
        &["--name", "sleep"],
        &["--user", "4294967294"],
        &["--exec", program, "--name", "sleep"],
    ];
    let other = sleeper();
    let claim_with = |more: &[&str]| {
        let pid = other.pid();
        status_of(
            &[
                &["claim", "--pid", &pid, "--pid-file", file.to_str().unwrap()],
                more,
            ]
            .concat(),
        )
    };
    for more in it_is {
        assert_eq!(status(&file, more), 0, "{more:?}");
        assert_eq!(claim_with(more), 17, "{more:?}");
        assert!(
            sipid(
                &[
                    &["signal", "CONT", "--pid-file", file.to_str().unwrap()],
                    more
                ]
                .concat()
            )
            .status
            .success()
        );
    }
    for more in it_is_not {
        assert_eq!(status(&file, more), 1, "{more:?}");
        assert_eq!(kill(&file, more).status.code(), Some(0), "{more:?}");
        assert!(process.is_alive() && !file.exists(), "{more:?}");
        fs::write(&file, process.pid()).unwrap();
    }
    // After its file was replaced or removed, as in an upgrade, a process is still an instance of
    // it.
    let other = dir.path().join("other");
    fs::hard_link(program, &other).unwrap();
    fs::remove_file(program).unwrap();
    assert_eq!(status(&file, &["--exec", program]), 0);
    assert_eq!(status(&file, &["--exec", other.to_str().unwrap()]), 0);
    fs::copy("/bin/true", program).unwrap();
    assert_eq!(status(&file, &["--exec", program]), 0);
    assert!(kill(&file, &["--exec", program]).status.success());
    assert!(!process.is_alive());
}

#[test]
fn what_cannot_be_matched_is_wrong_usage() {
    let wrong: [&[&str]; 4] = [
        &["--name", "a-name-of-20-letters"],
        &["--name", ""],
        &["--user", "no-such-user"],
        &["--user", "+0"],
    ];
    for more in wrong {
        assert_eq!(status(Path::new("x.pid"), more), 64, "{more:?}");
    }
}

/// The file is from the container's earlier life. It names PID 1, or another PID that the claimant
/// itself has by now.
#[test]
fn a_restarted_container_takes_the_file_that_names_the_claimant() {
    let dir = tempfile::tempdir().unwrap();
    let script = "cd $2; echo -n 1 >plain; echo -n $$ >own; echo 1 >line
        $1 claim --pid $$ --pid-file plain; echo plain $?
        $1 claim --pid $$ --pid-file own; echo own $?
        $1 claim --pid $$ --pid-file own; echo again $?
        exec $1 claim --pid-file line -- $1 status --pid-file line";
    let said = in_namespace(script, dir.path());
    let expected = "plain 0\nown 0\nagain 17\nprocess 1 (\"line\") is running, identity known, lock held\nsipid: cannot claim \"own\": it is already claimed for process 1\n";
    assert_eq!(said, expected);
    // The next life claims again what the first one has claimed, whoever wrote it.
    let again = in_namespace(
        "cd $2; rm .own.sipid; for f in plain own; do $1 claim --pid $$ --pid-file $f; echo $?; done
        exec $1 claim --pid-file line -- echo ran",
        dir.path(),
    );
    assert_eq!(again, "0\n0\nran\n");
}

/// A claim becomes the command, whose PID may be the one in a stale file.
#[test]
fn a_command_takes_the_file_that_names_its_own_number() {
    let dir = tempfile::tempdir().unwrap();
    let script = "cd $2; sh -c 'echo $$ >x; exec '$1' claim --pid-file x -- echo ran'";
    assert_eq!(in_namespace(script, dir.path()), "ran\n");
}

/// A `postmaster.pid` looks like this: the PID, and then the directory, the time, the port, ...
#[test]
fn the_first_line_of_a_longer_file_counts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("postmaster.pid");
    let more = format!(
        "/var/lib/{}\n1700000000\n5432\n\nlocalhost\n  5432001    163840\nready   \n",
        "d".repeat(80)
    );
    for (before, after) in [("", "\n"), (" \n\t ", " \t\n"), ("", "\r\n")] {
        let (mut process, other) = (sleeper(), sleeper());
        fs::write(&file, format!("{before}{}{after}{more}", process.pid())).unwrap();
        assert_eq!(status(&file, &[]), 0);
        assert_eq!(claim(&other.pid(), &file), 17);
        assert!(kill(&file, &[]).status.success());
        assert!(!process.is_alive() && !file.exists());
    }
    // For a dead process, only the warning shows what was in the file.
    for content in ["2147483647\n", "x\n"] {
        let other = sleeper();
        fs::write(&file, format!("{content}{more}")).unwrap();
        let claimed = sipid(&[
            "claim",
            "--pid",
            &other.pid(),
            "--pid-file",
            file.to_str().unwrap(),
        ]);
        assert!(claimed.status.success());
        let said = String::from_utf8(claimed.stderr).unwrap();
        assert!(
            said.starts_with("[WARN  sipid] replacing ") && said.lines().count() == 1,
            "{said}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), other.pid());
    }
    for bad in ["-17\n", "1 2\n", "17 x\n", "x\n17\n"] {
        fs::write(&file, format!("{bad}{more}")).unwrap();
        assert_eq!(kill(&file, &[]).status.code(), Some(22), "{bad:?}");
        assert_eq!(status(&file, &[]), 22, "{bad:?}");
    }
}

/// A kill that has ended the process has succeeded, even if the file cannot be removed.
// Holds sipid-5.
#[test]
fn a_file_that_cannot_be_removed_is_emptied() {
    let (user, setup) = if nix::unistd::geteuid().is_root() {
        (
            "setpriv --reuid=65534 --regid=65534 --clear-groups",
            "chmod 755 .; cp $1 s; : >x; chown 65534 x",
        )
    } else {
        ("", "cp $1 s; : >x; chmod 555 .")
    };
    let script = format!(
        "cd $2; mkdir d; cd d; {setup}; chmod 755 ..
        {user} sh -c 'sleep 1000 >/dev/null 2>&1 & echo $! >x'
        for i in 1 2; do {user} ./s kill --pid-file x; echo $?; done
        kill -0 $(cat x) 2>/dev/null; wc -c <x; chmod 755 ."
    );
    let dir = tempfile::tempdir().unwrap();
    let said = in_namespace(&script, dir.path());
    if said.starts_with("0\n0\n0\n[WARN") {
        assert_eq!(said.lines().count(), 4, "{said}");
        assert!(said.contains("cannot remove \"x\": "), "{said}");
        assert!(said.ends_with("; emptied it instead\n"), "{said}");
    } else {
        // Root of a user namespace may do what its user may, so the directory's mode did not stop
        // it.
        assert!(!nix::unistd::geteuid().is_root(), "{said}");
    }
}

#[test]
fn a_missing_directory_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let quiet = kill(&dir.path().join("x.pid"), &[]);
    assert!(
        quiet.status.success() && quiet.stderr.is_empty(),
        "{quiet:?}"
    );
    let typo = kill(&dir.path().join("typo/x.pid"), &[]);
    assert_eq!(typo.status.code(), Some(0));
    let said = String::from_utf8(typo.stderr).unwrap();
    let directory = dir.path().join("typo");
    assert_eq!(
        said,
        format!(
            "[WARN  sipid] there is no directory {directory:?}, and so no pidfile and nothing to do\n"
        )
    );
}

#[test]
fn start_stop_daemons_schedules_are_read_as_they_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    for schedule in [
        "-15/5/-9/5",
        "-TERM/5/-KILL/5",
        "-SIGTERM/5",
        "15s/",
        "-CONT/0/-9",
    ] {
        let mut process = sleeper();
        fs::write(&file, process.pid()).unwrap();
        let killed = kill(&file, &["--retry", schedule]);
        let expected = if schedule == "15s/" { 64 } else { 0 };
        assert_eq!(
            killed.status.code(),
            Some(expected),
            "{schedule}: {killed:?}"
        );
        assert_eq!(process.is_alive(), expected != 0);
    }
}

// Holds sipid-2.
#[test]
fn a_signal_reaches_the_process_that_is_meant() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let path = file.to_str().unwrap();
    let missing = sipid(&["signal", "--pid-file", path, "HUP"]);
    assert_eq!(missing.status.code(), Some(3));
    assert_eq!(
        String::from_utf8(missing.stderr).unwrap(),
        format!("sipid: no process to signal: no pidfile at {file:?}\n")
    );
    let mut process =
        crate::support::ready_shell("trap 'exit 7' HUP; echo; while :; do sleep 0.05; done");
    assert_eq!(claim(&process.pid(), &file), 0);
    for bad in ["", "NOPE", "0", "99", "+1"] {
        assert_eq!(
            status_of(&["signal", "--pid-file", path, bad]),
            64,
            "{bad:?}"
        );
    }
    let sent = sipid(&["-v", "signal", "--pidfile", path, "-HUP"]);
    assert!(sent.status.success(), "{sent:?}");
    assert_eq!(
        String::from_utf8(sent.stderr).unwrap(),
        format!("[INFO  sipid] sent SIGHUP to process {}\n", process.pid())
    );
    assert_eq!(process.0.wait().unwrap().code(), Some(7));
    let gone = sipid(&["signal", "--pid-file", path, "HUP"]);
    assert_eq!(gone.status.code(), Some(3));
    assert_eq!(
        String::from_utf8(gone.stderr).unwrap(),
        format!("sipid: the process in {file:?} is not running\n")
    );
    assert!(file.exists(), "only a kill removes it");
    fs::write(&file, "1").unwrap();
    let init = Command::new(SIPID)
        .args(["signal", "--pid-file", path, "CONT"])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(init.status.code(), Some(22));
    assert_eq!(
        String::from_utf8(init.stderr).unwrap(),
        format!("sipid: refusing to signal PID 1: {file:?} was not written by sipid\n")
    );
}

/// Nothing in a file or in its name moves the cursor or hides anything.
#[test]
fn control_characters_are_shown_and_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("a\u{1b}[31m\u{202e}\u{9b}\u{2028}");
    fs::create_dir(&dir).unwrap();
    let file = dir.join("x\r\u{7f}.pid");
    let path = file.to_str().unwrap();
    let process = sleeper();
    let is_plain = |args: &[&str], expected: i32| {
        let output = sipid(&[&["-vv"], args, &["--pid-file", path]].concat());
        assert_eq!(output.status.code(), Some(expected), "{output:?}");
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let is_odd =
            |c: char| c != '\n' && (c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c));
        assert!(!said.contains(is_odd), "{args:?}: {said:?}");
    };
    for content in ["\u{1b}]0;owned\u{7}", "12\u{202e}", "\u{9b}2J", "1\r2"] {
        fs::write(&file, content).unwrap();
        is_plain(&["status"], 22);
        is_plain(&["kill"], 22);
        is_plain(&["signal", "HUP"], 22);
        is_plain(&["claim", "--pid", &process.pid()], 0);
        is_plain(&["claim", "--pid", "1"], 17);
    }
    // An identity with an invalid boot ID.
    let beside = dir.join(".x\r\u{7f}.pid.sipid");
    let identity = fs::read_to_string(&beside).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(&beside, identity.replace(boot.trim(), "\u{9b}2J\u{202e}")).unwrap();
    is_plain(&["status", "-o", "json"], 0);
    is_plain(&["status"], 0);
    is_plain(&["kill", "--retry", "\u{1b}[1m"], 64);
    is_plain(&["kill"], 0);
    is_plain(&["kill"], 0);
    is_plain(&["signal", "HUP"], 3);
}
