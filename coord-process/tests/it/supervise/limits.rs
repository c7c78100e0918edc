//! Resources that run out, and a `/proc` of another PID namespace.

use std::process::{Command, Output, Stdio};

use nix::unistd::geteuid;
use testkit::process::copy_program;

use super::{example, fifo, sleeps, start, unique};

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// With so few descriptors, either an error says so before the command starts, or the tree is ended
/// as usual.
#[test]
fn descriptors_run_out_before_the_command_starts_or_not_at_all() {
    for limit in 3..24 {
        let long = unique();
        let (_place, fifo) = fifo();
        let until = fifo.to_str().unwrap();
        let script = format!(
            "echo ran; trap '' TERM; (setsid sleep {long} &); echo end >{until}; \
             sleep {long}; sleep {long}"
        );
        let mut command = Command::new("prlimit");
        command
            .arg(format!("--nofile={limit}:{limit}"))
            .arg(example("supervise"))
            .args(["--until", until, "--grace", "100", "sh", "-c", &script]);
        let (status, said, error) = output(&mut command);
        if status == Some(122) {
            assert_eq!(said, "ran\n", "{limit}: {error}");
        } else {
            assert_eq!(said, "", "{limit}: {error}");
            let names = ["os error 24", "code: 24,", "shared libraries"];
            assert!(
                names.iter().any(|name| error.contains(name)),
                "{limit}: {error}"
            );
        }
        assert!(!sleeps(&long), "{limit}");
    }
}

#[test]
fn the_command_has_the_limit_of_descriptors_that_the_supervisor_was_started_with() {
    let mut command = Command::new("prlimit");
    command
        .arg("--nofile=100:500")
        .arg(example("supervise"))
        .args(["sh", "-c", "ulimit -Sn; ulimit -Hn"]);
    assert_eq!(output(&mut command).1, "100\n500\n");
}

/// The example does not have the tools' allocator. It may abort, but not once the command runs.
#[test]
fn memory_runs_out_before_the_command_starts() {
    let mut ran = false;
    for kib in (2_000..16_000).step_by(500) {
        let long = unique();
        let script = format!("echo ran; trap '' TERM; (setsid sleep {long} &); sleep {long}");
        let mut command = Command::new("prlimit");
        command
            .arg(format!("--as={}", kib * 1024))
            .arg(example("supervise"))
            .args(["--until-ms", "100", "--grace", "100", "sh", "-c", &script]);
        let (status, said, error) = output(&mut command);
        // On a busy machine, the command may not have printed anything when the deadline comes.
        let runs = said == "ran\n";
        ran |= runs;
        if runs {
            assert_eq!(status, Some(122), "{kib} KiB: {error}");
        } else {
            // The shell may have too little memory to say why.
            assert!(
                !error.is_empty() || status != Some(0),
                "{kib} KiB: {status:?}"
            );
        }
        assert!(!sleeps(&long), "{kib} KiB");
    }
    assert!(ran, "16 MB are enough");
}

mod needs_root {
    use super::*;

    /// Runs as a user that has no other process, because root's processes are not limited.
    #[test]
    #[ignore = "needs root"]
    fn processes_run_out_before_the_command_starts() {
        let place = tempfile::tempdir_in("/tmp").unwrap();
        let program = place.path().join("supervise");
        copy_program(&example("supervise"), &program);
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(place.path(), open).unwrap();
        let user = (1_000_000 + std::process::id()).to_string();
        let mut ran = 0;
        for limit in 1..=3 {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", &user, "--clear-groups", "prlimit"])
                .arg(format!("--nproc={limit}:{limit}"))
                .arg(&program)
                .args(["sh", "-c", "echo ran"]);
            let (status, said, error) = output(&mut command);
            if said == "ran\n" {
                assert_eq!(status, Some(0), "{error}");
                ran += 1;
            } else {
                assert_eq!((status, said.as_str()), (Some(125), ""), "{limit}: {error}");
                assert!(error.contains("(fork)"), "{error}");
            }
        }
        assert_eq!(ran, 1, "three processes are enough, two are not");
    }
}

/// The PIDs that it shows belong to other processes, which would be signalled.
#[test]
fn the_proc_of_another_pid_namespace_is_refused() {
    let mut command = Command::new("unshare");
    if !geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .args(["--pid", "--fork"])
        .arg(example("supervise"))
        .args(["sh", "-c", "echo ran"]);
    let (status, said, error) = output(&mut command);
    assert_eq!((status, said.as_str()), (Some(125), ""), "{error}");
    assert!(
        error.contains("/proc shows another PID namespace"),
        "{error}"
    );
}

/// This process is not in it at all, and even `/proc/self` is missing.
#[test]
fn the_proc_of_a_pid_namespace_below_is_refused() {
    let (mut unshare, mut nsenter) = (Command::new("unshare"), Command::new("nsenter"));
    if !geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
        nsenter.args(["--user", "--preserve-credentials"]);
    }
    unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    let mut below = start(unshare.args(["sh", "-c", "echo ready; exec sleep 1000"]));
    below.says("ready");
    nsenter.args(["--target", &below.pid().to_string(), "--mount"]);
    nsenter
        .arg(example("supervise"))
        .args(["sh", "-c", "echo ran"]);
    let (status, said, error) = output(&mut nsenter);
    assert_eq!((status, said.as_str()), (Some(125), ""), "{error}");
    let expected = "/proc shows another PID namespace";
    assert!(error.contains(expected), "{error}");
}
