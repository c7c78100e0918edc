//! System calls that a filter refuses, as sandboxes do: the fallback works, or the error names the call.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use nix::libc;

use super::{example, sleeps, unique};

/// The call, how an error may name it, and whether one is expected.
const TABLE: [(libc::c_long, &str, bool); 15] = [
    (libc::SYS_pidfd_open, "pidfd_open", false),
    (libc::SYS_pidfd_send_signal, "pidfd_send_signal", false),
    (libc::SYS_timerfd_create, "timerfd_create", false),
    (libc::SYS_timerfd_settime, "timerfd_settime", false),
    (libc::SYS_signalfd4, "signalfd", false),
    (libc::SYS_prlimit64, "prlimit", false),
    (libc::SYS_setpgid, "setpgid", true),
    (libc::SYS_prctl, "prctl", true),
    (libc::SYS_socketpair, "socketpair", true),
    (libc::SYS_pipe2, "pipe2", true),
    (libc::SYS_wait4, "waitpid", true),
    (libc::SYS_ppoll, "poll", true),
    (libc::SYS_clone, "fork", true),
    (libc::SYS_readlinkat, "/proc", false),
    (libc::SYS_setrlimit, "setrlimit", false),
];

#[test]
fn a_call_that_is_refused_is_replaced_or_named() {
    for (call, name, named) in TABLE {
        for errno in [libc::EPERM, libc::ENOSYS] {
            let long = unique();
            let script = format!(
                "trap '' TERM; (setsid sleep {long} &); echo ran; sleep {long}; sleep {long}"
            );
            let mut command = Command::new(example("supervise"));
            command
                .args(["--until-ms", "200", "--grace", "200", "sh", "-c", &script])
                .stdin(Stdio::null());
            // SAFETY: the filter is installed by two system calls.
            unsafe { command.pre_exec(move || refuse(call, errno)) };
            let ended = command.output().unwrap();
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

/// Has the kernel answer one call with this error, `seccomp(2)`, here and in all children.
fn refuse(call: libc::c_long, errno: i32) -> io::Result<()> {
    let statement = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt,
        jf,
        k,
    };
    let number = u32::try_from(call).unwrap_or(u32::MAX);
    let refusal = libc::SECCOMP_RET_ERRNO | u32::try_from(errno).unwrap_or(0);
    let mut filter = [
        // The number of the call is the first thing in seccomp_data.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, refusal, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: `program` is a valid filter of four statements, which the kernel copies.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) == 0
    };
    if installed {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
