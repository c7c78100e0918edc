//! The signal that interrupts a system call of one thread: URG. It is ignored by default, and every
//! program must expect it at any time, `signal(7)`.

use std::io;

use nix::{
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
};

pub(crate) const INTERRUPT: Signal = Signal::SIGURG;

/// Makes the signal interrupt system calls. If the program has a handler for it, that handler
/// stays, but interrupted calls are no longer restarted.
pub(crate) fn make_interruptible() -> io::Result<()> {
    let ours = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: a handler that does nothing is safe in any context.
    let before = unsafe { sigaction(INTERRUPT, &ours) }?;
    if !matches!(before.handler(), SigHandler::SigDfl | SigHandler::SigIgn) {
        let kept = SigAction::new(
            before.handler(),
            before.flags() - SaFlags::SA_RESTART,
            before.mask(),
        );
        // SAFETY: the program itself had set this handler.
        unsafe { sigaction(INTERRUPT, &kept) }?;
    }
    Ok(())
}

extern "C" fn nothing(_: libc::c_int) {}
