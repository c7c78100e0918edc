//! Error numbers as a small type of our own, and a trait for errors that have one.

use std::{error::Error, fmt, io};

use nix::errno::Errno as Nix;

/// A Linux error number, `errno(3)`.
///
/// ```
/// use coord_core::Errno;
/// assert_eq!(Errno::ENOENT.raw(), 2);
/// assert_eq!(Errno::ENOENT.to_string(), "No such file or directory (ENOENT)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

/// An error that knows its error number.
///
/// The number is stored where the system call failed, and is never read again from `errno` later.
pub trait HasErrno: std::error::Error {
    /// The error number this error stands for.
    fn errno(&self) -> Errno;
}

macro_rules! numbers {
    ($($name:ident)*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`, see `errno(3)`.")]
                pub const $name: Errno = Errno(Nix::$name as i32);
            )*
        }
    };
}

numbers! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EBUSY EEXIST
    ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY EFBIG ENOSPC EROFS EPIPE ERANGE EDEADLK
    ENAMETOOLONG ENOSYS ELOOP EPROTO EOVERFLOW EOPNOTSUPP ECONNREFUSED ECONNRESET ETIMEDOUT
    ESTALE ECANCELED
}

impl Errno {
    /// The error number as the kernel counts it.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// An error number from the kernel's count. Numbers that Linux does not know stay unchanged.
    #[must_use]
    pub const fn from_raw(raw: i32) -> Self {
        Self(raw)
    }
}

impl HasErrno for io::Error {
    /// The operating system's number. For an error from the standard library itself, the nearest
    /// one: `ETIMEDOUT`, `EINVAL`, `EPIPE`, `ENOENT`, `EEXIST`, `EACCES`, otherwise `EIO`.
    fn errno(&self) -> Errno {
        if let Some(raw) = self.raw_os_error() {
            return Errno(raw);
        }
        match self.kind() {
            io::ErrorKind::TimedOut => Errno::ETIMEDOUT,
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Errno::EINVAL,
            io::ErrorKind::BrokenPipe => Errno::EPIPE,
            io::ErrorKind::NotFound => Errno::ENOENT,
            io::ErrorKind::AlreadyExists => Errno::EEXIST,
            io::ErrorKind::PermissionDenied => Errno::EACCES,
            _ => Errno::EIO,
        }
    }
}

/// The error and its sources on one line, for people.
#[must_use]
pub fn with_sources(error: &(dyn Error + 'static)) -> String {
    let sources = std::iter::successors(error.source(), |&error| error.source());
    let text = sources.fold(error.to_string(), |text, source| {
        format!("{text}: {source}")
    });
    without_numbers(&text)
}

/// Leaves out each ` (os error 2)`, with which the standard library ends the system's own words.
pub(crate) fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        match rest.strip_prefix(')') {
            // musl has no words for some numbers.
            Some(rest) if !shown.ends_with("No error information") => shown += rest,
            _ => shown = format!("{shown} (os error {part}"),
        }
    }
    shown
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Nix::from_raw(self.0) {
            Nix::UnknownErrno => write!(f, "unknown error {}", self.0),
            known => write!(f, "{} ({known:?})", known.desc()),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Nix::from_raw(self.0) {
            Nix::UnknownErrno => write!(f, "Errno({})", self.0),
            known => write!(f, "{known:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_have_text_and_name() {
        assert_eq!(
            Errno::ETIMEDOUT.to_string(),
            "Connection timed out (ETIMEDOUT)"
        );
        assert_eq!(format!("{:?}", Errno::EEXIST), "EEXIST");
    }

    #[test]
    fn people_see_the_words_of_the_system_without_its_number() {
        for number in [1, 2, 13, 28, 111] {
            let error = io::Error::from_raw_os_error(number);
            let words = nix::errno::Errno::from_raw(number).desc();
            assert_eq!(with_sources(&error), words);
            let outer = io::Error::other(format!("{error}; and so on"));
            assert_eq!(with_sources(&outer), format!("{words}; and so on"));
        }
        for other in [
            "a (os error x) b (os error 2",
            "No error information (os error 524)",
        ] {
            assert_eq!(without_numbers(other), other);
        }
    }

    #[test]
    fn unknown_numbers_are_kept() {
        assert_eq!(Errno::from_raw(4000).raw(), 4000);
        assert_eq!(Errno::from_raw(4000).to_string(), "unknown error 4000");
    }

    #[test]
    fn io_errors_keep_the_kernels_number() {
        assert_eq!(io::Error::from_raw_os_error(40).errno(), Errno::ELOOP);
        assert_eq!(
            io::Error::from(io::ErrorKind::TimedOut).errno(),
            Errno::ETIMEDOUT
        );
        assert_eq!(io::Error::other("odd").errno(), Errno::EIO);
    }
}
