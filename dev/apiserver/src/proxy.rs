//! A server between a client and the API server that makes requests fail.

use std::{
    convert::Infallible,
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use futures::{Stream, StreamExt, stream};
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kube::{Client, Config, client::Body, config::Kubeconfig};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};

use crate::{Error, Result};

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The connection is closed, and the API server hears nothing of the request.
    Cut,
    /// The API server gets the request and performs it. Its answer is thrown away, and the
    /// connection is closed.
    CutAnswer,
    /// The API server gets the request this much later. The client may be gone by then.
    Delay(Duration),
    /// The API server hears nothing of the request. The client gets this answer: status,
    /// `Retry-After` in seconds, body.
    Answer(u16, Option<u32>, String),
    /// Nobody gets an answer until the fault is removed. The connection stays open.
    Silence,
}

/// A request that came to the proxy.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The HTTP method.
    pub method: Method,
    /// The path with its query.
    pub path: String,
    /// When it arrived.
    pub at: Instant,
    /// What the proxy did to it.
    pub fault: Fault,
}

/// An HTTP server on loopback. It passes requests on to the API server as one of its users, and can
/// make them fail.
///
/// It speaks plain HTTP, and has the user's credentials itself. Its own thread ends when this value
/// is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Closed when the proxy is dropped.
    _alive: oneshot::Sender<Infallible>,
}

/// The state that the test and the proxy's thread share.
struct Shared {
    state: Mutex<State>,
    /// The fault of all requests. Requests in flight and watches that have begun have it, too.
    everything: watch::Sender<Fault>,
    /// Rises whenever open connections are to be closed.
    cuts: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    seen: Vec<Seen>,
    shift: i64,
    token: Option<String>,
}

type Applies = Box<dyn Fn(&Method, &str) -> bool + Send>;

/// The next `left` requests for which `applies` holds have this fault.
struct Rule {
    applies: Applies,
    fault: Fault,
    left: usize,
}

/// An answer that never comes: the connection is closed.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut on purpose")
    }
}

impl std::error::Error for Closed {}

type Outgoing = Either<
    Full<Bytes>,
    StreamBody<futures::stream::BoxStream<'static, std::result::Result<Frame<Bytes>, Error>>>,
>;

impl Proxy {
    /// Starts a proxy that passes requests on as the user of this kubeconfig.
    ///
    /// # Panics
    /// When it cannot be started: a test cannot continue without it.
    #[must_use]
    pub fn start(kubeconfig: &Path) -> Self {
        let kubeconfig = kubeconfig.to_owned();
        let (everything, _) = watch::channel(Fault::None);
        let (cuts, _) = watch::channel(0);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            everything,
            cuts,
        });
        let (alive, gone) = oneshot::channel();
        let (started, address) = std::sync::mpsc::channel();
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let served = runtime.map_err(Error::from).and_then(|runtime| {
                runtime.block_on(serve(&kubeconfig, &of_thread, started.clone(), gone))
            });
            if let Err(error) = served {
                let _ = started.send(Err(error));
            }
        });
        let address = address.recv().expect("the proxy's thread says where it is");
        Self {
            address: address.unwrap_or_else(|error| panic!("the proxy cannot be started: {error}")),
            shared,
            _alive: alive,
        }
    }

    /// Writes a kubeconfig that leads through the proxy, with this namespace.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn kubeconfig(&self, directory: &Path, namespace: &str) -> PathBuf {
        let path = directory.join(format!("proxy-{}.kubeconfig", self.address.port()));
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{}", self.address)}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "namespace": namespace}}],
            "current-context": "proxy",
        });
        fs::write(&path, config.to_string()).expect("a kubeconfig can be written");
        path
    }

    /// Sets the fault of everything from now on: new requests, those in flight, and watches that
    /// have begun. [`Fault::None`] ends it, and what silence held back continues. Rules from
    /// [`next`](Self::next) take precedence.
    pub fn set(&self, fault: Fault) {
        self.shared.everything.send_replace(fault);
    }

    /// Sets the fault of the next `times` requests for which `applies` holds. It gets the method
    /// and the path with its query.
    pub fn next(
        &self,
        times: usize,
        applies: impl Fn(&Method, &str) -> bool + Send + 'static,
        fault: Fault,
    ) {
        self.shared.state().rules.push(Rule {
            applies: Box::new(applies),
            fault,
            left: times,
        });
    }

    /// Closes all connections that are open now, above all those of watches.
    pub fn cut_open_connections(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Shifts the `Date` of each answer by this many seconds.
    pub fn shift_date(&self, seconds: i64) {
        self.shared.state().shift = seconds;
    }

    /// Passes on only requests with this bearer token. Others are answered with 401, as the API
    /// server does.
    pub fn require(&self, token: &str) {
        self.shared.state().token = Some(token.to_owned());
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the request, and returns its own fault; none if it has that of everything.
    fn judge(&self, method: &Method, path: &str) -> Option<Fault> {
        let mut state = self.state();
        let mut rules = state.rules.iter_mut();
        let rule = rules.find(|rule| rule.left > 0 && (rule.applies)(method, path));
        let fault = rule.map(|rule| {
            rule.left -= 1;
            rule.fault.clone()
        });
        state.seen.push(Seen {
            method: method.clone(),
            path: path.to_owned(),
            at: Instant::now(),
            fault: fault
                .clone()
                .unwrap_or_else(|| self.everything.borrow().clone()),
        });
        fault
    }

    /// Whether the request may pass, see [`Proxy::require`].
    fn accepts(&self, headers: &http::HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION);
        let given = given.and_then(|value| value.to_str().ok());
        let state = self.state();
        state.token.is_none()
            || given.and_then(|it| it.strip_prefix("Bearer ")) == state.token.as_deref()
    }

    /// Waits until the silence is over, and returns the fault of everything then.
    async fn silence_over(&self) -> Fault {
        let mut everything = self.everything.subscribe();
        let changed = everything.wait_for(|fault| *fault != Fault::Silence).await;
        changed.map_or(Fault::Cut, |fault| fault.clone())
    }
}

async fn serve(
    kubeconfig: &Path,
    shared: &Arc<Shared>,
    started: std::sync::mpsc::Sender<Result<SocketAddr>>,
    mut gone: oneshot::Receiver<Infallible>,
) -> Result {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = Config::try_from(Kubeconfig::read_from(kubeconfig)?)?;
    config.default_retry = false;
    let client = Client::try_from(config)?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    started.send(Ok(listener.local_addr()?))?;
    loop {
        let (connection, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = &mut gone => return Ok(()),
        };
        let (shared, client) = (Arc::clone(shared), client.clone());
        tokio::spawn(async move {
            let mut cuts = shared.cuts.subscribe();
            let answer = service_fn(|request| answer(request, &shared, &client));
            let served = http1::Builder::new().serve_connection(TokioIo::new(connection), answer);
            tokio::select! {
                // Errors here are caused on purpose.
                _ = served => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: &Arc<Shared>,
    client: &Client,
) -> std::result::Result<Response<Outgoing>, Error> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    if !shared.accepts(request.headers()) {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "Unauthorized",
            "reason": "Unauthorized", "code": 401});
        return made_up(401, None, body.to_string());
    }
    let own = shared.judge(request.method(), &path);
    let fault = match own {
        Some(Fault::Silence) => std::future::pending().await,
        Some(fault) => fault,
        None => shared.silence_over().await,
    };
    match fault {
        Fault::Cut => return Err(Closed.into()),
        Fault::Answer(status, retry_after, body) => return made_up(status, retry_after, body),
        Fault::Delay(delay) => tokio::time::sleep(delay).await,
        Fault::None | Fault::CutAnswer | Fault::Silence => {}
    }
    // A task passes it on, so that the request still arrives if the client goes away meanwhile.
    let (client, request) = (client.clone(), forwarded(request).await?);
    let answer = tokio::spawn(async move { client.send(request).await }).await??;
    if fault == Fault::CutAnswer {
        // The answer's head has arrived, so the request is done.
        return Err(Closed.into());
    }
    if shared.silence_over().await == Fault::CutAnswer {
        return Err(Closed.into());
    }
    let (mut head, body) = answer.into_parts();
    shift(&mut head.headers, shared.state().shift);
    let body = StreamBody::new(frames(body, Arc::clone(shared)).boxed());
    Ok(Response::from_parts(head, Either::Right(body)))
}

async fn forwarded(request: Request<Incoming>) -> Result<Request<Body>> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    for name in [header::HOST, header::CONNECTION, header::AUTHORIZATION] {
        head.headers.remove(name);
    }
    Ok(Request::from_parts(head, Body::from(body)))
}

fn made_up(
    status: u16,
    retry_after: Option<u32>,
    body: String,
) -> std::result::Result<Response<Outgoing>, Error> {
    let mut answer = Response::builder().status(status);
    if let Some(seconds) = retry_after {
        answer = answer.header(header::RETRY_AFTER, seconds);
    }
    Ok(answer.body(Either::Left(Full::new(body.into())))?)
}

/// The parts of the answer, which are held back while everything is silent.
fn frames(
    body: Body,
    shared: Arc<Shared>,
) -> impl Stream<Item = std::result::Result<Frame<Bytes>, Error>> + Send {
    stream::unfold((body, shared), |(mut body, shared)| async move {
        let frame = body.frame().await?;
        match shared.silence_over().await {
            Fault::Cut | Fault::CutAnswer => Some((Err(Closed.into()), (body, shared))),
            _ => Some((frame.map_err(Into::into), (body, shared))),
        }
    })
}

fn shift(headers: &mut http::HeaderMap, seconds: i64) {
    let date = headers
        .get(header::DATE)
        .and_then(|date| date.to_str().ok());
    let Some(date) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else {
        return;
    };
    let by = Duration::from_secs(seconds.unsigned_abs());
    let shifted: SystemTime = if seconds < 0 { date - by } else { date + by };
    if let Ok(value) = HeaderValue::from_str(&httpdate::fmt_http_date(shifted)) {
        headers.insert(header::DATE, value);
    }
}
