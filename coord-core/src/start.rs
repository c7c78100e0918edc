//! Replaces the standard library's start of a program, which takes too long.
//!
//! A command such as `sipid claim` or `lockpipe exists` takes less than a millisecond. Before
//! `main`, the standard library would spend a sixth of the run time of `/bin/true` on a single
//! message, the one for a stack overflow: it reads `/proc/self/maps` and creates a second stack.
//! This module does everything else that the standard library does there.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ffi::{CStr, OsStr},
    os::unix::ffi::OsStrExt,
    process,
    sync::atomic::{AtomicI32, Ordering},
};

use nix::libc::{self, c_char, c_int};

use crate::{
    Status,
    cli::{self, Tool},
    signal,
};

/// The exit status when the process runs out of memory.
static OUT_OF_MEMORY: AtomicI32 = AtomicI32::new(libc::ENOMEM);

/// Defines `main` for a [`Tool`]'s binary, which needs `no_main` except for its own tests. There, a
/// stack overflow is a plain SIGSEGV, and with musl `std::env::args` knows no arguments.
///
/// ```text
/// #![cfg_attr(not(test), no_main)]
///
/// coord_core::main!(Hello);
/// ```
#[macro_export]
macro_rules! main {
    ($tool:ty) => {
        #[cfg(test)]
        fn main() -> ::std::process::ExitCode {
            $crate::cli::main::<$tool>()
        }

        // SAFETY: without Rust's own `main`, no other function of the program has this name, and
        // the C library calls it with this signature.
        #[cfg(not(test))]
        #[unsafe(no_mangle)]
        extern "C" fn main(
            count: ::std::ffi::c_int,
            arguments: *const *const ::std::ffi::c_char,
        ) -> ::std::ffi::c_int {
            // SAFETY: the C library passes these arguments.
            unsafe { $crate::start::start::<$tool>(count, arguments) }
        }

        #[global_allocator]
        static ALLOCATOR: $crate::start::Allocator =
            $crate::start::Allocator(<$tool as $crate::cli::Tool>::NAME);
    };
}

/// The system's allocator, for the tool of this name. When no memory is left, the process prints a
/// message and exits with `ENOMEM`, or with 125 if it runs a command. The standard library would
/// abort it.
#[derive(Debug)]
pub struct Allocator(pub &'static str);

// SAFETY: the system's allocator does everything; a null pointer is never returned.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the same promises.
        self.checked(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the same promises.
        self.checked(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the same promises.
        self.checked(unsafe { System.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the same promises.
        unsafe { System.dealloc(memory, layout) };
    }
}

impl Allocator {
    fn checked(&self, memory: *mut u8) -> *mut u8 {
        if memory.is_null() {
            self.end();
        }
        memory
    }

    #[cold]
    fn end(&self) -> ! {
        let part = |text: &str| libc::iovec {
            iov_base: text.as_ptr().cast_mut().cast(),
            iov_len: text.len(),
        };
        let message = [part(self.0), part(": out of memory\n")];
        // SAFETY: both calls are async-signal-safe, and the parts are valid.
        unsafe {
            libc::writev(libc::STDERR_FILENO, message.as_ptr(), 2);
            libc::_exit(OUT_OF_MEMORY.load(Ordering::Relaxed))
        }
    }
}

/// Runs a tool with the arguments that the C library passes to `main`, and exits with the tool's
/// status.
///
/// # Safety
/// `arguments` must point to `count` zero-terminated strings, which stay unchanged.
pub unsafe fn start<T: Tool>(count: c_int, arguments: *const *const c_char) -> ! {
    open_standard_streams();
    signal::ignore(nix::sys::signal::Signal::SIGPIPE);
    let argument = |index| {
        // SAFETY: the caller promises that there are `count` strings.
        let text = unsafe { CStr::from_ptr(*arguments.add(index)) };
        OsStr::from_bytes(text.to_bytes())
    };
    let arguments = (0..usize::try_from(count).unwrap_or(0)).map(argument);
    if arguments.clone().any(|argument| argument == "--") {
        let failed = Status::FAILED.code().into();
        OUT_OF_MEMORY.store(failed, Ordering::Relaxed);
    }
    let arguments: Vec<&OsStr> = arguments.collect();
    process::exit(cli::run_with::<T>(&arguments).code().into())
}

/// Opens `/dev/null` in place of closed standard streams. Otherwise a file of ours could get one of
/// their numbers, and our messages with it.
fn open_standard_streams() {
    for stream in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: the first call changes nothing. The second opens the lowest free descriptor,
        // which is this stream's.
        unsafe {
            if libc::fcntl(stream, libc::F_GETFD) == -1
                && libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) != stream
            {
                libc::abort();
            }
        }
    }
}
