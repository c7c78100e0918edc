//! Why a try failed.

use std::{fmt, io};

use coord_core::{Errno, HasErrno, text::escaped};

/// Why a try failed.
#[derive(Debug)]
pub(super) enum Reason {
    /// This did not come in time.
    Slow(&'static str),
    /// The target, or something on the way to it, does not work.
    Failed(String),
    /// This machine or process lacks something, such as descriptors; with the operation that
    /// failed.
    Lacking(String, io::Error),
}

/// The phases of a try, for [`Reason::Slow`].
pub(super) mod phase {
    pub(in super::super) const LOOKUP: &str = "result from the name lookup";
    pub(in super::super) const CONNECTION: &str = "connection";
    pub(in super::super) const BACKLOG: &str = "connection (the socket's backlog is full)";
    pub(in super::super) const PROXY: &str = "answer from the proxy";
    #[cfg(feature = "tls")]
    pub(in super::super) const TLS: &str = "TLS handshake";
    pub(in super::super) const ANSWER: &str = "answer";
    pub(in super::super) const EXIT: &str = "end of the command";
}

impl Reason {
    /// A failed call in one of the phases. Text from a server is escaped.
    pub(super) fn of(phase: &'static str, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() {
            return Self::Slow(phase);
        }
        #[cfg(feature = "tls")]
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
            return Self::failed(&coord_core::tls::explained(error));
        }
        Self::failed(error)
    }

    pub(super) fn failed(what: &impl fmt::Display) -> Self {
        Self::Failed(escaped(&what.to_string()).to_string())
    }

    pub(super) fn lacking(doing: impl Into<String>, error: io::Error) -> Self {
        Self::Lacking(doing.into(), error)
    }

    /// The number of the failed call if the reason is on this side; otherwise `ETIMEDOUT`.
    pub(super) fn errno(&self) -> Errno {
        match self {
            Self::Lacking(_, error) => error.errno(),
            _ => Errno::ETIMEDOUT,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(what) => write!(f, "no {what} in time"),
            Self::Failed(why) => f.write_str(why),
            Self::Lacking(doing, error) => write!(f, "cannot {doing}: {error}"),
        }
    }
}
