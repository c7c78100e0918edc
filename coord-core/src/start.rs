//! The program's start, where the standard library's is too dear.
//!
//! A command such as `sipid claim` or `lockpipe exists` takes less than a millisecond. A sixth of
//! the time of `/bin/true` would go into what the standard library does before `main` for one
//! message, that of a stack overflow: it reads `/proc/self/maps` and makes a second stack. Whatever
//! else it does there is done here.

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

/// The status of a process that has run out of memory.
static OUT_OF_MEMORY: AtomicI32 = AtomicI32::new(libc::ENOMEM);

/// Defines the `main` of a [`Tool`]'s binary, which needs `no_main`, but for its own tests. A stack
/// overflow is a plain SIGSEGV there, and with musl `std::env::args` knows of no arguments.
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

        // SAFETY: no other function of a program without Rust's own `main` has this name, and the C
        // library calls it so.
        #[cfg(not(test))]
        #[unsafe(no_mangle)]
        extern "C" fn main(
            count: ::std::ffi::c_int,
            arguments: *const *const ::std::ffi::c_char,
        ) -> ::std::ffi::c_int {
            // SAFETY: these are what the C library has handed over.
            unsafe { $crate::start::start::<$tool>(count, arguments) }
        }

        #[global_allocator]
        static ALLOCATOR: $crate::start::Allocator =
            $crate::start::Allocator(<$tool as $crate::cli::Tool>::NAME);
    };
}

/// The system's allocator, for the tool of this name: where no memory is left the process ends with
/// a message and `ENOMEM`, or with 125 where it runs a command. The standard library would abort
/// it.
#[derive(Debug)]
pub struct Allocator(pub &'static str);

// SAFETY: the system's allocator does it all; a null pointer is never returned.
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
        let message = [part(self.0), part(": out of memory (os error 12)\n")];
        // SAFETY: both calls are async-signal-safe, and the parts are valid.
        unsafe {
            libc::writev(libc::STDERR_FILENO, message.as_ptr(), 2);
            libc::_exit(OUT_OF_MEMORY.load(Ordering::Relaxed))
        }
    }
}

/// Runs a tool with the arguments that the C library hands to `main`, and ends the process with its
/// status.
///
/// # Safety
/// `arguments` points to `count` strings that end with a zero byte and stay as they are.
pub unsafe fn start<T: Tool>(count: c_int, arguments: *const *const c_char) -> ! {
    open_standard_streams();
    signal::ignore(nix::sys::signal::Signal::SIGPIPE);
    let argument = |index| {
        // SAFETY: the caller promises that so many strings are there.
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

/// Opens `/dev/null` in place of standard streams that are closed: a file of ours that got one of
/// their numbers would get our messages as well.
fn open_standard_streams() {
    for stream in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: the first call changes nothing, and the second one opens the lowest descriptor
        // that is free: this stream's.
        unsafe {
            if libc::fcntl(stream, libc::F_GETFD) == -1
                && libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) != stream
            {
                libc::abort();
            }
        }
    }
}
