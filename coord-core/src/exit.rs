//! Exit statuses: what each number means, and how an error number becomes one.

#[cfg(target_os = "macos")]
mod macos;

use std::process::{ExitCode, Termination};

use crate::Errno;

/// The exit status of a process.
///
/// ```
/// use coord_core::{Errno, Status};
/// assert_eq!(Status::from_errno(Errno::ENOENT).code(), 2);
/// assert_eq!(Status::from_errno(Errno::EPERM).code(), 13); // 1 means "no"
/// assert_eq!(Status::from_signal(15).code(), 143);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(u8);

/// Defines each named status once: the constant, its documentation, and the line in `--help`.
macro_rules! statuses {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        impl Status {
            $(
                #[doc = concat!("`", stringify!($code), "`: ", $text, ".")]
                pub const $name: Status = Status($code);
            )*
        }
    };
}

statuses! {
    DONE = 0, "done, or the answer is yes";
    NO = 1, "the answer is no";
    USAGE = 64, "wrong usage (`EX_USAGE` of sysexits; clap's own 2 would read as `ENOENT`)";
    BUG = 70, "a bug in the tool: a panic, reported with its place (101 would read as `ENETUNREACH`)";
    LOST = 122, "the lock was lost while the command ran, and the command was ended";
    WAIT_TIMED_OUT = 124, "the wait ran out before the command was started";
    FAILED = 125, "the tool itself failed, beside or before the command";
    CANNOT_EXECUTE = 126, "the command was found and cannot be executed";
    NOT_FOUND = 127, "the command was not found";
}

/// The statuses that every command has, for its `--help`.
pub const HELP: &[(&str, &str)] = &[
    ("0", "done"),
    ("64", "wrong usage"),
    ("70", "a bug in this program"),
    (
        "n",
        "failed with Linux errno n, such as 2 ENOENT, 13 EACCES or 22 EINVAL",
    ),
    ("128+n", "ended by signal n"),
];

/// The statuses that every wrapper has, a command that runs another one (`... -- CMD`), for its
/// `--help`.
pub const HELP_WRAPPER: &[(&str, &str)] = &[
    ("n", "the command's own"),
    ("64", "wrong usage"),
    ("70", "a bug in this program"),
    ("125", "this program itself failed"),
    ("126", "the command cannot be executed"),
    ("127", "the command was not found"),
    (
        "128+n",
        "the command, or this program, was ended by signal n",
    ),
];

impl Status {
    /// The number as the parent process sees it.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Another program's exit status, passed on unchanged.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        Self(code)
    }

    /// The status of an operation that failed with this error number: the number itself, unless it
    /// would mean something else as a status.
    ///
    /// `EPERM` (1, "no") becomes `EACCES` (13). The numbers 64 and 70, numbers above 125, and
    /// numbers that are not error numbers become `EIO` (5).
    #[must_use]
    pub fn from_errno(errno: Errno) -> Self {
        const ACCES: u8 = 13;
        const IO: u8 = 5;
        #[cfg(target_os = "macos")]
        let raw = macos::on_linux(errno.raw());
        #[cfg(target_os = "linux")]
        let raw = errno.raw();
        match u8::try_from(raw) {
            Ok(1) => Self(ACCES),
            Ok(0 | 64 | 70 | 126..) | Err(_) => Self(IO),
            Ok(code) => Self(code),
        }
    }

    /// The status of a process that was ended by signal `number`: 128 + `number`.
    ///
    /// # Panics
    /// When `number` is not a signal number of Linux, 1 to 64.
    #[must_use]
    pub fn from_signal(number: i32) -> Self {
        match u8::try_from(number) {
            Ok(number @ 1..=64) => Self(128 + number),
            _ => panic!("{number} is not a signal number"),
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(status.0)
    }
}

impl Termination for Status {
    fn report(self) -> ExitCode {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errnos_that_would_read_as_something_else_are_moved() {
        let moved = |raw| Status::from_errno(Errno::from_raw(raw)).code();
        assert_eq!(moved(1), 13);
        for raw in [
            0,
            -1,
            64,
            70,
            126,
            127,
            128,
            133,
            255,
            256,
            4096,
            i32::MIN,
            i32::MAX,
        ] {
            assert_eq!(moved(raw), 5, "errno {raw}");
        }
        for raw in (2..=125).filter(|raw| ![64, 70].contains(raw)) {
            assert_eq!(i32::from(moved(raw)), raw);
        }
    }

    #[test]
    fn help_names_every_status() {
        let names = |rows: &[(&str, &str)], status: Status| {
            let code = status.code().to_string();
            rows.iter().any(|(named, _)| *named == code)
        };
        for status in [Status::DONE, Status::USAGE, Status::BUG] {
            assert!(names(HELP, status), "{status:?}");
        }
        let wrapper = [
            Status::FAILED,
            Status::CANNOT_EXECUTE,
            Status::NOT_FOUND,
            Status::USAGE,
            Status::BUG,
        ];
        for status in wrapper {
            assert!(names(HELP_WRAPPER, status), "{status:?}");
        }
    }

    #[test]
    #[should_panic(expected = "65 is not a signal number")]
    fn signals_end_at_64() {
        let _ = Status::from_signal(65);
    }
}
