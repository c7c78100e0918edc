//! A namespace for one test.

use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

use crate::{
    audit,
    cluster::{self, Binaries},
};

/// A namespace of one test. It is removed with everything in it when this value is dropped.
///
/// It panics if something cannot be set up: a test cannot continue without it.
pub struct Namespace {
    directory: PathBuf,
    kubectl: PathBuf,
    name: String,
}

static NUMBER: AtomicU32 = AtomicU32::new(1);

impl Namespace {
    /// Creates one in the cluster that `cargo xtask test` has started, or that `cargo xtask kube
    /// env` names.
    ///
    /// # Panics
    /// When there is no cluster, or a request fails.
    #[must_use]
    pub fn new() -> Self {
        let directory = env::var_os(cluster::DIRECTORY).unwrap_or_else(|| {
            panic!(
                "no cluster: run `cargo xtask test`, or set {}",
                cluster::DIRECTORY
            )
        });
        Self::within(Path::new(&directory))
    }

    /// Creates one in the cluster with this run directory.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub fn within(directory: &Path) -> Self {
        let binaries = Binaries::installed();
        let binaries =
            binaries.unwrap_or_else(|| panic!("no kubectl in KUBEBUILDER_ASSETS or on PATH"));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = Self {
            directory: directory.to_owned(),
            kubectl: binaries.kubectl().to_owned(),
            name: format!("test-{}-{number}", std::process::id()),
        };
        namespace.apply(
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name}}),
        );
        namespace
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster's run directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The kubeconfig of a user who may do everything. Its namespace is `default`.
    #[must_use]
    pub fn admin(&self) -> PathBuf {
        self.directory.join("admin.kubeconfig")
    }

    /// Creates a user who may do `verbs` on `resource` for each of `rules`, in this namespace only.
    /// Returns the user's kubeconfig, whose namespace is this one. A resource outside the core API
    /// group is written with its group after a dot.
    ///
    /// # Panics
    /// When the user cannot be created.
    #[must_use]
    pub fn user(&self, name: &str, rules: &[(&str, &[&str])]) -> PathBuf {
        let rule = |(resource, verbs): &(&str, &[&str])| {
            let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
            json!({"apiGroups": [group], "resources": [resource], "verbs": verbs})
        };
        let rules: Vec<Value> = rules.iter().map(rule).collect();
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": rules,
            "metadata": {"name": name, "namespace": self.name}});
        self.apply(&role);
        self.user_with_role(name, name)
    }

    /// Creates a user with only a Role that this namespace already has. Returns the user's
    /// kubeconfig.
    ///
    /// # Panics
    /// When the user cannot be created.
    #[must_use]
    pub fn user_with_role(&self, name: &str, role: &str) -> PathBuf {
        let user = format!("{}-{name}", self.name);
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": self.name},
            "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
            "roleRef": {"kind": "Role", "name": role, "apiGroup": "rbac.authorization.k8s.io"}});
        self.apply(&binding);
        let kubeconfig = cluster::user(&self.directory, &user, None).expect("a user can be made");
        self.with_namespace(&kubeconfig)
    }

    /// Creates or replaces an object, as a user who may do everything.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn apply(&self, object: &Value) {
        self.kubectl(
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            Some(object),
        );
    }

    /// One complete object of this namespace.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn get(&self, resource: &str, name: &str) -> Value {
        let text = self.kubectl(&["get", resource, name, "-o", "json"], None);
        serde_json::from_str(&text).expect("kubectl prints JSON")
    }

    /// The output of kubectl in this namespace, as a user who may do everything, with `input` as
    /// its standard input.
    ///
    /// # Panics
    /// When kubectl fails.
    #[allow(
        clippy::must_use_candidate,
        reason = "it is often called for what it does"
    )]
    pub fn kubectl(&self, arguments: &[&str], input: Option<&Value>) -> String {
        self.try_kubectl(arguments, input)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The requests in this namespace so far, see [`audit::requests`].
    ///
    /// # Panics
    /// When the log cannot be read.
    #[must_use]
    pub fn requests(&self) -> Vec<audit::Request> {
        audit::requests(&self.directory, &self.name).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_kubectl(&self, arguments: &[&str], input: Option<&Value>) -> crate::Result<String> {
        let mut kubectl = Command::new(&self.kubectl);
        kubectl
            .args(arguments)
            .args(["--namespace", &self.name, "--kubeconfig"])
            .arg(self.admin());
        kubectl
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = kubectl.spawn()?;
        let mut stdin = child.stdin.take().ok_or("no standard input")?;
        stdin.write_all(input.map(Value::to_string).unwrap_or_default().as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout)?);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("kubectl {} failed: {said}", arguments.join(" ")).into())
    }

    fn with_namespace(&self, kubeconfig: &Path) -> PathBuf {
        let text = std::fs::read_to_string(kubeconfig).expect("it was just written");
        let mut config: Value = serde_json::from_str(&text).expect("it was written as JSON");
        config["contexts"][0]["context"]["namespace"] = self.name.as_str().into();
        std::fs::write(kubeconfig, config.to_string()).expect("it can be written again");
        kubeconfig.to_owned()
    }

    /// No controller is there to empty and finalize the namespace.
    fn remove(&self) -> crate::Result {
        let kinds = "configmaps,leases,pods,roles,rolebindings";
        self.try_kubectl(
            &[
                "delete",
                kinds,
                "--all",
                "--grace-period=0",
                "--force",
                "--wait=false",
            ],
            None,
        )?;
        self.try_kubectl(&["delete", "namespace", &self.name, "--wait=false"], None)?;
        let finalized = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}, "spec": {"finalizers": []}});
        let path = format!("/api/v1/namespaces/{}/finalize", self.name);
        self.try_kubectl(&["replace", "--raw", &path, "-f", "-"], Some(&finalized))?;
        Ok(())
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // If a test has broken its cluster, there is nothing left to remove the namespace from.
        if let Err(error) = self.remove() {
            eprintln!("namespace {} stays: {error}", self.name);
        }
    }
}
