//! Does what a manifest's Pods would do, without a controller that creates them or a kubelet that
//! runs them.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{Namespace, cluster};

impl Namespace {
    /// From now on, admits only Pods that meet the Pod Security Standard `restricted`.
    ///
    /// # Panics
    /// When the server refuses that.
    pub fn restrict(&self) {
        let level = "pod-security.kubernetes.io/enforce=restricted";
        self.kubectl(&["label", "namespace", self.name(), level], None);
    }

    /// The kubeconfig of a service account, with a token as in a Pod.
    ///
    /// # Panics
    /// When there is no such account.
    #[must_use]
    pub fn service_account(&self, name: &str) -> PathBuf {
        let token = self.kubectl(&["create", "token", name], None);
        let url = cluster::url(self.directory()).expect("the cluster has an address");
        let authority = self.directory().join("ca.crt");
        let user = json!({"token": token.trim()});
        let mut config = cluster::kubeconfig(&url, &authority, &user);
        config["contexts"][0]["context"]["namespace"] = self.name().into();
        let path = self
            .directory()
            .join(format!("{}-{name}.kubeconfig", self.name()));
        std::fs::write(&path, config.to_string()).expect("it can be written");
        path
    }

    /// Creates a Pod from a template, on a node that need not exist. Returns the command of one of
    /// its containers, with the environment that the kubelet would give it, and with the Pod's
    /// service account.
    ///
    /// # Panics
    /// When the server refuses the Pod, or it has no such container.
    #[must_use]
    pub fn container(&self, template: &Value, pod: &str, node: &str, container: &str) -> Command {
        let mut spec = template["spec"].clone();
        spec["nodeName"] = node.into();
        self.apply(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod, "labels": template["metadata"]["labels"]}, "spec": spec}));
        let containers = ["initContainers", "containers"].map(|kind| spec[kind].as_array());
        let mut containers = containers.into_iter().flatten().flatten();
        let container = containers.find(|it| it["name"] == container);
        let container = container.expect("the template has this container");
        let environment = container["env"].as_array().into_iter().flatten();
        let environment = environment.map(|variable| {
            let field = &variable["valueFrom"]["fieldRef"]["fieldPath"];
            let value = match field.as_str() {
                Some("metadata.name") => pod,
                Some("metadata.namespace") => self.name(),
                Some("spec.nodeName") => node,
                _ => text(&variable["value"]),
            };
            (text(&variable["name"]), value)
        });
        let environment: Vec<_> = environment.collect();
        let words = container["command"].as_array().into_iter().flatten();
        let mut words = words.map(|word| {
            let expand = |word: String, (name, value): &(&str, &str)| {
                word.replace(&format!("$({name})"), value)
            };
            environment.iter().fold(text(word).to_owned(), expand)
        });
        let mut command = Command::new(words.next().expect("the container has a command"));
        let account = self.service_account(text(&spec["serviceAccountName"]));
        command
            .args(words)
            .envs(environment.iter().copied())
            .env("KUBECONFIG", account)
            .stdin(Stdio::null());
        command
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
