//! Waits until servers, files and commands are healthy.
//!
//! ```no_run
//! use std::time::Duration;
//! use sipid::{PidFile, health::Probe};
//!
//! Probe::new("http://localhost:8080/health")?
//!     .and("tcp://localhost:5432".parse()?)
//!     .timeout(Duration::from_secs(30))
//!     .watch(PidFile::new("/run/example/example.pid"))
//!     .wait()?;
//! # Ok::<(), sipid::health::Error>(())
//! ```

mod answer;
mod ask;
mod command;
mod connect;
mod dial;
mod error;
mod expect;
mod http;
mod lookup;
mod proxy;
mod reason;
mod redirect;
mod stream;
mod target;
#[cfg(feature = "tls")]
mod tls;
mod url;
mod wait;
mod watch;

use std::{path::PathBuf, time::Duration};

use ::http::{HeaderName, HeaderValue};
use coord_core::duration;
use regex_lite::Regex;

use crate::PidFile;
use error::Kind;
pub use error::{Error, Unhealthy};
pub use expect::{InvalidStatuses, Statuses};
pub use proxy::Proxies;
pub use target::Target;

/// Polls targets until each of them was healthy once. See [`Target`] for the kinds of target.
///
/// ```no_run
/// use std::time::Duration;
/// use sipid::{PidFile, health::Probe};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// Probe::new("http://localhost:8080/health")?
///     .and("file:/run/web/ready".parse()?)
///     .timeout(Duration::from_secs(120))
///     .watch(PidFile::new("/run/web.pid")) // ends the wait when the server dies
///     .wait()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Probe {
    targets: Vec<Target>,
    timeout: Duration,
    frequency: Duration,
    slowest: Duration,
    statuses: Statuses,
    body: Option<expect::Body>,
    headers: Vec<http::Header>,
    ca_file: Option<PathBuf>,
    insecure: bool,
    identity: Option<(PathBuf, PathBuf)>,
    unix_socket: Option<PathBuf>,
    proxies: Proxies,
    watched: Option<PidFile>,
}

impl Probe {
    /// A probe that polls a URL every 5 seconds, for a minute, for status 200.
    ///
    /// # Errors
    /// `EINVAL` for a URL that can never work.
    pub fn new(url: &str) -> Result<Self, Error> {
        Ok(Self::of(url.parse()?))
    }

    /// Like `new`, for any target.
    #[must_use]
    pub fn of(target: Target) -> Self {
        Self {
            targets: vec![target],
            timeout: Duration::from_secs(60),
            frequency: Duration::from_secs(5),
            slowest: Duration::ZERO,
            statuses: (200..=200).into(),
            body: None,
            headers: Vec::new(),
            ca_file: None,
            insecure: false,
            identity: None,
            unix_socket: None,
            proxies: Proxies::default(),
            watched: None,
        }
    }

    /// Adds a target. All settings of the probe apply to each of its targets.
    #[must_use]
    pub fn and(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// The longest time to poll.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(duration::MAX);
        self
    }

    /// The time from one try to the next. A single try takes at most this long, or a second if this
    /// is less.
    #[must_use]
    pub fn polling_frequency(mut self, frequency: Duration) -> Self {
        self.frequency = frequency.min(duration::MAX);
        self
    }

    /// Doubles the time between tries after each, up to this. If this is not set, or less than the
    /// polling frequency, the time stays the same.
    #[must_use]
    pub fn max_polling_frequency(mut self, slowest: Duration) -> Self {
        self.slowest = slowest.min(duration::MAX);
        self
    }

    /// The statuses that mean healthy: `200..=299`, or a parsed list.
    #[must_use]
    pub fn expect_status(mut self, expected: impl Into<Statuses>) -> Self {
        self.statuses = expected.into();
        self
    }

    /// Requires the body to contain this text in its first MiB. It replaces an earlier expectation.
    #[must_use]
    pub fn expect_body(mut self, text: impl Into<String>) -> Self {
        self.body = Some(expect::Body::Contains(text.into()));
        self
    }

    /// Requires the body to match this regular expression somewhere in its first MiB. It replaces
    /// an earlier expectation.
    ///
    /// # Errors
    /// `EINVAL` for a regular expression that the crate `regex-lite` does not accept.
    pub fn expect_body_regex(mut self, regex: &str) -> Result<Self, Error> {
        let parsed = Regex::new(regex);
        let parsed = parsed.map_err(|error| Kind::BadRegex(regex.to_owned(), error.to_string()))?;
        self.body = Some(expect::Body::Matches(parsed));
        Ok(self)
    }

    /// Sends this header with each try. After a redirect to another scheme, host or port it is left
    /// out.
    ///
    /// # Errors
    /// `EINVAL` for a header that HTTP does not allow. The error does not contain the value, which
    /// may be a secret.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, Error> {
        if name.parse::<HeaderName>().is_err() {
            let why = "a header's name has only letters, digits and !#$%&'*+-.^_`|~";
            return Err(Kind::BadHeader(why.to_owned()).into());
        }
        let mut parsed: HeaderValue = value.parse().map_err(|_| {
            Kind::BadHeader(format!(
                "the value of the header {name:?} has control characters"
            ))
        })?;
        parsed.set_sensitive(true);
        self.headers.push((name.to_owned(), parsed));
        Ok(self)
    }

    /// Trusts only the CAs in this PEM file, and servers whose own certificate is in it.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Trusts any certificate.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// The client certificate for servers that ask for one, with the certificates that issued it,
    /// and its private key. Both are PEM files and may be the same file.
    #[must_use]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// Connects to this socket, whatever the URL's host is.
    #[must_use]
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.unix_socket = Some(path.into());
        self
    }

    /// Uses these proxies, for the URL and its redirect targets, where they apply. Without proxies
    /// every URL is contacted directly; a URL on a Unix socket always is.
    #[must_use]
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Stops waiting as soon as the process in this pidfile has ended. While the file is missing or
    /// empty, or its process is not running, it waits for the process to start.
    #[must_use]
    pub fn watch(mut self, pidfile: PidFile) -> Self {
        self.watched = Some(pidfile);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_in_what_is_printed_for_debugging() {
        let proxies = |name: &str| (name == "http_proxy").then(|| "http://me:secret@p".to_owned());
        let probe = Probe::new("http://me:secret@host/")
            .and_then(|probe| probe.header("X-Token", "secret"))
            .unwrap()
            .and("tcp://me:secret@host:1".parse().unwrap())
            .proxies(Proxies::from_variables(proxies));
        let printed = format!("{probe:?}");
        assert!(!printed.contains("secret"), "{printed}");
        assert!(
            printed.contains("X-Token") && printed.contains("***"),
            "{printed}"
        );
    }
}
