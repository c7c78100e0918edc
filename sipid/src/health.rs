//! Waits until a URL answers well.

mod ask;
mod proxy;
mod redirect;
#[cfg(feature = "tls")]
mod tls;
mod unix;

use std::{
    fmt,
    io::{self, PipeReader, PipeWriter},
    ops::RangeInclusive,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use coord_core::{Errno, HasErrno, duration};
use log::{debug, info};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ureq::http::{HeaderName, HeaderValue, Uri};

use crate::{PidFile, process::Process};
use ask::Asker;
pub use proxy::Proxies;

/// Where a wait without a pidfd looks whether the watched process is gone, and the longest single wait otherwise.
const GLANCE: Duration = Duration::from_millis(100);

/// The reason when a try took too long.
const NO_ANSWER: &str = "no answer in time";

/// Asks a URL until it answers with the expected status: `http://`, `https://` (feature `tls`), or `tcp://host:port`, for
/// which a connection is enough.
#[derive(Clone, Debug)]
pub struct Probe {
    url: Uri,
    timeout: Duration,
    frequency: Duration,
    expected: RangeInclusive<u16>,
    headers: Vec<(HeaderName, HeaderValue)>,
    ca_file: Option<PathBuf>,
    insecure: bool,
    unix_socket: Option<PathBuf>,
    proxies: Proxies,
    watched: Option<PidFile>,
}

/// Why a wait ended without a healthy answer, or could not begin.
#[derive(Debug)]
pub struct Error(Kind);

#[derive(Debug)]
enum Kind {
    BadUrl(String, String),
    BadHeader(String),
    BadProxy(String),
    CaFile(PathBuf, io::Error),
    NotHealthy {
        url: String,
        attempts: u64,
        reason: String,
    },
    Gone(PathBuf),
    PidFile(crate::Error),
    Io(io::Error),
}

/// What the asking thread has seen so far.
#[derive(Debug, Default)]
struct Progress {
    attempts: u64,
    reason: String,
    healthy: bool,
}

impl Probe {
    /// A probe that asks every 5 seconds, for a minute, for status 200.
    ///
    /// # Errors
    /// `EINVAL` for a URL that can never work.
    pub fn new(url: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error(Kind::BadUrl(url.to_owned(), reason.to_owned()));
        let parsed: Uri = url
            .parse()
            .map_err(|error: ureq::http::uri::InvalidUri| bad(&error.to_string()))?;
        match parsed.scheme_str() {
            Some("http" | "tcp") => {}
            Some("https") if cfg!(feature = "tls") => {}
            Some("https") => return Err(bad("this build has no TLS")),
            _ => return Err(bad("write http://, https:// or tcp://")),
        }
        if parsed.host().is_none_or(str::is_empty) {
            return Err(bad("it has no host"));
        }
        if !has_usable_port(&parsed) {
            return Err(bad("it has no valid port"));
        }
        Ok(Self {
            url: parsed,
            timeout: Duration::from_secs(60),
            frequency: Duration::from_secs(5),
            expected: 200..=200,
            headers: Vec::new(),
            ca_file: None,
            insecure: false,
            unix_socket: None,
            proxies: Proxies::default(),
            watched: None,
        })
    }

    /// How long to ask at most.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(duration::MAX);
        self
    }

    /// How long from one try to the next. A single try takes no longer than this, or a second where this is less.
    #[must_use]
    pub fn polling_frequency(mut self, frequency: Duration) -> Self {
        self.frequency = frequency.min(duration::MAX);
        self
    }

    /// The statuses that mean healthy.
    #[must_use]
    pub fn expect_status(mut self, expected: RangeInclusive<u16>) -> Self {
        self.expected = expected;
        self
    }

    /// A header to send with each try. A redirect to another host, or from https to http, is followed without it.
    ///
    /// # Errors
    /// `EINVAL` for what HTTP does not allow in a header.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, Error> {
        match (name.parse(), value.parse()) {
            (Ok(name), Ok(value)) => self.headers.push((name, value)),
            _ => return Err(Error(Kind::BadHeader(format!("{name}:{value}")))),
        }
        Ok(self)
    }

    /// Trusts the CAs in this PEM file, and no others.
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

    /// Connects to this socket, whatever the URL's host is.
    #[must_use]
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.unix_socket = Some(path.into());
        self
    }

    /// Asks through these proxies, where they are for the URL or what it redirects to. Without, every URL is asked directly,
    /// and so is every one on a Unix socket.
    #[must_use]
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Stops waiting as soon as the process in this pidfile is gone.
    #[must_use]
    pub fn watch(mut self, pidfile: PidFile) -> Self {
        self.watched = Some(pidfile);
        self
    }

    /// Asks at once, and then again and again until the answer is as expected.
    ///
    /// The asking is done in a thread of its own, so that nothing a server or resolver does can make this longer.
    ///
    /// # Errors
    /// `ETIMEDOUT` when the time is over, `ESRCH` when the watched process is gone, those of the pidfile, of the CA file,
    /// `EINVAL` for a proxy that cannot be used, and `EAGAIN` when there can be no thread.
    pub fn wait(&self) -> Result<(), Error> {
        let deadline = Instant::now() + self.timeout;
        let watched = self.watched.as_ref().map(process).transpose()?;
        let asker = Asker::new(self)?;
        let progress = Arc::new(Mutex::new(Progress::default()));
        let (done, finished) = io::pipe().map_err(Kind::Io)?;
        let (_stop, stopped) = mpsc::channel();
        let (frequency, seen) = (self.frequency, progress.clone());
        let asking = move || ask_until(&asker, deadline, frequency, &seen, &stopped, finished);
        thread::Builder::new()
            .name("probe".to_owned())
            .spawn(asking)
            .map_err(Kind::Io)?;
        let gone = watch(&done, watched.as_ref(), deadline);
        let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        self.verdict(&progress, gone)
    }

    fn verdict(&self, progress: &Progress, gone: bool) -> Result<(), Error> {
        let Progress {
            attempts,
            reason,
            healthy,
        } = progress;
        match &self.watched {
            _ if *healthy => {
                info!("{} is healthy after {attempts} attempts", self.url);
                Ok(())
            }
            Some(pidfile) if gone => Err(Error(Kind::Gone(pidfile.path().to_owned()))),
            _ => {
                let reason = if reason.is_empty() { NO_ANSWER } else { reason }.to_owned();
                Err(Error(Kind::NotHealthy {
                    url: self.url.to_string(),
                    attempts: *attempts,
                    reason,
                }))
            }
        }
    }
}

/// Whether what stands after the host is a port, or nothing where the scheme has one of its own.
fn has_usable_port(url: &Uri) -> bool {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let server = authority.rsplit('@').next().unwrap_or_default();
    match server.strip_prefix(url.host().unwrap_or_default()) {
        Some("") => url.scheme_str() != Some("tcp"),
        Some(rest) => rest
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)),
        None => false,
    }
}

fn process(pidfile: &PidFile) -> Result<Process, Error> {
    let process = pidfile.process().map_err(Kind::PidFile)?;
    process.ok_or_else(|| Error(Kind::Gone(pidfile.path().to_owned())))
}

/// Tries until healthy, out of time, or told to stop. The pipe closes when this is over.
fn ask_until(
    asker: &Asker,
    deadline: Instant,
    frequency: Duration,
    seen: &Mutex<Progress>,
    stopped: &Receiver<()>,
    _finished: PipeWriter,
) {
    loop {
        let started = Instant::now();
        let left = deadline.saturating_duration_since(started);
        if left.is_zero() {
            return;
        }
        seen.lock().unwrap_or_else(PoisonError::into_inner).attempts += 1;
        let limit = frequency.max(Duration::from_secs(1));
        let answer = asker.ask(left.min(limit));
        let mut progress = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(()) => {
                progress.healthy = true;
                return;
            }
            // A last try that the end of the wait has cut short tells less than the one before.
            Err(reason) if reason == NO_ANSWER && left < limit && !progress.reason.is_empty() => {}
            Err(reason) => {
                debug!("attempt {}: {reason}", progress.attempts);
                progress.reason = reason;
            }
        }
        drop(progress);
        let pause = (started + frequency)
            .min(deadline)
            .saturating_duration_since(Instant::now());
        if stopped.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

/// Waits for the thread, the deadline, or the end of the process; true in the last case.
fn watch(done: &PipeReader, process: Option<&Process>, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        if process.is_some_and(|process| !process.is_alive()) {
            return true;
        }
        let handle = process.and_then(Process::handle);
        let wait = if process.is_some() && handle.is_none() {
            left.min(GLANCE)
        } else {
            left.min(GLANCE * 600)
        };
        let timeout =
            PollTimeout::try_from(wait + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
        let mut files = vec![PollFd::new(done.as_fd(), PollFlags::POLLIN)];
        files.extend(handle.map(|handle| PollFd::new(handle.as_fd(), PollFlags::POLLIN)));
        let _ = poll(&mut files, timeout);
        if files[0].any().unwrap_or(false) {
            return false;
        }
    }
}

impl Error {
    fn ca_file(path: &Path, error: io::Error) -> Self {
        Self(Kind::CaFile(path.to_owned(), error))
    }

    /// The error number: see [`Probe::wait`] and [`Probe::new`].
    #[must_use]
    pub fn errno(&self) -> Errno {
        match &self.0 {
            Kind::BadUrl(..) | Kind::BadHeader(_) | Kind::BadProxy(_) => Errno::EINVAL,
            Kind::CaFile(_, error) | Kind::Io(error) => error.errno(),
            Kind::NotHealthy { .. } => Errno::ETIMEDOUT,
            Kind::Gone(_) => Errno::ESRCH,
            Kind::PidFile(error) => error.errno(),
        }
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
            Kind::BadUrl(url, reason) => write!(f, "{url:?} is not a URL to ask: {reason}"),
            Kind::BadHeader(header) => write!(f, "{header:?} is not a header"),
            Kind::BadProxy(reason) => f.write_str(reason),
            Kind::CaFile(path, _) => write!(f, "cannot read the CA file {path:?}"),
            Kind::NotHealthy {
                url,
                attempts,
                reason,
            } => {
                let s = if *attempts == 1 { "" } else { "s" };
                write!(
                    f,
                    "{url} was not healthy after {attempts} attempt{s}: {reason}"
                )
            }
            Kind::Gone(path) => write!(f, "no process runs that {path:?} names"),
            Kind::PidFile(_) => f.write_str("cannot watch the process"),
            Kind::Io(_) => f.write_str("cannot start to ask"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::CaFile(_, error) | Kind::Io(error) => Some(error),
            Kind::PidFile(error) => Some(error),
            _ => None,
        }
    }
}
