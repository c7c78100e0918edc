//! How a process ends on a signal, also as PID 1, and which signals were ignored when the program
//! started.

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

/// Whether a live line is on standard error that must be wiped before the process ends.
pub(crate) static LINE_ON_TERMINAL: AtomicBool = AtomicBool::new(false);

/// Moves the cursor to the start of its line and wipes the line, ECMA-48 `CR` and `EL 2`.
pub(crate) const WIPE: &str = "\r\x1b[2K";

/// Makes this process end at once on TERM, INT and HUP. It is for commands that hold nothing they
/// must release.
///
/// The process then ends *by* the signal: a shell sees 128+n and stops its loop on Ctrl-C, and
/// systemd takes TERM as a clean end. For PID 1 of a container the kernel drops a signal without a
/// handler (`pid_namespaces(7)`), so PID 1 exits with status 128+n instead. The three signals are
/// unblocked, in case the parent blocked them. A signal that the parent set to be ignored stays
/// ignored: HUP by `nohup(1)`, INT for a shell's background job.
///
/// Call this once, before the process has threads.
pub fn end_on_termination() {
    let flags = SaFlags::SA_RESETHAND | SaFlags::SA_NODEFER;
    let action = SigAction::new(SigHandler::Handler(end_by), flags, SigSet::empty());
    let mut ours = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        // SAFETY: `end_by` calls only functions that are safe in a signal handler,
        // `signal-safety(7)`.
        let previous = unsafe { signal::sigaction(signal, &action) };
        if previous.is_ok_and(|previous| matches!(previous.handler(), SigHandler::SigIgn)) {
            ignore(signal);
        }
        ours.add(signal);
    }
    // It fails only for an invalid first argument, sigprocmask(2).
    let _ = signal::sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&ours), None);
}

/// Lets the kernel reap the orphans that a PID 1 inherits, such as what `docker exec` leaves
/// behind. Does nothing unless this process is PID 1.
///
/// It is for commands that have no children of their own: while SIGCHLD is ignored the kernel keeps
/// no exit status, `wait(2)`.
pub fn reap_inherited() {
    if getpid().as_raw() == 1 {
        ignore(Signal::SIGCHLD);
        // Reaps the children that are already dead, left by a shell that executed this program.
        let reap = || waitpid(None, Some(WaitPidFlag::WNOHANG));
        while !matches!(reap(), Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD)) {}
    }
}

/// Whether SIGPIPE was ignored when this program started. Rust's standard library ignores it from
/// then on, so nobody can find out later.
#[must_use]
pub fn sigpipe_was_ignored() -> bool {
    SIGPIPE_WAS_IGNORED.load(Ordering::Relaxed)
}

/// Ignores SIGPIPE again if it was ignored when this program started. Use it in `pre_exec`, for a
/// command that must inherit the signals as we did: the standard library has just reset SIGPIPE to
/// its default. Async-signal-safe, `signal-safety(7)`.
pub fn keep_sigpipe() {
    if sigpipe_was_ignored() {
        ignore(Signal::SIGPIPE);
    }
}

/// Restores SIGPIPE to its state when this program started, for the program that this process is
/// about to execute. [`ignore_sigpipe`] undoes it.
pub fn restore_sigpipe() {
    if !sigpipe_was_ignored() {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: no handler is installed. It does not fail for this signal.
        let _ = unsafe { signal::sigaction(Signal::SIGPIPE, &default) };
    }
}

/// Ignores SIGPIPE, as the standard library does when a program starts.
pub fn ignore_sigpipe() {
    ignore(Signal::SIGPIPE);
}

pub(crate) fn ignore(signal: Signal) {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed. It does not fail for the signals that we ignore.
    let _ = unsafe { signal::sigaction(signal, &ignore) };
}

static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// The C library calls the functions in this section before `main`, so before the standard library
/// ignores the signal.
#[used]
// SAFETY: the section holds pointers to functions of this type, and this one does not use the
// standard library.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = note_sigpipe;

extern "C" fn note_sigpipe() {
    let mut found = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call changes nothing. When it succeeds, the kernel has
    // filled in `found`.
    let ignored = unsafe {
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), found.as_mut_ptr()) == 0
            && found.assume_init().sa_sigaction == libc::SIG_IGN
    };
    SIGPIPE_WAS_IGNORED.store(ignored, Ordering::Relaxed);
}

/// The handler has been reset when this runs, so the signal raised here is fatal, except for PID 1.
extern "C" fn end_by(number: libc::c_int) {
    let wipe = if LINE_ON_TERMINAL.load(Ordering::Relaxed) {
        WIPE
    } else {
        ""
    };
    // SAFETY: write, raise and _exit are async-signal-safe, and `wipe` is a valid buffer of that
    // length.
    unsafe {
        libc::write(libc::STDERR_FILENO, wipe.as_ptr().cast(), wipe.len());
        libc::raise(number);
        libc::_exit(128 + number);
    }
}
