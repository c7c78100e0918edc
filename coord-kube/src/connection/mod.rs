//! The connections to the API server: one with HTTP/2, which all requests and watches share; with HTTP/1.1 as many as are needed at a time.

mod dial;
pub(crate) mod proxy;
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
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kube::{Config, client::Body};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::BoxError;

use self::dial::Dialer;
pub(crate) use self::{dial::NotConnected, tunnel::basic};
use crate::{Error, credentials::Identity};

/// How often a server is asked whether it is there (a PING, RFC 9113 section 6.7), and how long it may take to answer. A dead one is
/// noticed in time for the next renewal of a common lease.
const PING_EVERY: Duration = Duration::from_secs(10);

/// How long a connection with HTTP/1.1 is kept for the next request. Servers and proxies drop idle ones after a minute or more.
const KEPT: Duration = Duration::from_secs(50);

/// How often a request is sent again that was surely not looked at. Each time it is on a connection that was good a moment ago.
const UNSENT_TRIES: u32 = 5;

/// What a connection is made of.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The connections of a client, and how to make more.
pub(crate) struct Connections {
    dialer: Dialer,
    /// Who dials is alone, until it is known that connections are not shared: nobody makes a second one that others make at the moment.
    dialing: tokio::sync::Mutex<()>,
    http1: AtomicBool,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    shared: Option<Arc<Shared>>,
    idle: Vec<Idle>,
}

/// One with HTTP/2.
struct Shared {
    sender: http2::SendRequest<Body>,
    identity: Option<Arc<Identity>>,
    /// Nothing new is sent on it. It is closed when what was sent before is over.
    retired: AtomicBool,
}

/// One with HTTP/1.1 that nobody uses.
struct Idle {
    sender: http1::SendRequest<Body>,
    identity: Option<Arc<Identity>>,
    since: Instant,
}

enum Connection {
    Http2(Arc<Shared>),
    Http1(http1::SendRequest<Body>),
}

/// The connection that a request is on while it has no answer.
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

    /// Sends a request as `identity`; its URI is absolute.
    ///
    /// It is sent again only if the server cannot have looked at it.
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

    /// One that is there, or a new one.
    async fn get(&self, identity: Option<&Arc<Identity>>) -> Result<Connection, NotConnected> {
        if let Some(connection) = self.at_hand(identity) {
            return Ok(connection);
        }
        let turn = match self.http1.load(Ordering::Relaxed) {
            true => None,
            false => Some(self.dialing.lock().await),
        };
        // Somebody else may have made it in the meantime.
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
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await?;
        // Who sends on it is told what becomes of it.
        tokio::spawn(async { drop(connection.await) });
        let shared = Arc::new(Shared {
            sender,
            identity: identity.cloned(),
            retired: AtomicBool::new(false),
        });
        // The one before ends by itself when nothing goes on there.
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
    /// A connection of ours on which something can be sent.
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

    /// Who gives the request up has reason to doubt the connection: nothing new is sent on it.
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

/// A connection with HTTP/1.1, which has one request at a time.
async fn alone(stream: Box<dyn Stream>) -> hyper::Result<Connection> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Who sends on it is told what becomes of it.
    tokio::spawn(async { drop(connection.await) });
    Ok(Connection::Http1(sender))
}

/// Keeps the connection for the next request, as soon as the answer has been read to its end.
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

/// HTTP/1.1 has the host in a header of its own (RFC 9112 section 3.2.1).
fn for_http1(request: &mut Request<Body>) {
    let uri = request.uri();
    let host = uri.authority().map(|it| HeaderValue::from_str(it.as_str()));
    let path = uri.path_and_query().cloned().map(Uri::from);
    if let Some(Ok(host)) = host {
        request.headers_mut().insert(header::HOST, host);
    }
    *request.uri_mut() = path.unwrap_or_default();
}

/// The same request again; none if its body cannot be had twice.
pub(crate) fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// Whether the server says that it has not looked at the request: the stream was refused, or came after the last one that the server
/// takes before it closes (RFC 9113 section 8.7).
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

/// What went wrong with a request that had been sent, or with the answer: the server may have acted on it.
pub(crate) fn lost(error: hyper::Error) -> BoxError {
    let kind = match http2_error(&error) {
        Some(http2) => http2.get_io().map(io::Error::kind),
        None if error.is_timeout() => Some(io::ErrorKind::TimedOut),
        None => return error.into(),
    };
    // Its reasons are not in the chain of sources.
    let kind = kind.unwrap_or(io::ErrorKind::ConnectionReset);
    io::Error::new(kind, error).into()
}

fn http2_error(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}
