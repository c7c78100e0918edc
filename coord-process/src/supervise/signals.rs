//! The signals that are passed on to CMD: a handler writes each into a pipe, which works with threads and beside any runtime.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    libc,
    sys::signal::{
        SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, kill, sigaction, sigprocmask,
    },
    unistd::{Pid, getpid, pipe2, read, write},
};

use super::error::{Error, Kind};

const FORWARDED: [Signal; 9] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
    Signal::SIGWINCH,
    Signal::SIGTSTP,
];

/// `SI_KERNEL` of `sigaction(2)`: not sent by a process. Such a TERM, INT or QUIT comes from the terminal.
const FROM_KERNEL: i32 = 0x80;

/// What the handler writes into. It is never closed, so that a handler that runs late, or a thread, writes into nothing else.
static PIPE: OnceLock<Pipe> = OnceLock::new();

/// Whether there is a [`Caught`].
static BUSY: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// The handlers, as long as this lives; there is one at a time.
#[derive(Debug)]
pub(crate) struct Caught {
    pipe: &'static Pipe,
    before: Vec<(Signal, SigAction)>,
}

impl Caught {
    /// Installs the handlers. A signal that is ignored, by `nohup(1)` for one, stays ignored.
    pub(crate) fn new() -> Result<Self, Error> {
        let flags = OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let (reader, writer) = pipe2(flags).map_err(Kind::io("open a pipe"))?;
        if BUSY.swap(true, Ordering::SeqCst) {
            return Err(Kind::Busy.into());
        }
        let mut caught = Self {
            pipe: PIPE.get_or_init(|| Pipe { reader, writer }),
            before: Vec::new(),
        };
        while caught.next().is_some() {}
        // As PID 1 we inherit orphans of other sessions too.
        let child = (getpid().as_raw() == 1).then_some(Signal::SIGCHLD);
        for signal in FORWARDED.into_iter().chain(child) {
            caught.catch(signal);
        }
        Ok(caught)
    }

    /// The next signal, and whether it came from the terminal; none when there is none.
    pub(crate) fn next(&self) -> Option<(Signal, bool)> {
        let mut bytes = [0; 2];
        while read(&self.pipe.reader, &mut bytes) == Ok(2) {
            if let Ok(signal) = Signal::try_from(i32::from(bytes[0])) {
                return Some((signal, bytes[1] == 1));
            }
        }
        None
    }

    fn catch(&mut self, signal: Signal) {
        let action = SigAction::new(
            SigHandler::SigAction(note),
            SaFlags::SA_RESTART,
            SigSet::empty(),
        );
        // SAFETY: `note` calls only functions that are safe in a signal handler, `signal-safety(7)`.
        let Ok(before) = (unsafe { sigaction(signal, &action) }) else {
            return;
        };
        if matches!(before.handler(), SigHandler::SigIgn) {
            // SAFETY: no handler is installed.
            let _ = unsafe { sigaction(signal, &before) };
            return;
        }
        self.before.push((signal, before));
        let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&SigSet::from(signal)), None);
    }
}

impl AsFd for Caught {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.reader.as_fd()
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        for (signal, action) in &self.before {
            // SAFETY: this is what was installed before.
            let _ = unsafe { sigaction(*signal, action) };
        }
        BUSY.store(false, Ordering::SeqCst);
    }
}

/// Wakes the thread that waits for signals, without one.
pub(crate) fn nudge() {
    if let Some(pipe) = PIPE.get() {
        let _ = write(&pipe.writer, &[0; 2]);
    }
}

/// Stops our process group, as Ctrl-Z would have if CMD did not have the terminal, and returns when we are continued.
/// Where nobody could continue us the kernel drops the signal, and this returns at once.
pub(crate) fn stop_ourselves() {
    let stop = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed.
    let before = unsafe { sigaction(Signal::SIGTSTP, &stop) };
    let _ = kill(Pid::from_raw(0), Signal::SIGTSTP);
    if let Ok(before) = before {
        // SAFETY: this is what was installed before.
        let _ = unsafe { sigaction(Signal::SIGTSTP, &before) };
    }
}

extern "C" fn note(number: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let Some(pipe) = PIPE.get() else { return };
    let errno = Errno::last_raw();
    // SAFETY: the kernel hands a valid siginfo to a handler installed with SA_SIGINFO.
    let from_kernel = unsafe { (*info).si_code } == FROM_KERNEL;
    let bytes = [u8::try_from(number).unwrap_or(0), u8::from(from_kernel)];
    // SAFETY: write is async-signal-safe, and the buffer is valid; two bytes go into a pipe whole.
    unsafe { libc::write(pipe.writer.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    Errno::set_raw(errno);
}
