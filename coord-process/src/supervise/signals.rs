//! The signals that are forwarded to CMD. A handler writes each into a pipe, which works with
//! threads and with any runtime.

use std::{
    fmt, io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use coord_core::{signal, signal_name};
use nix::{
    errno::Errno,
    fcntl::OFlag,
    libc,
    unistd::{getpid, pipe2, read, write},
};

use super::error::{Error, Kind};

/// The signals that cannot be caught, `signal(7)`.
const UNCATCHABLE: [i32; 2] = [libc::SIGKILL, libc::SIGSTOP];

/// The signals that tell a program of its own faults. They are forwarded if a process sent them.
const FAULTS: [i32; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// The pipe that the handler writes into. It is never closed, so that a late handler or thread
/// cannot write into another file.
static PIPE: OnceLock<Pipe> = OnceLock::new();

/// Whether a [`Caught`] exists.
static BUSY: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal {
    pub(crate) number: i32,
    /// The kernel sent it. Then TERM, INT or QUIT comes from the terminal, and CHLD from a child's
    /// end, stop or continuation.
    pub(crate) from_kernel: bool,
}

/// Keeps the handlers installed until it is dropped; only one can exist at a time.
pub(crate) struct Caught {
    pipe: &'static Pipe,
    before: Vec<(i32, libc::sigaction)>,
}

impl Caught {
    /// Installs handlers for every signal that can be caught. An ignored signal stays ignored, for
    /// example under `nohup(1)`.
    pub(crate) fn new() -> Result<Self, Error> {
        let flags = OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let (reader, writer) = pipe2(flags).map_err(Kind::io("open a pipe (pipe2)"))?;
        if BUSY.swap(true, Ordering::SeqCst) {
            return Err(Kind::Busy.into());
        }
        let mut caught = Self {
            pipe: PIPE.get_or_init(|| Pipe { reader, writer }),
            before: Vec::new(),
        };
        while caught.next().is_some() {}
        for number in (1..=signal_name::LAST).filter(|number| !UNCATCHABLE.contains(number)) {
            caught.catch(number);
        }
        let needed = |number: &i32| *number == libc::SIGTERM;
        if !is_ignored(libc::SIGTERM) && !caught.before.iter().any(|(number, _)| needed(number)) {
            return Err(Kind::io("catch signals (sigaction)")(Errno::last()));
        }
        Ok(caught)
    }

    /// The next signal, if there is one.
    pub(crate) fn next(&self) -> Option<Signal> {
        let mut bytes = [0; 2];
        while read(&self.pipe.reader, &mut bytes) == Ok(2) {
            if bytes[0] > 0 {
                return Some(Signal {
                    number: i32::from(bytes[0]),
                    from_kernel: bytes[1] == 1,
                });
            }
        }
        None
    }

    /// The C library refuses the two or three real-time signals that it keeps for itself.
    fn catch(&mut self, number: i32) {
        if is_ignored(number) {
            return;
        }
        if let Ok(before) = replace(number, note as *const () as usize) {
            self.before.push((number, before));
            mask(libc::SIG_UNBLOCK, number);
        }
    }
}

impl fmt::Debug for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caught").finish_non_exhaustive()
    }
}

impl AsFd for Caught {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.reader.as_fd()
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        for (number, action) in &self.before {
            // SAFETY: this action was installed before.
            unsafe { libc::sigaction(*number, action, ptr::null_mut()) };
        }
        BUSY.store(false, Ordering::SeqCst);
    }
}

/// While SIGCHLD is ignored, the kernel discards the statuses of children, `wait(2)`.
pub(crate) fn hear_of_children() -> io::Result<()> {
    if is_ignored(libc::SIGCHLD) {
        replace(libc::SIGCHLD, libc::SIG_DFL)?;
    }
    Ok(())
}

/// Wakes the thread that waits for signals, without a signal.
pub(crate) fn nudge() {
    if let Some(pipe) = PIPE.get() {
        let _ = write(&pipe.writer, &[0; 2]);
    }
}

/// Stops our process group, as Ctrl-Z would have done if CMD did not have the terminal. Returns
/// when we are continued. If nobody could continue us, the kernel drops the signal and this returns
/// at once.
pub(crate) fn stop_ourselves() {
    let before = replace(libc::SIGTSTP, libc::SIG_DFL);
    // SAFETY: kill takes any numbers; 0 is our process group.
    unsafe { libc::kill(0, libc::SIGTSTP) };
    if let Ok(before) = before {
        // SAFETY: this action was installed before.
        unsafe { libc::sigaction(libc::SIGTSTP, &raw const before, ptr::null_mut()) };
    }
}

/// Whether to note an incoming signal, and as what.
///
/// A PIPE or XFSZ from this very process comes from one of our own writes, which reports the error
/// itself. Every CHLD from the kernel counts, whatever it is about: a guard that is stopped a
/// second time may not cause another one while the first one waits, `signal(7)`.
fn classify(number: i32, code: i32, sender: i32) -> Option<Signal> {
    let from_kernel = code > 0;
    let own = [libc::SIGPIPE, libc::SIGXFSZ];
    let this = getpid().as_raw();
    if own.contains(&number) && sender == this {
        return None;
    }
    Some(Signal {
        number,
        from_kernel,
    })
}

extern "C" fn note(number: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let Some(pipe) = PIPE.get() else { return };
    let errno = Errno::last_raw();
    // SAFETY: the kernel passes a valid siginfo to a handler installed with SA_SIGINFO. For all
    // codes that we check, it contains the sender.
    let (code, sender) = unsafe { ((*info).si_code, (*info).si_pid()) };
    if FAULTS.contains(&number) && code > 0 {
        // Our own fault: it happens again when this returns, and then ends us.
        let _ = replace(number, libc::SIG_DFL);
    } else if let Some(signal) = classify(number, code, sender) {
        let byte = u8::try_from(signal.number).unwrap_or(0);
        let bytes = [byte, u8::from(signal.from_kernel)];
        // SAFETY: write is async-signal-safe and the buffer is valid. A pipe takes two bytes in one
        // piece.
        unsafe { libc::write(pipe.writer.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    }
    Errno::set_raw(errno);
}

/// Installs a handler and returns the previous action. Uses the system call itself, because nix has
/// no real-time signals.
fn replace(number: i32, handler: usize) -> io::Result<libc::sigaction> {
    // SAFETY: zeros are a valid sigaction, with no flags and an empty mask.
    let (mut action, mut before): (libc::sigaction, libc::sigaction) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: `note` calls only functions that are safe in a signal handler, `signal-safety(7)`.
    let done = unsafe { libc::sigaction(number, &raw const action, &raw mut before) };
    if done == 0 {
        Ok(before)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether the signal was ignored when the program started. The standard library itself ignores
/// SIGPIPE.
fn is_ignored(number: i32) -> bool {
    if number == libc::SIGPIPE {
        return signal::sigpipe_was_ignored();
    }
    // SAFETY: zeros are a valid sigaction, and nothing is installed.
    let mut now: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: as above.
    let read = unsafe { libc::sigaction(number, ptr::null(), &raw mut now) };
    read == 0 && now.sa_sigaction == libc::SIG_IGN
}

fn mask(how: i32, number: i32) {
    // SAFETY: zeroed memory is a valid place for a set, which is initialised before it is used.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, number);
        libc::pthread_sigmask(how, &raw const set, ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::{
        resource::{Resource, setrlimit},
        signal::{
            SigSet,
            Signal::{SIGSEGV, SIGUSR1},
            raise,
        },
        wait::WaitStatus,
    };

    use super::*;
    use crate::supervise::alone::{alone, status_alone};

    #[test]
    fn children_are_heard_of_even_if_the_signal_was_ignored() {
        alone(|| {
            replace(libc::SIGCHLD, libc::SIG_IGN).unwrap();
            assert!(is_ignored(libc::SIGCHLD));
            hear_of_children().unwrap();
            assert!(!is_ignored(libc::SIGCHLD));
        });
    }

    #[test]
    fn a_signal_that_was_blocked_is_caught_until_the_end() {
        alone(|| {
            SigSet::from(SIGUSR1).thread_block().unwrap();
            let caught = Caught::new().unwrap();
            raise(SIGUSR1).unwrap();
            let signal = Signal {
                number: libc::SIGUSR1,
                from_kernel: false,
            };
            assert_eq!(caught.next(), Some(signal));
            drop(caught);
            let before = replace(libc::SIGUSR1, libc::SIG_DFL).unwrap();
            assert_eq!(before.sa_sigaction, libc::SIG_DFL);
            Caught::new().unwrap();
        });
    }

    #[test]
    fn a_nudge_is_no_signal() {
        alone(|| {
            let caught = Caught::new().unwrap();
            nudge();
            assert_eq!(caught.next(), None);
        });
    }

    /// It would happen again and again if the handler just returned.
    #[test]
    fn a_fault_of_this_process_ends_it() {
        let status = status_alone(|| {
            setrlimit(Resource::RLIMIT_CORE, 0, 0).unwrap();
            let _caught = Caught::new().unwrap();
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: nothing else uses the page. To read it faults, and that is meant.
            unsafe {
                let page = libc::mmap(ptr::null_mut(), 1, libc::PROT_NONE, flags, -1, 0);
                page.cast::<u8>().read_volatile();
            }
        });
        assert!(
            matches!(status, WaitStatus::Signaled(_, SIGSEGV, _)),
            "{status:?}"
        );
    }

    #[test]
    fn what_is_of_this_process_itself_is_not_passed_on() {
        let this = getpid().as_raw();
        let other = this + 1;
        let is_noted = |number, code, sender| classify(number, code, sender).is_some();
        for number in [libc::SIGPIPE, libc::SIGXFSZ] {
            assert!(!is_noted(number, libc::SI_USER, this));
            assert!(is_noted(number, libc::SI_USER, other));
        }
        assert!(is_noted(libc::SIGTERM, libc::SI_USER, this));
        assert!(is_noted(libc::SIGCHLD, libc::SI_USER, other));
        for code in [libc::CLD_STOPPED, libc::CLD_CONTINUED, libc::CLD_EXITED] {
            assert!(is_noted(libc::SIGCHLD, code, other));
        }
        let of_kernel = |code| classify(libc::SIGTERM, code, other).unwrap().from_kernel;
        assert!(of_kernel(libc::SI_KERNEL) && !of_kernel(libc::SI_USER));
    }
}
