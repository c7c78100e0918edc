//! The signal that interrupts a system call of one thread: URG, which is ignored by default and
//! which every program must bear at any time, `signal(7)`.

use std::io;

use nix::{
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
};

pub(crate) const INTERRUPT: Signal = Signal::SIGURG;

/// Makes the signal interrupt system calls. A handler that the program has set for it already
/// stays, and only no longer has interrupted calls restarted.
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
        // SAFETY: the handler is the one that the program itself had set.
        unsafe { sigaction(INTERRUPT, &kept) }?;
    }
    Ok(())
}

extern "C" fn nothing(_: libc::c_int) {}
