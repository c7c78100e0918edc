//! Going before others.

use nix::libc::{self, c_int};

/// The lowest of the real-time priorities, `sched(7)`.
static LOWEST: c_int = 1;

/// Has the scheduler prefer this process to all that have no real-time priority, where it may:
/// with `CAP_SYS_NICE`, or within `RLIMIT_RTPRIO`.
///
/// Niceness would not do: where sessions are scheduled in groups (`sched(7)`, autogroup), it counts
/// within a session only.
pub(crate) fn raise() {
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    let this_process: libc::pid_t = 0;
    // By its number: musl's function does nothing.
    // SAFETY: the kernel reads one number, the priority, during the call.
    unsafe {
        libc::syscall(
            libc::SYS_sched_setscheduler,
            this_process,
            policy,
            &raw const LOWEST,
        )
    };
}
