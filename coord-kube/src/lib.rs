#![doc = include_str!("../README.md")]

mod access;
mod action;
mod args;
mod bounded;
mod clock;
mod config;
mod connection;
mod credentials;
mod error;
mod list;
mod observe;
mod service;
mod starting;
mod watch;

use std::{future::Future, time::Duration};

use coord_core::boottime;
use kube::{Api, Client, Config, Resource, client::ConfigExt, core::NamespaceResourceScope};
use tower::ServiceBuilder;

use self::service::Sender;
pub use {k8s_openapi, kube};

pub use self::{
    access::{Access, Role, Rule},
    action::Action,
    args::ClientArgs,
    clock::ClusterClock,
    error::Error,
    watch::{Event, Watch},
};

/// The time limit of a request, unless [`Cluster::with_timeout`] sets another.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A namespace of a cluster, with the client, the request timeout and the clock.
///
/// Clones share the connections and the clock.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    timeout: Duration,
    clock: ClusterClock,
    starting: starting::Starting,
    /// `None` if the caller provided the client.
    sender: Option<Sender>,
}

impl Cluster {
    /// A client for the cluster that the arguments and the environment name, in the order that
    /// [`ClientArgs`] describes. It sends nothing yet.
    ///
    /// `user_agent` is the program's name in the cluster's audit log, such as `tool/1.2.3`. Call it
    /// within a tokio runtime with time and I/O.
    ///
    /// # Errors
    /// `EINVAL` for an invalid setting; `ENOENT` for a missing file, or when nothing names a
    /// cluster. The text names the argument, the variable or the file.
    #[allow(clippy::unused_async, reason = "it must be called where tokio runs")]
    pub async fn connect(args: &ClientArgs, user_agent: &str) -> Result<Self, Error> {
        Self::of(args, user_agent, false)
    }

    /// Like [`connect`](Self::connect), for a program that a person waits for and that does not
    /// need its standard input. A credential plugin that asks for standard input
    /// (`interactiveMode`) gets it, if it is a terminal.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    #[allow(clippy::unused_async, reason = "it must be called where tokio runs")]
    pub async fn connect_attended(args: &ClientArgs, user_agent: &str) -> Result<Self, Error> {
        Self::of(args, user_agent, true)
    }

    fn of(args: &ClientArgs, user_agent: &str, attended: bool) -> Result<Self, Error> {
        let mut config = args.config()?;
        let user_agent = user_agent.parse().map_err(|_| {
            Error::config(
                "the user agent",
                format!("{user_agent:?} is no HTTP header value"),
            )
        })?;
        config.headers.push((http::header::USER_AGENT, user_agent));
        let sender = Sender::of(&config, attended)?;
        let client = client(&config, sender.clone())?;
        Ok(Self {
            sender: Some(sender),
            ..Self::new(client, &config.default_namespace)?
        })
    }

    /// Waits until there are credentials: a person may need longer to log in than a request may
    /// take. You need not call it before a request.
    ///
    /// # Errors
    /// As for [`call`](Self::call), when a credential plugin fails or does not end within two
    /// minutes.
    pub async fn log_in(&self) -> Result<(), Error> {
        match &self.sender {
            Some(sender) => sender.log_in().await.map_err(Error::of_log_in),
            None => Ok(()),
        }
    }

    /// Uses the caller's own client, in this namespace. Turn its retries off
    /// (`kube::Config::default_retry`), because they repeat writes.
    ///
    /// # Errors
    /// `EINVAL` for an invalid namespace.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(client: Client, namespace: &str) -> Result<Self, Error> {
        config::check_namespace(namespace)?;
        let clock = ClusterClock::default();
        Ok(Self {
            client: observe::observed(client, &clock),
            namespace: namespace.to_owned(),
            timeout: DEFAULT_TIMEOUT,
            clock,
            starting: starting::Starting::default(),
            sender: None,
        })
    }

    /// Sets another timeout for each request, from sending it to the end of its answer.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same cluster in another namespace.
    ///
    /// # Errors
    /// `EINVAL` for an invalid namespace.
    pub fn within(&self, namespace: &str) -> Result<Self, Error> {
        config::check_namespace(namespace)?;
        Ok(Self {
            namespace: namespace.to_owned(),
            ..self.clone()
        })
    }

    /// The timeout of each request.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The client. Its answers also keep the clock right. Its own requests have no timeout, see
    /// [`call`](Self::call).
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The cluster's clock.
    #[must_use]
    pub fn clock(&self) -> &ClusterClock {
        &self.clock
    }

    /// The API for objects of one kind in the namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Describes a request in this namespace, for its error:
    /// `cluster.action("get", "pods").on("web-0")`.
    #[must_use]
    pub fn action(&self, verb: &'static str, resource: &'static str) -> Action {
        Action::new(verb, resource).within(&self.namespace)
    }

    /// Waits for the answer to a request, until its timeout.
    ///
    /// # Errors
    /// Any error from the server or the connection, see [`Error::errno`]; `ETIMEDOUT` after the
    /// timeout. Even then the server may still act on the request.
    pub async fn call<T, F>(&self, action: Action, request: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let whole = async {
            let answer = request().await;
            match answer {
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    self.refused(&action, status, request).await
                }
                answer => {
                    if answer.is_ok() {
                        self.starting.allowed(&action, boottime());
                    }
                    answer.map_err(|error| Error::of(action.clone(), error))
                }
            }
        };
        let answer = tokio::time::timeout(self.timeout, whole).await;
        answer.unwrap_or_else(|_| Err(Error::timed_out(action.clone(), self.timeout)))
    }
}

/// kube's client, with our own connections and credentials.
fn client(config: &Config, sender: Sender) -> Result<Client, Error> {
    let unusable = |error| Error::config("whom the kubeconfig's user is to act as", error);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(config.extra_headers_layer().map_err(unusable)?)
        .service(sender);
    Ok(Client::new(service, &*config.default_namespace))
}
