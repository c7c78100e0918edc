//! The program's start, where the standard library's is too dear.
//!
//! A command such as `sipid claim` or `lockpipe exists` takes less than a millisecond. A good part of that would go into what the
//! standard library does before `main` for one message, that of a stack overflow: it reads `/proc/self/maps` and makes a second
//! stack. Whatever else it does there is done here.

use std::{
    ffi::{CStr, OsStr, OsString},
    os::unix::ffi::OsStrExt,
    process,
};

use nix::libc::{self, c_char, c_int};

use crate::{
    cli::{self, Tool},
    signal,
};

/// Defines the `main` of a [`Tool`]'s binary, which needs `#![no_main]`. A stack overflow is a plain SIGSEGV there, and with musl
/// `std::env::args` knows of no arguments.
///
/// ```text
/// #![no_main]
///
/// coord_core::main!(Hello);
/// ```
#[macro_export]
macro_rules! main {
    ($tool:ty) => {
        // SAFETY: no other function of a program without Rust's own `main` has this name, and the C library calls it so.
        #[unsafe(no_mangle)]
        extern "C" fn main(
            count: ::std::ffi::c_int,
            arguments: *const *const ::std::ffi::c_char,
        ) -> ::std::ffi::c_int {
            // SAFETY: these are what the C library has handed over.
            unsafe { $crate::start::start::<$tool>(count, arguments) }
        }
    };
}

/// Runs a tool with the arguments that the C library hands to `main`, and ends the process with its status.
///
/// # Safety
/// `arguments` points to `count` strings that end with a zero byte and stay as they are.
pub unsafe fn start<T: Tool>(count: c_int, arguments: *const *const c_char) -> ! {
    open_standard_streams();
    signal::ignore(nix::sys::signal::Signal::SIGPIPE);
    let argument = |index| {
        // SAFETY: the caller promises that so many strings are there.
        let text = unsafe { CStr::from_ptr(*arguments.add(index)) };
        OsStr::from_bytes(text.to_bytes()).to_owned()
    };
    let arguments: Vec<OsString> = (0..usize::try_from(count).unwrap_or(0))
        .map(argument)
        .collect();
    process::exit(cli::run_with::<T>(arguments).code().into())
}

/// Opens `/dev/null` in place of standard streams that are closed: a file of ours that got one of their numbers would get our
/// messages as well.
fn open_standard_streams() {
    for stream in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: the first call changes nothing, and the second one opens the lowest descriptor that is free: this stream's.
        unsafe {
            if libc::fcntl(stream, libc::F_GETFD) == -1
                && libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) != stream
            {
                libc::abort();
            }
        }
    }
}
