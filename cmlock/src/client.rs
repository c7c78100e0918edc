//! A client that acts on behalf of one Pod.

mod requests;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use coord_core::{BootInstant, is_dns_subdomain};
use coord_kube::{Action, Cluster, Error as KubeError, Rule};
use coord_lease::engine::Moment;
use k8s_openapi::{NamespaceResourceScope, api::core::v1::Pod};
use kube::Api;

use crate::{
    Error, PodName,
    error::Kind,
    holder::{Holder, own_run, phase},
    protocol::Refusal,
    record::{ContainerRun, Owner},
};

pub(crate) const CONFIGMAPS: &str = "configmaps";
pub(crate) const PODS: &str = "pods";

/// A client of the API server that locks on behalf of one Pod. Clones share the connections, the
/// clock, and the data about the Pod.
///
/// ```no_run
/// use cmlock::{Client, PodName};
///
/// # async fn example() -> Result<Client, Box<dyn std::error::Error>> {
/// let mut config = kube::Config::infer().await?;
/// config.default_retry = false; // cmlock itself decides what to try again
/// let client = Client::new(kube::Client::try_from(config)?, &PodName::of_this_pod()?)?;
/// # Ok(client)
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    cluster: Cluster,
    pod: PodName,
    container: Option<Container>,
    owner: Arc<tokio::sync::Mutex<Option<OwnRun>>>,
    /// The bounds on the server's clock at its last answer.
    clock: Arc<Mutex<Option<Moment>>>,
}

/// The Pod, and the run of the container if it is recorded.
type OwnRun = (Owner, Option<ContainerRun>);

/// The container in which this process runs, according to the caller.
#[derive(Clone)]
struct Container {
    name: String,
    /// It is an error if the Pod has no such container.
    must_be: bool,
}

impl Client {
    /// The rights that the commands need, as rules of a Role: `update` is for `run` with a timeout,
    /// `list` for `list`.
    pub const RULES: [Rule; 7] = [
        Rule::new("get", CONFIGMAPS),
        Rule::new("list", CONFIGMAPS),
        Rule::new("watch", CONFIGMAPS),
        Rule::new("create", CONFIGMAPS),
        Rule::new("update", CONFIGMAPS),
        Rule::new("delete", CONFIGMAPS),
        Rule::new("get", PODS),
    ];

    /// Optional rights. Without them, the owner Pod is read every ten seconds.
    pub const OPTIONAL_RULES: [Rule; 1] = [Rule::new("watch", PODS)];

    /// The rights for the lock of this name, for all commands except `list`. Each acquisition
    /// creates the lock's ConfigMap, and a Role cannot restrict that right to a name.
    ///
    /// # Errors
    /// `EINVAL` for an invalid lock name.
    pub fn rules_for(name: &str) -> Result<Vec<Rule>, Error> {
        if !is_dns_subdomain(name) {
            return Err(Kind::Name.at(name));
        }
        Ok(vec![
            Rule::new("get", CONFIGMAPS).on(name),
            Rule::new("watch", CONFIGMAPS).on(name),
            Rule::new("update", CONFIGMAPS).on(name),
            Rule::new("delete", CONFIGMAPS).on(name),
            Rule::new("create", CONFIGMAPS),
            Rule::new("get", PODS),
        ])
    }

    /// The rights to end another Pod's hold with [`break_lock`](crate::break_lock).
    ///
    /// # Errors
    /// `EINVAL` for an invalid lock name.
    pub fn rules_to_break(name: &str) -> Result<Vec<Rule>, Error> {
        if !is_dns_subdomain(name) {
            return Err(Kind::Name.at(name));
        }
        Ok(["get", "delete"]
            .map(|verb| Rule::new(verb, CONFIGMAPS).on(name))
            .to_vec())
    }

    /// A client for the locks of this Pod. Turn off the retries of `client`
    /// (`kube::Config::default_retry`): only code that knows what a write was for can judge a
    /// repeated one. Call this within a tokio runtime.
    ///
    /// # Errors
    /// `EINVAL` for an invalid namespace name.
    pub fn new(client: kube::Client, pod: &PodName) -> Result<Self, Error> {
        let cluster = Cluster::new(client, &pod.namespace);
        Ok(Self::of(
            cluster.map_err(|error| Kind::from(error).at(""))?,
            &pod.name,
        ))
    }

    /// A client for the locks of the Pod of this name in the cluster's namespace.
    #[must_use]
    pub fn of(cluster: Cluster, pod: &str) -> Self {
        let pod = PodName {
            namespace: cluster.namespace().to_owned(),
            name: pod.to_owned(),
        };
        Self {
            cluster,
            pod,
            container: None,
            owner: Arc::default(),
            clock: Arc::default(),
        }
    }

    /// Records in each lock the container that holds it, and its restart count. When the container
    /// has been restarted, the lock is free. It is an error if the Pod has no container of this
    /// name.
    #[must_use]
    pub fn with_container(self, name: &str) -> Self {
        self.in_container(name, true)
    }

    /// Like `with_container`, but records nothing if the Pod has no container of this name.
    #[must_use]
    pub fn with_container_if_any(self, name: &str) -> Self {
        self.in_container(name, false)
    }

    fn in_container(mut self, name: &str, must_be: bool) -> Self {
        let name = name.to_owned();
        self.container = Some(Container { name, must_be });
        self.owner = Arc::default();
        self
    }

    /// Sets another timeout for each request than 10 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.cluster = self.cluster.with_timeout(timeout);
        self
    }

    /// The cluster and the namespace.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The Pod.
    #[must_use]
    pub fn pod(&self) -> &PodName {
        &self.pod
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        self.cluster.api()
    }

    pub(crate) fn action(&self, verb: &'static str, resource: &'static str, name: &str) -> Action {
        self.cluster.action(verb, resource).on(name)
    }

    /// The current moment, with the bounds on the server's clock.
    pub(crate) fn now(&self) -> Moment {
        let now = BootInstant::now();
        self.last_answer()
            .map_or(Moment::new(now), |last| last.at(now))
    }

    /// A lower bound of the server's clock now, since the Unix epoch.
    pub(crate) fn shown(&self) -> Option<Duration> {
        let shown = self.cluster.clock().now()?;
        shown.duration_since(UNIX_EPOCH).ok()
    }

    fn last_answer(&self) -> Option<Moment> {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A holder of this Pod with this ID, or the reason why it is refused. The Pod is read once. It
    /// is read again if no answer has shown the server's clock for a minute.
    pub(crate) async fn holder(&self, id: &str) -> Result<Result<Holder, Refusal>, KubeError> {
        let mut known = self.owner.lock().await;
        let (owner, run) = match known.clone().filter(|_| self.knows_the_time()) {
            Some(known) => known,
            None => match self.read_owner().await? {
                Ok(read) => known.insert(read).clone(),
                Err(refusal) => return Ok(Err(refusal)),
            },
        };
        Ok(Ok(Holder {
            id: id.to_owned(),
            owner,
            run,
        }))
    }

    /// Two clocks drift apart over time, and the server's may be set.
    fn knows_the_time(&self) -> bool {
        const FRESH: Duration = Duration::from_secs(60);
        let last = self.last_answer();
        last.is_some_and(|last| BootInstant::now() < last.boot + FRESH)
    }

    async fn read_owner(&self) -> Result<Result<OwnRun, Refusal>, KubeError> {
        if !is_dns_subdomain(&self.pod.name) {
            return Ok(Err(Refusal::PodName(self.pod.clone())));
        }
        let pod = self.get::<Pod>(PODS, &self.pod.name).await?;
        Ok(self.own_run(pod))
    }

    fn own_run(&self, pod: Option<Pod>) -> Result<OwnRun, Refusal> {
        let pod = pod.ok_or_else(|| Refusal::NoPod(self.pod.clone()))?;
        if let phase @ ("Failed" | "Succeeded") = phase(&pod) {
            return Err(Refusal::Finished(self.pod.clone(), phase.to_owned()));
        }
        let container = self.container.as_ref();
        let run = container.map(|container| self.run_of(&pod, container));
        let owner = Owner {
            name: self.pod.name.clone(),
            uid: pod.metadata.uid.unwrap_or_default(),
        };
        Ok((owner, run.transpose()?.flatten()))
    }

    /// If the Pod has no status for the container yet, the container has not been restarted.
    fn run_of(&self, pod: &Pod, container: &Container) -> Result<Option<ContainerRun>, Refusal> {
        let Container { name, must_be } = container;
        let known = own_run(pod, name);
        let spec = pod.spec.iter();
        let mut all = spec.flat_map(|spec| {
            spec.containers
                .iter()
                .chain(spec.init_containers.iter().flatten())
        });
        let first = || ContainerRun {
            container: name.clone(),
            restarts: 0,
        };
        let run = known.or_else(|| all.any(|known| known.name == *name).then(first));
        match run {
            None if *must_be => Err(Refusal::NoContainer(self.pod.clone(), name.clone())),
            run => Ok(run),
        }
    }

    /// The requested container, if it is not recorded because the Pod has none of that name.
    pub(crate) fn ignored_container(&self, holder: &Holder) -> Option<&str> {
        let container = self.container.as_ref().filter(|_| holder.run.is_none())?;
        Some(&container.name)
    }

    /// The same client for another namespace.
    pub(crate) fn within(&self, namespace: &str) -> Result<Self, KubeError> {
        let cluster = self.cluster.within(namespace)?;
        Ok(Self {
            clock: Arc::clone(&self.clock),
            ..Self::of(cluster, &self.pod.name)
        })
    }
}
