//! A user whose credentials change.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::process::write_program;

use crate::{Namespace, Proxy, cluster};

/// The API version of the credential plugins here.
pub const VERSION: &str = "client.authentication.k8s.io/v1";

/// A proxy that accepts one token at a time, a directory for the user's files, and a namespace.
///
/// It panics if something cannot be set up: a test cannot continue without it.
pub struct Guarded {
    /// See [`Proxy::require`].
    pub proxy: Proxy,
    namespace: Namespace,
    directory: TempDir,
}

#[allow(clippy::missing_panics_doc, reason = "see the type")]
impl Guarded {
    /// Starts with a proxy that still accepts everything.
    #[must_use]
    pub fn start() -> Self {
        let namespace = Namespace::new();
        Self {
            proxy: Proxy::start(&namespace.admin()),
            namespace,
            directory: tempfile::tempdir().expect("a directory can be made"),
        }
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The path of one of this user's files.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces one of this user's files at once.
    pub fn put(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).expect("a file can be written");
        fs::rename(&new, self.path(name)).expect("it can be renamed");
    }

    /// A kubeconfig that leads through the proxy, with this user.
    #[must_use]
    pub fn kubeconfig(&self, user: &Value) -> PathBuf {
        let url = format!("http://{}", self.proxy.address());
        let mut config = cluster::kubeconfig(&url, Path::new(""), user);
        config["clusters"][0]["cluster"] = json!({"server": url});
        self.write(config)
    }

    /// The same, but it leads to the API server as the other kubeconfig does.
    #[must_use]
    pub fn kubeconfig_like(&self, other: &Path, user: &Value) -> PathBuf {
        let text = fs::read_to_string(other).expect("there is a kubeconfig");
        let mut config: Value = serde_json::from_str(&text).expect("it was written as JSON");
        config["users"][0]["user"] = user.clone();
        self.write(config)
    }

    fn write(&self, mut config: Value) -> PathBuf {
        config["contexts"][0]["context"]["namespace"] = self.namespace.name().into();
        self.put("kubeconfig", &config.to_string());
        self.path("kubeconfig")
    }

    /// A user whose credential plugin is this shell script. The plugin first counts its run. `more`
    /// adds fields to the plugin's settings.
    #[must_use]
    pub fn plugin(&self, script: &str, more: &Value) -> Value {
        let directory = self.directory.path().display();
        let script = format!("#!/bin/sh\ncd '{directory}'\necho x >>runs\n{script}");
        let path = self.path("plugin");
        write_program(&path, &script);
        let mut exec = json!({"apiVersion": VERSION, "interactiveMode": "IfAvailable", "command": path,
            "args": ["--secret", "hunter2"], "env": [{"name": "SECRET", "value": "hunter3"}]});
        for (name, value) in more.as_object().into_iter().flatten() {
            exec[name] = value.clone();
        }
        json!({"exec": exec})
    }

    /// How often the plugin has run.
    #[must_use]
    pub fn runs(&self) -> usize {
        let runs = fs::read_to_string(self.path("runs")).unwrap_or_default();
        runs.lines().count()
    }

    /// Writes an `ExecCredential` with this status to the file `issued`, which plugins can print.
    pub fn issue(&self, status: &Value) {
        let text = json!({"apiVersion": VERSION, "kind": "ExecCredential", "status": status});
        self.put("issued", &text.to_string());
    }
}
