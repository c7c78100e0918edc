//! Ending on a signal, also as PID 1.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::{
    libc,
    sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal},
};

/// Whether a live line stands on standard error, to be wiped before the process goes.
pub(crate) static LINE_ON_TERMINAL: AtomicBool = AtomicBool::new(false);

/// What takes the cursor to the start of its line and wipes the line, ECMA-48 `CR` and `EL 2`.
pub(crate) const WIPE: &str = "\r\x1b[2K";

/// Makes this process end at once on TERM, INT and HUP, for commands that hold nothing they must give back.
///
/// The process then ends *by* the signal, so that a shell sees 128+n, stops its loop on Ctrl-C, and systemd takes TERM
/// as a clean end. PID 1 of a container, for which the kernel drops a signal without a handler (`pid_namespaces(7)`),
/// exits with status 128+n instead. The three signals are unblocked, in case the parent had blocked them.
/// A HUP that the parent had set to be ignored stays ignored, which is what `nohup(1)` asks for.
///
/// Call it once, before the process has threads.
pub fn end_on_termination() {
    let flags = SaFlags::SA_RESETHAND | SaFlags::SA_NODEFER;
    let action = SigAction::new(SigHandler::Handler(end_by), flags, SigSet::empty());
    let mut ours = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        // SAFETY: `end_by` calls only functions that are safe in a signal handler, `signal-safety(7)`.
        let previous = unsafe { signal::sigaction(signal, &action) };
        let ignored =
            previous.is_ok_and(|previous| matches!(previous.handler(), SigHandler::SigIgn));
        if signal == Signal::SIGHUP && ignored {
            let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
            // SAFETY: no handler is installed.
            let _ = unsafe { signal::sigaction(signal, &ignore) };
        }
        ours.add(signal);
    }
    // It can fail only for a wrong first argument, sigprocmask(2).
    let _ = signal::sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&ours), None);
}

/// The handler is off again when this runs, so the signal raised here is deadly, except for PID 1.
extern "C" fn end_by(number: libc::c_int) {
    let wipe = if LINE_ON_TERMINAL.load(Ordering::Relaxed) {
        WIPE
    } else {
        ""
    };
    // SAFETY: write, raise and _exit are async-signal-safe, and `wipe` is a valid buffer of that length.
    unsafe {
        libc::write(libc::STDERR_FILENO, wipe.as_ptr().cast(), wipe.len());
        libc::raise(number);
        libc::_exit(128 + number);
    }
}
