//! A higher priority for the guard.

use nix::libc::{self, c_int};

/// The lowest real-time priority, `sched(7)`.
static LOWEST: c_int = 1;

/// Makes the scheduler prefer this process to all without a real-time priority, if it may: with
/// `CAP_SYS_NICE`, or within `RLIMIT_RTPRIO`.
///
/// Niceness is not enough: if sessions are scheduled in groups (`sched(7)`, autogroup), it counts
/// only within a session.
pub(crate) fn raise() {
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    let this_process: libc::pid_t = 0;
    // By its number, since musl's function does nothing. SAFETY: the kernel reads one number, the
    // priority, during the call.
    unsafe {
        libc::syscall(
            libc::SYS_sched_setscheduler,
            this_process,
            policy,
            &raw const LOWEST,
        )
    };
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::WaitStatus;

    use super::*;
    use crate::supervise::alone::{alone, status_alone};

    fn policy() -> libc::c_long {
        // SAFETY: the arguments are numbers.
        unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) }
    }

    /// Whether it may is asked of the kernel in another process.
    #[test]
    fn it_is_preferred_if_that_is_allowed() {
        let expected = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
        let may = || {
            let set = libc::SYS_sched_setscheduler;
            // SAFETY: as above.
            let done = unsafe { libc::syscall(set, 0, expected, &raw const LOWEST) };
            assert_eq!(done, 0);
        };
        let may = matches!(status_alone(may), WaitStatus::Exited(_, 0));
        alone(|| {
            raise();
            assert_eq!(policy() == expected.into(), may);
        });
    }
}
