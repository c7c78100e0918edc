//! Refuses system calls as sandboxes do: a filter of `seccomp(2)` answers one call with an error.

use std::{io, os::unix::process::CommandExt, process::Command};

use nix::libc;

/// A system call, or those uses of it that an argument selects. It also covers the older call that
/// it replaced, if the architecture still has that: C libraries differ in which of the two they
/// use.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    number: libc::c_long,
    argument: Option<(u32, Test)>,
}

#[derive(Clone, Copy, Debug)]
enum Test {
    Equals(u32),
    HasBits(u32),
}

impl Call {
    /// A call by its number, such as `libc::SYS_linkat`.
    #[must_use]
    pub const fn any(number: libc::c_long) -> Self {
        let argument = None;
        Self { number, argument }
    }

    /// Only calls with this value in the argument at this index, counted from 0.
    #[must_use]
    pub const fn with(number: libc::c_long, index: u32, value: u32) -> Self {
        let argument = Some((index, Test::Equals(value)));
        Self { number, argument }
    }

    /// Only calls with all these bits set in the argument at this index.
    #[must_use]
    pub const fn with_bits(number: libc::c_long, index: u32, bits: u32) -> Self {
        let argument = Some((index, Test::HasBits(bits)));
        Self { number, argument }
    }

    /// The call that this one replaced.
    fn older(self) -> Option<Self> {
        let (_, number, has_no_directory) = OLDER
            .iter()
            .find(|(newer, _, _)| *newer == self.number)
            .copied()?;
        let argument = self
            .argument
            .map(|(index, test)| (index - u32::from(has_no_directory), test));
        Some(Self { number, argument })
    }

    /// Classic BPF, `seccomp(2)`: loads, compares, and falls through to the instruction that allows
    /// the call.
    fn filter(self, errno: u16) -> Vec<libc::sock_filter> {
        let number = u32::try_from(self.number).unwrap_or(u32::MAX);
        let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
        let test = |test, value, skipped| {
            let code = libc::BPF_JMP | test | libc::BPF_K;
            libc::sock_filter {
                jf: skipped,
                ..statement(code, value)
            }
        };
        let answer = |value| statement(libc::BPF_RET | libc::BPF_K, value);
        let mut filter = vec![load(0)];
        match self.argument {
            None => filter.push(test(libc::BPF_JEQ, number, 1)),
            Some((index, kind)) => {
                filter.extend([test(libc::BPF_JEQ, number, 4), load(low_word(index))]);
                filter.extend(match kind {
                    Test::Equals(value) => [no_operation(), test(libc::BPF_JEQ, value, 1)],
                    Test::HasBits(bits) => [
                        statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, bits),
                        test(libc::BPF_JEQ, bits, 1),
                    ],
                });
            }
        }
        filter.push(answer(libc::SECCOMP_RET_ERRNO | u32::from(errno)));
        filter.push(answer(libc::SECCOMP_RET_ALLOW));
        filter
    }
}

/// The newer call, the older one, and whether the older one lacks the first argument, a directory.
/// `syscalls(2)`
#[cfg(target_arch = "x86_64")]
const OLDER: &[(libc::c_long, libc::c_long, bool)] = &[
    (libc::SYS_clone, libc::SYS_fork, false),
    (libc::SYS_faccessat, libc::SYS_access, true),
    (libc::SYS_inotify_init1, libc::SYS_inotify_init, false),
    (libc::SYS_linkat, libc::SYS_link, true),
    (libc::SYS_mknodat, libc::SYS_mknod, true),
    (libc::SYS_openat, libc::SYS_open, true),
    (libc::SYS_pipe2, libc::SYS_pipe, false),
    (libc::SYS_readlinkat, libc::SYS_readlink, true),
    (libc::SYS_signalfd4, libc::SYS_signalfd, false),
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[(libc::c_long, libc::c_long, bool)] = &[];

/// Makes this call fail with this error number, for the command and everything that it starts.
pub fn refuse(command: &mut Command, call: Call, errno: i32) -> &mut Command {
    let errno = u16::try_from(errno).unwrap_or_default();
    let calls = [Some(call), call.older()].into_iter().flatten();
    let mut filters: Vec<_> = calls.map(|call| call.filter(errno)).collect();
    let install = move || {
        // SAFETY: the arguments are numbers.
        if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
        filters.iter_mut().try_for_each(|filter| add(filter))
    };
    // SAFETY: prctl is just a system call, and nothing is allocated.
    unsafe { command.pre_exec(install) }
}

/// Adds a filter to this process. Earlier ones stay, and the strictest counts.
fn add(filter: &mut [libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or_default(),
        filter: filter.as_mut_ptr(),
    };
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program is valid during the call, which copies it.
    if unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The position of an argument's low half in `struct seccomp_data`.
fn low_word(index: u32) -> u32 {
    let high_first = if cfg!(target_endian = "big") { 4 } else { 0 };
    16 + 8 * index + high_first
}

fn no_operation() -> libc::sock_filter {
    statement(libc::BPF_ALU | libc::BPF_OR | libc::BPF_K, 0)
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt: 0,
        jf: 0,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_is_refused() {
        let touch = |call| {
            let mut command = Command::new("sh");
            command.args(["-c", "umask 077; umask; kill -0 $$; kill -CONT $$"]);
            refuse(&mut command, call, libc::EPERM).output().unwrap()
        };
        let calls = [
            (Call::any(libc::SYS_kill), 2),
            (Call::with(libc::SYS_kill, 1, 0), 1),
            (Call::with_bits(libc::SYS_kill, 1, 0x12), 1),
            (Call::with_bits(libc::SYS_kill, 1, 0x40), 0),
        ];
        for (call, refusals) in calls {
            let output = touch(call);
            let errors = String::from_utf8(output.stderr).unwrap();
            let refused = errors.matches("not permitted").count();
            assert_eq!(refused, refusals, "{call:?}: {errors}");
        }
    }
}
