//! The connections to the API server. With HTTP/2, all requests and watches share one; with
//! HTTP/1.1 there are as many as are needed at a time.

mod dial;
pub(crate) mod proxy;
#[cfg(target_os = "linux")]
mod timers;
mod tls;
mod tunnel;

use std::{
    error::Error as StdError,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderValue, Request, Response, Uri, header};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
#[cfg(not(target_os = "linux"))]
use hyper_util::rt::TokioTimer as Timers;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::{Config, client::Body};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::BoxError;

use self::dial::Dialer;
#[cfg(target_os = "linux")]
use self::timers::Timers;
pub(crate) use self::{dial::NotConnected, tunnel::basic};
use crate::{Error, credentials::Identity};

/// How often we check that a server is alive (a PING, RFC 9113 section 6.7), and how long it may
/// take to answer. A dead server is noticed in time for the next renewal of a typical lease.
const PING_EVERY: Duration = Duration::from_secs(10);

/// How long an HTTP/1.1 connection is kept for the next request. Servers and proxies close idle
/// ones after a minute or more.
const KEPT: Duration = Duration::from_secs(50);

/// How often a request is resent that the server certainly did not look at. Each time it uses a
/// connection that worked a moment ago.
const UNSENT_TRIES: u32 = 5;

/// The byte stream of a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A client's connections, and the means to open more.
pub(crate) struct Connections {
    dialer: Dialer,
    /// Held while connecting, until it is known that connections are not shared. So nobody opens a
    /// second connection while another is being opened.
    dialing: tokio::sync::Mutex<()>,
    http1: AtomicBool,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    shared: Option<Arc<Shared>>,
    idle: Vec<Idle>,
}

/// A connection with HTTP/2.
struct Shared {
    sender: http2::SendRequest<Body>,
    identity: Option<Arc<Identity>>,
    /// Nothing new is sent on it. It is closed when its last requests are done.
    retired: AtomicBool,
}

/// An idle connection with HTTP/1.1.
struct Idle {
    sender: http1::SendRequest<Body>,
    identity: Option<Arc<Identity>>,
    since: Instant,
}

enum Connection {
    Http2(Arc<Shared>),
    Http1(http1::SendRequest<Body>),
}

/// The connection of a request that has no answer yet.
#[derive(Clone, Default)]
pub(crate) struct OnWire(Arc<Mutex<Option<Arc<Shared>>>>);

/// A request that got no answer.
struct Failed {
    error: hyper::Error,
    /// The server cannot have acted on it.
    unseen: bool,
}

impl Connections {
    pub(crate) fn of(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            dialer: Dialer::of(config)?,
            dialing: tokio::sync::Mutex::default(),
            http1: AtomicBool::new(false),
            open: Arc::default(),
        })
    }

    /// Sends a request with an absolute URI as `identity`.
    ///
    /// It resends the request only if the server cannot have looked at it.
    pub(crate) async fn send(
        &self,
        request: Request<Body>,
        identity: Option<&Arc<Identity>>,
        on_wire: &OnWire,
    ) -> Result<Response<Incoming>, BoxError> {
        for _ in 1..UNSENT_TRIES {
            let Some(copy) = copy(&request) else { break };
            let connection = self.get(identity).await?;
            match connection.send(copy, self, identity, on_wire).await {
                Ok(answer) => return Ok(answer),
                Err(Failed { unseen: true, .. }) => {}
                Err(failed) => return Err(lost(failed.error)),
            }
        }
        let connection = self.get(identity).await?;
        let last = connection.send(request, self, identity, on_wire).await;
        last.map_err(|failed| lost(failed.error))
    }

    /// Returns an existing connection, or a new one.
    async fn get(&self, identity: Option<&Arc<Identity>>) -> Result<Connection, NotConnected> {
        if let Some(connection) = self.at_hand(identity) {
            return Ok(connection);
        }
        let turn = match self.http1.load(Ordering::Relaxed) {
            true => None,
            false => Some(self.dialing.lock().await),
        };
        // Somebody else may have opened it in the meantime.
        if let Some(connection) = self.at_hand(identity) {
            return Ok(connection);
        }
        let (stream, http2) = self.dialer.dial(identity.map(|it| &**it)).await?;
        self.http1.store(!http2, Ordering::Relaxed);
        let connection = match http2 {
            true => self.share(stream, identity).await,
            false => alone(stream).await,
        };
        drop(turn);
        connection.map_err(NotConnected::of_handshake)
    }

    async fn share(
        &self,
        stream: Box<dyn Stream>,
        identity: Option<&Arc<Identity>>,
    ) -> hyper::Result<Connection> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(Timers::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await?;
        // The sender of each request receives the connection's errors.
        tokio::spawn(async { drop(connection.await) });
        let shared = Arc::new(Shared {
            sender,
            identity: identity.cloned(),
            retired: AtomicBool::new(false),
        });
        // The previous connection ends by itself when its requests are done.
        self.open().shared = Some(Arc::clone(&shared));
        Ok(Connection::Http2(shared))
    }

    fn at_hand(&self, identity: Option<&Arc<Identity>>) -> Option<Connection> {
        self.open().at_hand(identity)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Returns an existing connection that can take a request.
    fn at_hand(&mut self, identity: Option<&Arc<Identity>>) -> Option<Connection> {
        if let Some(shared) = &self.shared {
            if shared.is_good(identity) {
                return Some(Connection::Http2(Arc::clone(shared)));
            }
            self.shared = None;
        }
        self.idle.retain(|idle| idle.is_good(identity));
        let idle = self.idle.pop()?;
        Some(Connection::Http1(idle.sender))
    }
}

impl Shared {
    fn is_good(&self, identity: Option<&Arc<Identity>>) -> bool {
        !self.retired.load(Ordering::Relaxed)
            && !self.sender.is_closed()
            && same(self.identity.as_ref(), identity)
    }
}

impl Idle {
    fn is_good(&self, identity: Option<&Arc<Identity>>) -> bool {
        !self.sender.is_closed()
            && self.since.elapsed() < KEPT
            && same(self.identity.as_ref(), identity)
    }
}

fn same(one: Option<&Arc<Identity>>, other: Option<&Arc<Identity>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is(other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

impl Connection {
    async fn send(
        self,
        mut request: Request<Body>,
        connections: &Connections,
        identity: Option<&Arc<Identity>>,
        on_wire: &OnWire,
    ) -> Result<Response<Incoming>, Failed> {
        match self {
            Self::Http2(shared) => {
                on_wire.set(Some(Arc::clone(&shared)));
                let answer = shared.sender.clone().try_send_request(request).await;
                on_wire.set(None);
                answer.map_err(Failed::of)
            }
            Self::Http1(mut sender) => {
                for_http1(&mut request);
                let answer = sender.try_send_request(request).await;
                let answer = answer.map_err(Failed::of)?;
                keep(sender, identity.cloned(), Arc::clone(&connections.open));
                Ok(answer)
            }
        }
    }
}

impl OnWire {
    fn set(&self, connection: Option<Arc<Shared>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    /// A caller that cancels a request has reason to doubt the connection: nothing new is sent on
    /// it.
    pub(crate) fn doubt(&self) {
        let on = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(on) = on {
            on.retired.store(true, Ordering::Relaxed);
        }
    }
}

impl Failed {
    fn of(mut failed: TrySendError<Request<Body>>) -> Self {
        let unsent = failed.take_message().is_some();
        let error = failed.into_error();
        Self {
            unseen: unsent || was_refused(&error),
            error,
        }
    }
}

/// A connection with HTTP/1.1, which carries one request at a time.
async fn alone(stream: Box<dyn Stream>) -> hyper::Result<Connection> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The sender of each request receives the connection's errors.
    tokio::spawn(async { drop(connection.await) });
    Ok(Connection::Http1(sender))
}

/// Keeps the connection for the next request, once the answer has been read completely.
fn keep(
    mut sender: http1::SendRequest<Body>,
    identity: Option<Arc<Identity>>,
    open: Arc<Mutex<Open>>,
) {
    tokio::spawn(async move {
        if sender.ready().await.is_ok() {
            let idle = Idle {
                sender,
                identity,
                since: Instant::now(),
            };
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            open.idle.push(idle);
        }
    });
}

/// In HTTP/1.1 the host is in a separate header (RFC 9112 section 3.2.1).
fn for_http1(request: &mut Request<Body>) {
    let uri = request.uri();
    let host = uri.authority().map(|it| HeaderValue::from_str(it.as_str()));
    let path = uri.path_and_query().cloned().map(Uri::from);
    if let Some(Ok(host)) = host {
        request.headers_mut().insert(header::HOST, host);
    }
    *request.uri_mut() = path.unwrap_or_default();
}

/// A copy of the request; `None` if its body cannot be sent twice.
pub(crate) fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// Whether the server says that it did not look at the request. Either it refused the stream, or
/// the stream came after the last one that it accepts before it closes (RFC 9113 section 8.7).
fn was_refused(error: &hyper::Error) -> bool {
    let Some(error) = http2_error(error).filter(|error| error.is_remote()) else {
        return false;
    };
    match error.reason() {
        Some(h2::Reason::REFUSED_STREAM) => error.is_reset(),
        Some(h2::Reason::NO_ERROR) => error.is_go_away(),
        _ => false,
    }
}

/// The error of a request that was sent, or of its answer: the server may have acted on it.
pub(crate) fn lost(error: hyper::Error) -> BoxError {
    let kind = match http2_error(&error) {
        Some(http2) => http2.get_io().map(io::Error::kind),
        None if error.is_timeout() => Some(io::ErrorKind::TimedOut),
        None => return error.into(),
    };
    // An HTTP/2 error's reason is not in the chain of sources.
    let kind = kind.unwrap_or(io::ErrorKind::ConnectionReset);
    io::Error::new(kind, error).into()
}

fn http2_error(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}
