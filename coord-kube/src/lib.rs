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

/// How long a request may take, unless [`Cluster::with_timeout`] says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A namespace of a cluster: the client, the deadline of its requests, and the clock.
///
/// Clones share the connections and the clock.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    timeout: Duration,
    clock: ClusterClock,
    starting: starting::Starting,
    /// None for a client of the caller's.
    sender: Option<Sender>,
}

impl Cluster {
    /// A client for the cluster that the arguments and the environment name; nothing is sent yet. The order is that of [`ClientArgs`].
    ///
    /// `user_agent` names the program in the cluster's audit log, `tool/1.2.3`. It must be called within a tokio runtime
    /// with time and I/O.
    ///
    /// # Errors
    /// `EINVAL` for what cannot be used, `ENOENT` for a file that is not there or when nothing names a cluster; the text names
    /// the argument, the variable or the file.
    #[allow(clippy::unused_async, reason = "it must be called where tokio runs")]
    pub async fn connect(args: &ClientArgs, user_agent: &str) -> Result<Self, Error> {
        Self::of(args, user_agent, false)
    }

    /// The same for a program that a person waits for, and whose standard input nobody else wants: a credential plugin that asks for it
    /// (`interactiveMode`) has it, if it is a terminal.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
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

    /// Waits until there are credentials: a person may need longer to log in than a request may take. It is not needed before a request.
    ///
    /// # Errors
    /// As for [`call`](Self::call), when a credential plugin fails or has not ended after two minutes.
    pub async fn log_in(&self) -> Result<(), Error> {
        match &self.sender {
            Some(sender) => sender.log_in().await.map_err(Error::of_log_in),
            None => Ok(()),
        }
    }

    /// A client of the caller's own, in this namespace. Its retries should be off (`kube::Config::default_retry`): they repeat writes.
    ///
    /// # Errors
    /// `EINVAL` when the namespace cannot be one.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(client: Client, namespace: &str) -> Result<Self, Error> {
        config::check_namespace("the namespace", namespace)?;
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

    /// The same with another deadline for each request, from when it is sent to the end of its answer.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same in another namespace.
    ///
    /// # Errors
    /// `EINVAL` when the namespace cannot be one.
    pub fn within(&self, namespace: &str) -> Result<Self, Error> {
        config::check_namespace("the namespace", namespace)?;
        Ok(Self {
            namespace: namespace.to_owned(),
            ..self.clone()
        })
    }

    /// The deadline of each request.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The client; what it answers keeps the clock right too. Its requests have no deadline, see [`call`](Self::call).
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The cluster's clock.
    #[must_use]
    pub fn clock(&self) -> &ClusterClock {
        &self.clock
    }

    /// The objects of one kind in the namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// What a request in this namespace is about, for its error: `cluster.action("get", "pods").on("web-0")`.
    #[must_use]
    pub fn action(&self, verb: &'static str, resource: &'static str) -> Action {
        Action::new(verb, resource).within(&self.namespace)
    }

    /// Waits for the answer to a request, until its deadline.
    ///
    /// # Errors
    /// Whatever the server or the connection says, see [`Error::errno`]; `ETIMEDOUT` when the deadline comes first. The server
    /// may act on the request even then.
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

/// kube's client on connections and credentials of ours.
fn client(config: &Config, sender: Sender) -> Result<Client, Error> {
    let unusable = |error| Error::config("whom the kubeconfig's user is to act as", error);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(config.extra_headers_layer().map_err(unusable)?)
        .service(sender);
    Ok(Client::new(service, &*config.default_namespace))
}
