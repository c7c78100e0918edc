//! Ending on a signal, also as PID 1, and what was ignored when the program was started.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::{
    errno::Errno,
    libc,
    sys::{
        signal::{self, SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::getpid,
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
/// Of the three, those that the parent had set to be ignored stay ignored: HUP by `nohup(1)`, INT for a shell's background job.
///
/// Call it once, before the process has threads.
pub fn end_on_termination() {
    let flags = SaFlags::SA_RESETHAND | SaFlags::SA_NODEFER;
    let action = SigAction::new(SigHandler::Handler(end_by), flags, SigSet::empty());
    let mut ours = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        // SAFETY: `end_by` calls only functions that are safe in a signal handler, `signal-safety(7)`.
        let previous = unsafe { signal::sigaction(signal, &action) };
        if previous.is_ok_and(|previous| matches!(previous.handler(), SigHandler::SigIgn)) {
            ignore(signal);
        }
        ours.add(signal);
    }
    // It can fail only for a wrong first argument, sigprocmask(2).
    let _ = signal::sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&ours), None);
}

/// Lets the kernel reap the orphans that a PID 1 inherits, such as what `docker exec` leaves behind. Elsewhere it does nothing.
///
/// It is for commands that have no children of their own: while SIGCHLD is ignored the kernel keeps no status, `wait(2)`.
pub fn reap_inherited() {
    if getpid().as_raw() == 1 {
        ignore(Signal::SIGCHLD);
        // Those that are dead already, left by a shell that has become this program.
        let reap = || waitpid(None, Some(WaitPidFlag::WNOHANG));
        while !matches!(reap(), Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD)) {}
    }
}

/// Whether SIGPIPE was ignored when this program was started. Rust's standard library ignores it from then on, so that later nobody can tell.
#[must_use]
pub fn sigpipe_was_ignored() -> bool {
    SIGPIPE_WAS_IGNORED.load(Ordering::Relaxed)
}

/// Ignores SIGPIPE again where it was ignored when this program was started, for `pre_exec` of a command that is to find the signals as we
/// found them: the standard library has just set it to its default. Async-signal-safe, `signal-safety(7)`.
pub fn keep_sigpipe() {
    if sigpipe_was_ignored() {
        ignore(Signal::SIGPIPE);
    }
}

/// Puts SIGPIPE back to what it was when this program was started, for the program that this
/// process is about to execute; [`ignore_sigpipe`] takes it back.
pub fn restore_sigpipe() {
    if !sigpipe_was_ignored() {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: no handler is installed. It does not fail for this signal.
        let _ = unsafe { signal::sigaction(Signal::SIGPIPE, &default) };
    }
}

/// Ignores SIGPIPE, as the standard library does at a program's start.
pub fn ignore_sigpipe() {
    ignore(Signal::SIGPIPE);
}

pub(crate) fn ignore(signal: Signal) {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed. It fails for no signal that is ignored here.
    let _ = unsafe { signal::sigaction(signal, &ignore) };
}

static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// The C library calls what is in this section before `main`, and so before the standard library ignores the signal.
#[used]
// SAFETY: the section holds pointers to functions of this kind, and the function needs nothing of the standard library.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = note_sigpipe;

extern "C" fn note_sigpipe() {
    let mut found = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action nothing is changed, and where the call succeeds the kernel has filled `found` in.
    let ignored = unsafe {
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), found.as_mut_ptr()) == 0
            && found.assume_init().sa_sigaction == libc::SIG_IGN
    };
    SIGPIPE_WAS_IGNORED.store(ignored, Ordering::Relaxed);
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
