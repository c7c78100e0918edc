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
