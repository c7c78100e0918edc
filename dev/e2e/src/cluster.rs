//! The kind cluster: an existing one, or one that is created for the run.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::process::Command;

use crate::{
    Result, pod,
    program::{output, program},
};

/// The name of a cluster that a run creates; a run looks for it first.
const NAME: &str = "coord-e2e";

pub(crate) struct Cluster {
    /// Its name in kind.
    name: String,
    /// The path of its credentials; none for the context that the user has named, which is in the
    /// user's own kubeconfig.
    kubeconfig: Option<PathBuf>,
    origin: Origin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It existed before this run, and stays.
    Found,
    /// This run creates it, and removes it.
    Ours,
}

impl Cluster {
    /// The cluster of the context, otherwise the one that an earlier run has kept, otherwise a new
    /// one.
    pub(crate) async fn choose(context: Option<&str>, out: &Path) -> Result<Self> {
        if let Some(context) = context {
            let name = context.strip_prefix("kind-").ok_or_else(|| {
                format!("the context {context} is not of a kind cluster (kind-NAME): images reach the nodes with `kind load`")
            })?;
            return Ok(Self {
                name: name.to_owned(),
                kubeconfig: None,
                origin: Origin::Found,
            });
        }
        let clusters = output(program("kind").args(["get", "clusters"])).await?;
        let origin = match clusters.lines().any(|name| name == NAME) {
            true => Origin::Found,
            false => Origin::Ours,
        };
        Ok(Self {
            name: NAME.to_owned(),
            kubeconfig: Some(out.join("kubeconfig")),
            origin,
        })
    }

    /// Creates the cluster if it is ours, and writes its credentials.
    pub(crate) async fn ensure(&self, image: Option<&str>) -> Result {
        let Some(kubeconfig) = &self.kubeconfig else {
            return Ok(());
        };
        let mut kind = self.kind(match self.origin {
            Origin::Ours => &["create", "cluster", "--wait", "3m"],
            Origin::Found => &["export", "kubeconfig"],
        });
        kind.arg("--kubeconfig").arg(kubeconfig);
        if let (Some(image), Origin::Ours) = (image, self.origin) {
            kind.args(["--image", image]);
        }
        output(&mut kind).await.map(drop)
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.origin == Origin::Ours
    }

    pub(crate) async fn delete(&self) -> Result {
        let mut kind = self.kind(&["delete", "cluster"]);
        if let Some(kubeconfig) = &self.kubeconfig {
            kind.arg("--kubeconfig").arg(kubeconfig);
        }
        output(&mut kind).await.map(drop)
    }

    /// How to inspect what a run has kept.
    pub(crate) fn how_to_look(&self, id: &str) -> String {
        let kubeconfig = self.kubeconfig.as_ref();
        let kubeconfig = kubeconfig.map(|path| format!(" --kubeconfig {}", path.display()));
        format!(
            "kubectl{} --context {} get namespaces -l {}={id}",
            kubeconfig.unwrap_or_default(),
            self.context(),
            crate::scene::LABEL
        )
    }

    pub(crate) fn kubectl(&self) -> Command {
        let mut kubectl = program("kubectl");
        if let Some(kubeconfig) = &self.kubeconfig {
            kubectl.arg("--kubeconfig").arg(kubeconfig);
        }
        kubectl.args(["--context", &self.context()]);
        kubectl
    }

    pub(crate) fn kind(&self, words: &[&str]) -> Command {
        let mut kind = program("kind");
        kind.args(words).args(["--name", &self.name]);
        kind
    }

    pub(crate) async fn client(&self) -> Result<Client> {
        let options = KubeConfigOptions {
            context: Some(self.context()),
            ..KubeConfigOptions::default()
        };
        let config = match &self.kubeconfig {
            Some(path) => {
                Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?
            }
            None => Config::from_kubeconfig(&options).await?,
        };
        Ok(Client::try_from(config)?)
    }

    /// A shell command on a container's node. The container's first process is in `$pid`.
    pub(crate) fn beside(pod: &Pod, container: &str, command: &str) -> Result<Command> {
        let (node, id) = pod::place(pod, container)?;
        let inspect = "crictl inspect -o go-template --template '{{.info.pid}}'";
        let command = format!("pid=$({inspect} {id}) && {command}");
        Ok(Self::on_node(&node, &command))
    }

    /// A shell command on a node, as root.
    pub(crate) fn on_node(node: &str, command: &str) -> Command {
        let mut docker = program("docker");
        docker.args(["exec", node, "sh", "-c", command]);
        docker
    }

    pub(crate) async fn nodes(&self) -> Result<Vec<String>> {
        let nodes = output(&mut self.kind(&["get", "nodes"])).await?;
        Ok(nodes.lines().map(str::to_owned).collect())
    }

    fn context(&self) -> String {
        format!("kind-{}", self.name)
    }
}
