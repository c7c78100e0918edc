//! Executes this program again in the same process, with the same arguments and environment, and
//! without losing a signal.
//!
//! ```no_run
//! use coord_process::supervise::reexec::{self, SignalMask};
//!
//! # fn run_once(_: Option<&str>) -> bool { false }
//! # fn install_handlers() {}
//! // First of all, before the process has threads:
//! let before = reexec::inherited("EXAMPLE_STATE");
//! let mask = before.as_ref().map_or_else(SignalMask::current, |before| before.mask);
//! install_handlers();
//! // What came in between comes now.
//! mask.set();
//! if run_once(before.as_ref().map(|before| before.text.as_str())) {
//!     SignalMask::block_all();
//!     let error = reexec::execute("EXAMPLE_STATE", "what the next one is to know", &mask);
//!     eprintln!("cannot execute this program again: {error}");
//! }
//! ```
//!
//! Ignored signals stay ignored. A SIGPIPE that only the standard library ignores is not ignored in
//! CMD. Descriptors with `FD_CLOEXEC` are closed.

use std::{
    env,
    ffi::{CString, OsStr, OsString},
    fs, io, mem,
    os::unix::ffi::OsStringExt,
    process,
};

use coord_core::{signal, signal_name};
use nix::{
    libc,
    sys::{
        prctl,
        signal::{SigSet, SigmaskHow, sigprocmask},
    },
    unistd::execve,
};

/// This program's file, even if it was replaced or removed since, `proc_pid_exe(5)`.
const THIS: &str = "/proc/self/exe";

/// The signals that a thread blocks.
#[derive(Clone, Copy, Debug)]
pub struct SignalMask(SigSet);

/// What the previous program in this process left for this one.
#[derive(Debug)]
pub struct Inherited {
    /// The text for this program.
    pub text: String,
    /// The mask that the first program of the process started with. All signals are blocked now,
    /// and those that came since are pending.
    pub mask: SignalMask,
}

impl SignalMask {
    /// This thread's mask.
    #[must_use]
    pub fn current() -> Self {
        let mut mask = SigSet::empty();
        // It fails only for an invalid first argument, sigprocmask(2).
        let _ = sigprocmask(SigmaskHow::SIG_BLOCK, None, Some(&mut mask));
        Self(mask)
    }

    /// Blocks all signals in this thread, and in threads that it starts from now on.
    pub fn block_all() {
        Self(SigSet::all()).set();
    }

    /// Makes this the thread's mask. Pending signals that it does not block then arrive.
    pub fn set(&self) {
        let _ = self.try_set();
    }

    pub(crate) fn try_set(&self) -> nix::Result<()> {
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.0), None)
    }

    /// One bit per signal; the first bit is signal 1.
    fn bits(&self) -> u64 {
        let has = |number: &i32| {
            // SAFETY: the set is valid; for a number that is not a signal the result is -1.
            unsafe { libc::sigismember(self.0.as_ref(), *number) == 1 }
        };
        let numbers = (1..=signal_name::LAST).filter(has);
        numbers.fold(0, |bits, number| bits | 1 << (number - 1))
    }

    fn from_bits(bits: u64) -> Self {
        // SAFETY: zeroed memory is a valid place for a set, which is initialised before it is used.
        let mut mask: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: as above; a number that the C library keeps for itself is refused.
        unsafe {
            libc::sigemptyset(&raw mut mask);
            for number in (1..=signal_name::LAST).filter(|number| bits & 1 << (number - 1) != 0) {
                libc::sigaddset(&raw mut mask, number);
            }
        }
        // SAFETY: `sigemptyset` initialised it.
        Self(unsafe { SigSet::from_sigset_t_unchecked(mask) })
    }
}

impl From<SigSet> for SignalMask {
    fn from(mask: SigSet) -> Self {
        Self(mask)
    }
}

/// Takes what the previous program left in this environment variable, and removes the variable, so
/// that nobody inherits it. Returns `None` if this is the first program of the process, whatever
/// the variable contains. Call it before the process has threads.
///
/// It also restores the process's name, which `execve(2)` changed.
#[must_use]
pub fn inherited(variable: &str) -> Option<Inherited> {
    let left = env::var(variable).ok();
    // SAFETY: there is only one thread, so nobody else reads the environment now.
    unsafe { env::remove_var(variable) };
    let left = left?;
    let [pid, bits, name, text] = *left.splitn(4, ':').collect::<Vec<_>>() else {
        return None;
    };
    if pid.parse() != Ok(process::id()) {
        return None;
    }
    let bits = u64::from_str_radix(bits, 16).ok()?;
    let name = CString::new(from_hex(name)?).ok()?;
    let _ = prctl::set_name(&name);
    Some(Inherited {
        text: text.to_owned(),
        mask: SignalMask::from_bits(bits),
    })
}

/// Executes this program again; all other threads end. Returns only the error when that fails.
///
/// Call it in the process's first thread, with all signals blocked in every thread. Otherwise
/// signals may be lost.
#[must_use]
pub fn execute(variable: &str, text: &str, mask: &SignalMask) -> io::Error {
    let error = match try_execute(variable, text, mask) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    signal::ignore_sigpipe();
    error
}

fn try_execute(
    variable: &str,
    text: &str,
    mask: &SignalMask,
) -> io::Result<std::convert::Infallible> {
    let name = fs::read("/proc/self/comm")?;
    let name = to_hex(name.strip_suffix(b"\n").unwrap_or(&name));
    let (pid, bits) = (process::id(), mask.bits());
    let left = format!("{variable}={pid}:{bits:x}:{name}:{text}");
    let arguments = arguments()?;
    let mut environment = vec![CString::new(left)?];
    for (key, value) in env::vars_os().filter(|(key, _)| key != variable) {
        environment.push(CString::new(joined(key, &value))?);
    }
    signal::restore_sigpipe();
    Ok(execve(&CString::new(THIS)?, &arguments, &environment)?)
}

/// The arguments as the kernel has them. The standard library knows none if C code called `main`.
fn arguments() -> io::Result<Vec<CString>> {
    let all = fs::read("/proc/self/cmdline")?;
    let all = all.strip_suffix(b"\0").unwrap_or(&all);
    let arguments = all.split(|byte| *byte == 0).map(CString::new);
    Ok(arguments.collect::<Result<_, _>>()?)
}

fn joined(mut key: OsString, value: &OsStr) -> Vec<u8> {
    key.push("=");
    key.push(value);
    key.into_vec()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let byte = |digits: &[u8]| {
        let digits = str::from_utf8(digits).ok()?;
        u8::from_str_radix(digits, 16).ok()
    };
    text.as_bytes().chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_that_was_is_handed_over_as_bits() {
        for bits in [0, 1, 1 << 14 | 1 << 9, 1 << 63 | 1 << 40] {
            assert_eq!(SignalMask::from_bits(bits).bits(), bits);
        }
    }

    /// Of this test's thread.
    #[test]
    fn a_mask_is_set_and_set_back() {
        let before = SignalMask::current();
        SignalMask::block_all();
        let all = SignalMask::current().bits();
        before.set();
        assert_eq!(SignalMask::current().bits(), before.bits());
        let of = |number: i32| 1 << (number - 1);
        assert_eq!(all & of(libc::SIGTERM), of(libc::SIGTERM));
        assert_eq!(before.bits() & of(libc::SIGTERM), 0);
    }

    #[test]
    fn any_name_survives_as_text() {
        for name in [&b""[..], b"lockheed", b"\xff: %\n"] {
            assert_eq!(from_hex(&to_hex(name)).as_deref(), Some(name));
        }
        assert_eq!(from_hex("4x"), None);
    }
}
