//! Why a wait ended without success, or could not start.

use std::{fmt, io, path::PathBuf};

use coord_core::{Errno, HasErrno, text::escaped};

/// Why a wait ended without a healthy answer, or could not start.
#[derive(Debug)]
pub struct Error(Kind);

/// A target that was not healthy when the wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unhealthy {
    /// The target, without its password.
    pub target: String,
    /// How often it was polled.
    pub attempts: u64,
    /// What was wrong, or too slow, at the last attempt.
    pub reason: String,
    /// `ETIMEDOUT`, or an error number for something that this machine or process lacked, such as
    /// `EMFILE`.
    pub errno: Errno,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The text that is not a target, without its password, and why.
    BadTarget(String, String),
    /// Says what is wrong without the value.
    BadHeader(String),
    BadRegex(String, String),
    BadProxy(String),
    /// The failed operation on this file.
    #[cfg_attr(
        not(feature = "tls"),
        allow(dead_code, reason = "only TLS has such files")
    )]
    Pem(&'static str, PathBuf, io::Error),
    NotHealthy(Vec<Unhealthy>),
    /// The command of a target can never run.
    Command(String, io::Error),
    Gone(PathBuf),
    PidFile(crate::Error),
}

impl Error {
    /// The error number: see [`Probe::wait`](super::Probe::wait) and [`Target`](super::Target).
    #[must_use]
    pub fn errno(&self) -> Errno {
        match &self.0 {
            Kind::BadTarget(..) | Kind::BadHeader(_) | Kind::BadRegex(..) | Kind::BadProxy(_) => {
                Errno::EINVAL
            }
            Kind::Pem(_, _, error) | Kind::Command(_, error) => error.errno(),
            Kind::NotHealthy(all) => all
                .iter()
                .map(|unhealthy| unhealthy.errno)
                .reduce(|one, other| if one == other { one } else { Errno::ETIMEDOUT })
                .unwrap_or(Errno::ETIMEDOUT),
            Kind::Gone(_) => Errno::ESRCH,
            Kind::PidFile(error) => error.errno(),
        }
    }

    /// The targets that were not healthy when the time was over. Empty for other errors.
    #[must_use]
    pub fn unhealthy(&self) -> &[Unhealthy] {
        match &self.0 {
            Kind::NotHealthy(all) => all,
            _ => &[],
        }
    }

    /// Whether the command of a target cannot be run.
    #[must_use]
    pub fn is_about_a_command(&self) -> bool {
        matches!(self.0, Kind::Command(..))
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self(kind)
    }
}

impl HasErrno for Error {
    fn errno(&self) -> Errno {
        self.errno()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::BadTarget(target, reason) => {
                write!(f, "\"{target}\" is not a supported URL: {reason}")
            }
            Kind::BadHeader(why) => f.write_str(why),
            Kind::BadRegex(regex, why) => {
                write!(f, "{regex:?} is not a regular expression: {}", escaped(why))
            }
            Kind::BadProxy(reason) => f.write_str(reason),
            Kind::Pem(doing, path, _) => write!(f, "cannot {doing} {path:?}"),
            Kind::NotHealthy(all) => all.iter().enumerate().try_for_each(|(number, one)| {
                let between = if number > 0 { "; " } else { "" };
                write!(f, "{between}{one}")
            }),
            Kind::Command(program, _) => write!(f, "cannot run {program:?}"),
            Kind::Gone(path) => write!(f, "the process in {path:?} is not running"),
            Kind::PidFile(_) => f.write_str("cannot watch the process"),
        }
    }
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            target,
            attempts,
            reason,
            ..
        } = self;
        let s = if *attempts == 1 { "" } else { "s" };
        write!(
            f,
            "{target} was not healthy after {attempts} attempt{s}: {reason}"
        )
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Pem(_, _, error) | Kind::Command(_, error) => Some(error),
            Kind::PidFile(error) => Some(error),
            _ => None,
        }
    }
}
