//! The place of one scenario: a namespace, and what can be done in it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Event, Namespace, Pod, ServiceAccount},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    Result,
    cluster::Cluster,
    images::Images,
    pod,
    program::{self, SHOWN, output},
};

/// The label of a run's namespaces; its value is the run's ID.
pub(crate) const LABEL: &str = "coord-e2e/run";

/// How long anything may take. It is long, because a machine may be busy. Scenarios measure what
/// must be quick.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long the API server may fail to answer on a busy machine.
const TOLERANCE: Duration = Duration::from_secs(30);

/// The pause between two looks at the cluster.
const POLL: Duration = Duration::from_millis(100);

pub(crate) struct Scene<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) images: &'a Images,
    client: Client,
    pub(crate) namespace: String,
    /// The files that are applied here, and those that are collected.
    pub(crate) directory: PathBuf,
}

/// A change to the manifests: JSON patch operations (RFC 6902) for the only object of a kind.
pub(crate) struct Patch {
    pub(crate) kind: &'static str,
    pub(crate) operations: Value,
}

impl<'a> Scene<'a> {
    /// Creates a namespace that admits only Pods that meet the Pod Security Standard `restricted`.
    pub(crate) async fn open(
        name: &str,
        id: &str,
        cluster: &'a Cluster,
        images: &'a Images,
        directory: &Path,
    ) -> Result<Self> {
        program::empty_directory(directory)?;
        let client = cluster.client().await?;
        let namespace = format!("{name}-{id}");
        let object = json!({"metadata": {"name": namespace, "labels": {
            LABEL: id,
            "pod-security.kubernetes.io/enforce": "restricted",
        }}});
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let object = serde_json::from_value(object)?;
        namespaces.create(&PostParams::default(), &object).await?;
        let scene = Self {
            cluster,
            images,
            client,
            namespace,
            directory: directory.to_owned(),
        };
        // Before that, no Pod is admitted.
        let account = async || Ok(scene.api::<ServiceAccount>().get_opt("default").await?);
        scene.until("there is a service account", account).await?;
        Ok(scene)
    }

    /// Starts to remove the namespace. [`remove_all`] waits until it is gone.
    pub(crate) async fn close(&self) -> Result {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await?;
        Ok(())
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies manifests of this repository, with the images of this run. Each is a file, or a
    /// directory with a kustomization.
    pub(crate) async fn apply(&self, manifests: &[&str], patches: &[Patch]) -> Result {
        let overlay = self.directory.join("overlay");
        program::empty_directory(&overlay)?;
        for path in manifests {
            program::copy(Path::new(path), &overlay)?;
        }
        let resources = manifests
            .iter()
            .filter_map(|path| Path::new(path).file_name());
        let resources: Vec<_> = resources.map(|name| name.to_string_lossy()).collect();
        let patches = patches.iter().map(
            |patch| json!({"target": {"kind": patch.kind}, "patch": patch.operations.to_string()}),
        );
        // JSON is YAML.
        let kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.namespace,
            "resources": resources,
            "images": self.images.overrides(),
            "patches": patches.collect::<Vec<_>>(),
        });
        fs::write(
            overlay.join("kustomization.yaml"),
            kustomization.to_string(),
        )?;
        let mut kubectl = self.cluster.kubectl();
        output(kubectl.args(["apply", "-k"]).arg(overlay))
            .await
            .map(drop)
    }

    /// A kubectl for this namespace.
    pub(crate) fn kubectl(&self) -> Command {
        let mut kubectl = self.cluster.kubectl();
        kubectl.args(["--namespace", &self.namespace]);
        kubectl
    }

    /// Waits until `look` finds something. The error says what was waited for, and what the Pods do
    /// instead. If the API server fails to answer for a moment, it is asked again.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        look: impl AsyncFn() -> Result<Option<T>>,
    ) -> Result<T> {
        let started = Instant::now();
        let mut failing = None;
        loop {
            match look().await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => failing = None,
                Err(error) if is_transient(&error) => {
                    let since = *failing.get_or_insert_with(Instant::now);
                    if since.elapsed() > TOLERANCE {
                        let all_the_time = format!("for more than {TOLERANCE:?}, each time");
                        return Err(
                            format!("cannot see whether {what}, {all_the_time}: {error}").into(),
                        );
                    }
                }
                Err(error) => return Err(error),
            }
            if started.elapsed() > PATIENCE {
                return Err(self
                    .wrong(&format!("not within {PATIENCE:?}: {what}"))
                    .await);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// An error that says what is wrong, and what the Pods do.
    pub(crate) async fn wrong(&self, what: &str) -> crate::Error {
        match self.situation().await {
            Ok(situation) => format!("{what}\n{situation}").into(),
            Err(error) => format!("{what}; and the Pods cannot be listed: {error}").into(),
        }
    }

    /// The output of a container, of its current run or of the previous one.
    pub(crate) async fn logs(&self, pod: &str, container: &str, previous: bool) -> Result<String> {
        let parameters = kube::api::LogParams {
            container: Some(container.to_owned()),
            previous,
            ..kube::api::LogParams::default()
        };
        Ok(self.api::<Pod>().logs(pod, &parameters).await?)
    }

    /// Kills a container's first process with SIGKILL from the node. Nothing inside the cluster can
    /// do that.
    pub(crate) async fn kill_from_node(&self, pod: &Pod, container: &str) -> Result {
        output(&mut Cluster::beside(pod, container, "kill -KILL $pid")?)
            .await
            .map(drop)
    }

    /// The state of the Pods, the last lines of those that failed or run, and the cluster's
    /// warnings; one indented line each.
    async fn situation(&self) -> Result<String> {
        let mut lines = Vec::new();
        for pod in self.api::<Pod>().list(&ListParams::default()).await? {
            lines.push(pod::shown(&pod));
            for (container, telling) in pod::telling(&pod) {
                let logs = self.logs(&pod::name(&pod), &container, false).await;
                let logs = logs.unwrap_or_default();
                lines.extend(last_lines(&logs, telling).map(|it| format!("{container}: {it}")));
            }
        }
        let warnings = ListParams::default().fields("type=Warning");
        for event in self.api::<Event>().list(&warnings).await? {
            let text = |text: Option<String>| text.unwrap_or_default();
            let object = text(event.involved_object.name);
            lines.push(format!(
                "{}, {object}: {}",
                text(event.reason),
                text(event.message)
            ));
        }
        // Many Pods of a Job write the same. The rest is in the collected files.
        let mut said = BTreeSet::new();
        lines.retain(|line| said.insert(line.clone()));
        lines.truncate(SHOWN);
        Ok(lines
            .iter()
            .map(|line| format!("        {line}"))
            .collect::<Vec<_>>()
            .join("\n"))
    }

    /// Saves objects, events and logs. It leaves out what it cannot get, because the scenario's
    /// failure is what matters.
    pub(crate) async fn collect(&self) {
        let kinds = "all,configmaps,roles,rolebindings,serviceaccounts";
        let of: [(&str, &[&str]); 3] = [
            ("objects.yaml", &["get", kinds, "-o", "yaml"]),
            (
                "events.txt",
                &["get", "events", "--sort-by", ".lastTimestamp"],
            ),
            ("pods.txt", &["describe", "pods"]),
        ];
        for (file, words) in of {
            self.write(file, output(self.kubectl().args(words)).await);
        }
        let pods = self.api::<Pod>().list(&ListParams::default()).await;
        for pod in pods.into_iter().flatten() {
            let name = pod::name(&pod);
            for container in pod::containers(&pod) {
                let logs = self.logs(&name, &container, false).await;
                self.write(&format!("{name}.{container}.log"), logs);
                if let Ok(logs) = self.logs(&name, &container, true).await {
                    self.write(&format!("{name}.{container}.previous.log"), Ok(logs));
                }
            }
        }
        println!("        more in {}", self.directory.display());
    }

    fn write(&self, file: &str, text: Result<String>) {
        let text = text.unwrap_or_else(|error| error.to_string());
        if let Err(error) = fs::write(self.directory.join(file), text) {
            eprintln!("e2e: cannot write {file}: {error}");
        }
    }
}

/// Removes all namespaces of a run, and returns when they are gone.
pub(crate) async fn remove_all(id: &str, cluster: &Cluster) -> Result {
    let selector = format!("{LABEL}={id}");
    let words = ["delete", "namespaces", "--selector", &selector];
    let mut kubectl = cluster.kubectl();
    output(kubectl.args(words).arg("--timeout=3m"))
        .await
        .map(drop)
}

/// Whether a retry may succeed a moment later: the connection broke, or the server is overloaded or
/// has an internal error.
fn is_transient(error: &crate::Error) -> bool {
    match error.downcast_ref() {
        Some(kube::Error::Api(status)) => status.code == 429 || status.code >= 500,
        Some(kube::Error::HyperError(_) | kube::Error::Service(_)) => true,
        _ => false,
    }
}

fn last_lines(text: &str, count: usize) -> impl Iterator<Item = &str> {
    let skipped = text.lines().count().saturating_sub(count);
    text.lines().skip(skipped)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_passes_is_told_from_what_stays() {
        let answer = |code| {
            let status = Status {
                code,
                ..Status::default()
            };
            is_transient(&kube::Error::Api(Box::new(status)).into())
        };
        assert!([429, 500, 503, 504].into_iter().all(answer));
        assert!(![401, 403, 404, 409, 422].into_iter().any(answer));
        assert!(is_transient(
            &kube::Error::Service("connection reset".into()).into()
        ));
        assert!(!is_transient(&"something else".into()));
    }
}
