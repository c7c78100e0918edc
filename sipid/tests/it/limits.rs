//! Signals and limits that a claim finds and passes on.

use std::{
    fs,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use nix::libc;

use crate::support::{SIPID, claim, in_namespace, kill, sleeper, status_of};

/// Runs a command under a shell that ignores these signals, if any. Returns the signal masks.
fn dispositions(ignored: &str, command: &[&str]) -> String {
    let script = format!("trap '' {ignored} TTOU; exec \"$@\"");
    let args = [&["-c", &script, "bash"], command].concat();
    let output = Command::new("bash").args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let status = String::from_utf8(output.stdout).unwrap();
    let lines = status.lines().filter(|line| {
        ["SigBlk", "SigIgn", "SigCgt"]
            .iter()
            .any(|word| line.starts_with(word))
    });
    lines.collect::<Vec<_>>().join("\n")
}

// Holds sipid-7.
#[test]
fn what_was_ignored_stays_ignored_in_the_command_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let show = ["cat", "/proc/self/status"];
    for ignored in [
        "",
        "PIPE",
        "HUP INT TERM",
        "XFSZ",
        "HUP INT QUIT PIPE TERM USR1 CHLD XFSZ",
    ] {
        let args = [SIPID, "claim", "--pid-file", file.to_str().unwrap(), "--"];
        assert_eq!(
            dispositions(ignored, &[&args, &show[..]].concat()),
            dispositions(ignored, &show),
            "{ignored}"
        );
    }
}

// Holds sipid-7.
#[test]
fn what_was_blocked_stays_blocked_in_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let mut command = Command::new(SIPID);
    command.args(["claim", "--pid-file"]).arg(&file);
    command.args(["--", "grep", "SigBlk", "/proc/self/status"]);
    let block = || {
        let mut set = nix::sys::signal::SigSet::empty();
        set.add(nix::sys::signal::Signal::SIGTERM);
        set.add(nix::sys::signal::Signal::SIGUSR2);
        set.thread_block().map_err(std::io::Error::from)
    };
    // SAFETY: this only makes one system call.
    unsafe { command.pre_exec(block) };
    let output = command.output().unwrap();
    // 1 << 11 for USR2 (12), and 1 << 14 for TERM (15).
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "SigBlk:\t0000000000004800\n"
    );
}

/// The limit leaves room for the PID, but not for the identity, or not for the warning about that.
/// In each case, there is a whole claim or none.
// Holds sipid-6.
#[test]
fn a_limit_in_the_middle_of_a_claim_leaves_a_claim_or_none() {
    for limit in [0, 1, 3, 5, 8, 16, 64, 128, 4096] {
        for (output, before) in [("log", "0"), ("log", "4096"), ("/dev/null", "0")] {
            let dir = tempfile::tempdir().unwrap();
            let script = format!(
                "cd $2; S=$1; echo 12344 >/proc/sys/kernel/ns_last_pid; sleep 1000 & P=$!; truncate -s {before} log
                prlimit --fsize={limit} $S claim --pid $P --pid-file x 2>>{output}; C=$?
                $S status --pid-file x >/dev/null; echo $C $?"
            );
            let said = in_namespace(&script, dir.path());
            // A part of an identity must not be left behind.
            let identity = dir.path().join(".x.sipid");
            assert_eq!(identity.exists(), limit == 4096);
            let (claimed, status) = said.trim().split_once(' ').unwrap();
            assert!(
                ["0", "27", "28"].contains(&claimed),
                "{limit} {output} {before}: status {claimed}"
            );
            assert_eq!(
                claimed == "0",
                status == "0",
                "{limit} {output} {before}: {said}"
            );
        }
    }
}

/// Three of them are the standard streams.
#[test]
fn eight_descriptors_and_no_threads_are_enough() {
    let dir = tempfile::tempdir().unwrap();
    let script = "cd $2; ulimit -n 8; sleep 1000 & $1 claim --pid $! --pid-file x; echo $?
        $1 status --pid-file x >/dev/null; echo $?; $1 signal --pid-file x CONT; echo $?; $1 kill --pid-file x; echo $?
        $1 claim --pid-file x -- $1 status --pid-file x >/dev/null; echo $?
        ulimit -u 1; exec $1 claim --pid-file y -- $1 kill --pid-file x";
    assert_eq!(in_namespace(script, dir.path()), "0\n0\n0\n0\n0\n");
}

#[test]
fn a_mode_lets_others_read_what_is_claimed() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let mode = |name: &str| {
        let metadata = fs::metadata(dir.path().join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    let process = sleeper();
    let file = dir.path().join("new/x.pid");
    let claim_with = |mode: &str| {
        let pid = process.pid();
        let path = file.to_str().unwrap();
        let mut command = Command::new("bash");
        command.args([
            "-c",
            "umask 022; exec \"$@\"",
            "bash",
            SIPID,
            "claim",
            "--pid",
            &pid,
            "--pid-file",
            path,
        ]);
        command.args(["--mode", mode]).stderr(Stdio::null());
        command.status().unwrap().code().unwrap()
    };
    for bad in [
        "0666", "0400", "0755", "664", "x", "", "-1", "+644", "10644",
    ] {
        assert_eq!(claim_with(bad), 64, "{bad:?}");
    }
    assert_eq!(claim_with("0644"), 0);
    assert_eq!(
        (mode("new"), mode("new/x.pid"), mode("new/.x.pid.sipid")),
        (0o755, 0o644, 0o644)
    );
    fs::write(&file, "").unwrap();
    assert_eq!(claim_with("640"), 0);
    assert_eq!(
        (mode("new/x.pid"), mode("new/.x.pid.sipid")),
        (0o640, 0o640)
    );
    // Without `--mode`, an existing file keeps its mode.
    fs::write(&file, "").unwrap();
    assert_eq!(claim(&process.pid(), &file), 0);
    assert_eq!(mode("new/x.pid"), 0o640);
    assert_eq!(
        status_of(&["status", "--pid-file", file.to_str().unwrap()]),
        0
    );
    assert!(kill(&file, &[]).status.success());
}

/// Runs the tool while the kernel refuses these system calls with this error, as in a sandbox:
/// `seccomp(2)`.
fn refusing(calls: &[i64], error: i32, args: &[&str]) -> std::process::Output {
    let load_number = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let answer = |value| filter(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    let mut program = vec![filter(load_number, 0, 0, 0)];
    for &call in calls {
        let call = u32::try_from(call).unwrap();
        program.push(filter(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            call,
        ));
        program.push(answer(
            libc::SECCOMP_RET_ERRNO | u32::try_from(error).unwrap(),
        ));
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    let mut command = Command::new(SIPID);
    command.args(args);
    let set = move || {
        let program = libc::sock_fprog {
            len: u16::try_from(program.len()).unwrap_or(0),
            filter: program.as_ptr().cast_mut(),
        };
        // SAFETY: the program is valid during the call, and the kernel copies it.
        let failed = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                ) != 0
        };
        if failed {
            Err(std::io::Error::last_os_error())
        } else {
            Ok(())
        }
    };
    // SAFETY: this only makes two system calls.
    unsafe { command.pre_exec(set) };
    command.output().unwrap()
}

fn filter(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt,
        jf,
        k,
    }
}

/// Every call for pidfds, alone and together with the others.
#[test]
fn where_pidfds_are_refused_all_is_done_without() {
    let all = [libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal];
    for calls in [&all[..1], &all[1..], &all[..]] {
        for error in [libc::EPERM, libc::ENOSYS] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("x.pid");
            let path = file.to_str().unwrap();
            let mut process = sleeper();
            let run = |args: &[&str]| {
                let output = refusing(calls, error, &[args, &["--pid-file", path]].concat());
                assert!(output.stderr.is_empty(), "{calls:?} {error}: {output:?}");
                output.status.code().unwrap()
            };
            assert_eq!(run(&["claim", "--pid", &process.pid()]), 0);
            assert_eq!(run(&["status"]), 0);
            assert_eq!(run(&["signal", "CONT"]), 0);
            assert_eq!(run(&["kill"]), 0);
            assert!(!process.is_alive() && !file.exists());
        }
    }
}
