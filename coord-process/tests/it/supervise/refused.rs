//! System calls that a filter refuses, as sandboxes do: either a fallback works, or the error names
//! the call.

use std::process::{Command, Stdio};

use nix::libc;
use testkit::refusal::{Call, refuse};

use super::{example, fifo, sleeps, unique};

/// The call, its name in an error, and whether an error is expected.
const TABLE: [(libc::c_long, &str, bool); 16] = [
    (libc::SYS_pidfd_open, "pidfd_open", false),
    (libc::SYS_pidfd_send_signal, "pidfd_send_signal", false),
    (libc::SYS_timerfd_create, "timerfd_create", false),
    (libc::SYS_timerfd_settime, "timerfd_settime", false),
    (libc::SYS_signalfd4, "signalfd", false),
    (libc::SYS_prlimit64, "prlimit", false),
    (libc::SYS_setpgid, "setpgid", true),
    (libc::SYS_prctl, "prctl", true),
    (libc::SYS_socketpair, "socketpair", true),
    (libc::SYS_shutdown, "shutdown", false),
    (libc::SYS_pipe2, "pipe2", true),
    (libc::SYS_wait4, "waitpid", true),
    (libc::SYS_ppoll, "poll", true),
    (libc::SYS_clone, "fork", true),
    (libc::SYS_readlinkat, "readlink", true),
    (libc::SYS_setrlimit, "setrlimit", false),
];

#[test]
fn a_call_that_is_refused_is_replaced_or_named() {
    for (call, name, named) in TABLE {
        for errno in [libc::EPERM, libc::ENOSYS] {
            let long = unique();
            let (_place, fifo) = fifo();
            let until = fifo.to_str().unwrap();
            let script = format!(
                "trap '' TERM; (setsid sleep {long} &); echo ran; echo end >{until}; \
                 sleep {long}; sleep {long}"
            );
            let mut command = Command::new(example("supervise"));
            command
                .args(["--until", until, "--grace", "200", "sh", "-c", &script])
                .stdin(Stdio::null());
            let ended = refuse(&mut command, Call::any(call), errno);
            let ended = ended.output().unwrap();
            let said = String::from_utf8(ended.stdout).unwrap();
            let error = String::from_utf8(ended.stderr).unwrap();
            let what = format!(
                "{name} refused with {errno}: {:?} {said:?} {error:?}",
                ended.status
            );
            if ended.status.code() == Some(122) {
                assert!(!named && said == "ran\n", "{what}");
            } else {
                assert_eq!(ended.status.code(), Some(125), "{what}");
                assert!(named && said.is_empty() && error.contains(name), "{what}");
            }
            assert!(!sleeps(&long), "{what}");
        }
    }
}

/// The guard then waits for its timer in the place of the client's pidfd.
#[test]
fn without_pidfds_a_deadline_is_not_the_death_of_the_client() {
    let mut command = Command::new(example("supervise"));
    command.args(["--deadline", "300", "--grace", "100", "sleep", "1000"]);
    let ended = refuse(&mut command, Call::any(libc::SYS_pidfd_open), libc::ENOSYS);
    let ended = ended.stdin(Stdio::null()).output().unwrap();
    assert_eq!(ended.status.code(), Some(122), "{ended:?}");
}
