//! Which Pod, and in which cluster.

use clap::Args;
use cmlock::{Client, PodName};
use coord_core::cli::{Failure, help::heading};
use coord_kube::{ClientArgs, Cluster};

const USER_AGENT: &str = concat!("cmlock/", env!("CARGO_PKG_VERSION"));

const NAMESPACE: &str =
    "Namespace of the locks [default: POD_NAMESPACE, else the context's, else in a Pod its own]";

/// Which Pod owns the locks, and where it is.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = heading::CLUSTER, mut_arg("namespace", |arg| arg.help(NAMESPACE)))]
pub(crate) struct PodArgs {
    /// Pod that owns the lock [default: POD_NAME, else this host's name]
    #[arg(long, global = true, value_name = "NAME", display_order = 80)]
    pod: Option<String>,
    /// Container that this process runs in. When the container is restarted, the lock becomes free
    /// [default: CONTAINER_NAME, if the Pod has such a container]
    #[arg(long, global = true, value_name = "NAME", display_order = 81)]
    container: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

impl PodArgs {
    /// For what is done at once: a person may log in before.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        let cluster = Cluster::connect_attended(&self.arguments(), USER_AGENT).await?;
        cluster.log_in().await?;
        Ok(self.of(cluster))
    }

    /// For what waits: a person may log in meanwhile.
    pub(crate) async fn waiting(&self) -> Result<Client, Failure> {
        let cluster = Cluster::connect_attended(&self.arguments(), USER_AGENT).await?;
        Ok(self.of(cluster))
    }

    /// For a command that has standard input.
    pub(crate) async fn without_input(&self) -> Result<Client, Failure> {
        let cluster = Cluster::connect(&self.arguments(), USER_AGENT).await?;
        Ok(self.of(cluster))
    }

    fn of(&self, cluster: Cluster) -> Client {
        let pod = self.pod.clone().or_else(PodName::name_of_this_pod);
        let client = Client::of(cluster, &pod.unwrap_or_default());
        match (&self.container, variable("CONTAINER_NAME")) {
            (Some(name), _) => client.with_container(name),
            // Processes outside of Pods may have a variable of that name, too.
            (None, Some(name)) => client.with_container_if_any(&name),
            (None, None) => client,
        }
    }

    /// `POD_NAMESPACE` is where the Pod says that it is; what is given goes before it.
    pub(super) fn arguments(&self) -> ClientArgs {
        let mut arguments = self.client.clone();
        if arguments.namespace.is_none() {
            arguments.namespace = variable("POD_NAMESPACE");
        }
        arguments
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
