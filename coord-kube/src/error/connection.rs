//! Errors of requests that got no answer, or none that could be read.

use std::{error::Error as StdError, io};

use coord_core::{Errno, HasErrno};

/// The number for a request that got no answer, or an unreadable one.
pub(super) fn of_connection(error: &kube::Error) -> Errno {
    // An error that only wraps another one says nothing itself.
    if let Some(error) = io_error(error).filter(|error| error.kind() != io::ErrorKind::Other) {
        return match error.kind() {
            io::ErrorKind::ConnectionRefused => Errno::ECONNREFUSED,
            io::ErrorKind::TimedOut => Errno::ETIMEDOUT,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset => Errno::ECONNRESET,
            _ if error.raw_os_error().is_some() => error.errno(),
            // Invalid certificates and names, for instance.
            _ => Errno::EIO,
        };
    }
    let cut = |error: &(dyn StdError + 'static)| {
        error
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_closed())
    };
    if chain(error).any(cut) {
        return Errno::ECONNRESET;
    }
    Errno::EIO
}

/// The innermost I/O error.
pub(super) fn io_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    chain(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .last()
}

/// The error and its sources. The `source` of an I/O error skips the error that it wraps, so the
/// wrapped error is taken instead.
pub(super) fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}
