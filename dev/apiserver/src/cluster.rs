//! A Kubernetes API server and its etcd on loopback, with RBAC on.
//!
//! Everything it writes is in one directory, its run directory: certificates, logs, etcd's data,
//! the audit log for ConfigMaps and Pods, and the state by which a later process finds the servers.
//! There are no controllers and no nodes: no garbage collection, no Pods, no service accounts.

mod backup;
mod binaries;
mod certificates;
mod server;

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub use self::{
    binaries::Binaries,
    server::{Lives, Server},
};
use crate::{Error, Result};

/// How long etcd and the API server may take to start. An idle machine needs three seconds.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// The environment variable that names the run directory of the cluster that tests use.
pub const DIRECTORY: &str = "TESTKIT_CLUSTER";

/// A running etcd and API server.
///
/// A cluster that was started with [`Lives::WithThread`] ends when dropped; its directory stays.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    binaries: Binaries,
    lives: Lives,
    ports: Ports,
    etcd: Server,
    apiserver: Server,
}

/// The loopback ports of one cluster.
#[derive(Clone, Copy, Debug)]
struct Ports {
    etcd: u16,
    peer: u16,
    apiserver: u16,
}

impl Cluster {
    /// Starts both servers and waits until the API server is ready.
    ///
    /// The directory is created, and must not contain a running cluster.
    ///
    /// # Errors
    /// When a server cannot be started or does not get ready; the error has the end of its log.
    pub fn start(binaries: &Binaries, directory: &Path, lives: Lives) -> Result<Self> {
        if Self::is_up(directory)? {
            return Err(format!("there is a cluster in {directory:?}").into());
        }
        fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        certificates::authority(&directory)?;
        certificates::server(&directory)?;
        certificates::service_accounts(&directory)?;
        fs::write(directory.join("audit-policy.yaml"), AUDIT_POLICY)?;
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::on(Ports::free()?, binaries, &directory, lives) {
                // Somebody else may have taken a port after we looked at it.
                Err(error) if tries < 3 && error.to_string().contains("address already in use") => {
                    // The etcd may have ended before it created this.
                    let _ = fs::remove_dir_all(directory.join("etcd"));
                }
                started => return started,
            }
        }
    }

    fn on(ports: Ports, binaries: &Binaries, directory: &Path, lives: Lives) -> Result<Self> {
        let etcd = etcd(ports, binaries, directory).start(lives)?;
        let apiserver = apiserver(ports, binaries, directory).start(lives);
        let apiserver = apiserver.inspect_err(|_| etcd.kill())?;
        let cluster = Self {
            directory: directory.to_owned(),
            binaries: binaries.clone(),
            lives,
            ports,
            etcd,
            apiserver,
        };
        let ready = cluster
            .save()
            .and_then(|()| cluster.user("admin", Some("system:masters")).map(drop))
            .and_then(|()| cluster.wait_until_ready(Instant::now() + READY_WITHIN));
        if ready.is_err() {
            cluster.kill();
        }
        ready.map(|()| cluster)
    }

    /// Ends what an earlier process started in this directory, and removes the directory.
    ///
    /// It ends only processes with the recorded start time, which no other process has. It succeeds
    /// if there is no such directory.
    ///
    /// # Errors
    /// When the state cannot be read, or the directory cannot be removed.
    pub fn remove(directory: &Path) -> Result {
        for name in [APISERVER, ETCD] {
            if let Some(server) = saved(directory, name)? {
                server.kill();
            }
        }
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("cannot remove {directory:?}: {error}").into())
            }
            _ => Ok(()),
        }
    }

    /// Whether both servers that an earlier process started in this directory still run.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn is_up(directory: &Path) -> Result<bool> {
        let runs = |name| saved(directory, name).map(|it| it.is_some_and(|it| it.is_alive()));
        Ok(runs(ETCD)? && runs(APISERVER)?)
    }

    /// The run directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The kubeconfig of a user who may do everything.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        kubeconfig_of(&self.directory, "admin")
    }

    /// Creates a user with a client certificate, who has no rights but those of the group.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn user(&self, name: &str, group: Option<&str>) -> Result<PathBuf> {
        user(&self.directory, name, group)
    }

    /// The API server, for tests that stop, continue or kill it.
    #[must_use]
    pub fn apiserver(&self) -> &Server {
        &self.apiserver
    }

    /// The etcd, for tests that stop, continue or kill it.
    #[must_use]
    pub fn etcd(&self) -> &Server {
        &self.etcd
    }

    /// Kills both servers with SIGKILL, and waits until they are gone. etcd's data stays.
    pub fn kill(&self) {
        self.apiserver.kill();
        self.etcd.kill();
    }

    /// Starts the servers that do not run, with the same data and on the same ports, and waits
    /// until the API server is ready. Like a supervisor, it starts a server again that ends
    /// meanwhile: the API server ends by itself when etcd answers slowly.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> Result {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if !self.etcd.is_alive() {
                self.etcd = etcd(self.ports, &self.binaries, &self.directory).start(self.lives)?;
            }
            if !self.apiserver.is_alive() {
                let command = apiserver(self.ports, &self.binaries, &self.directory);
                self.apiserver = command.start(self.lives)?;
            }
            self.save()?;
            let ready = self.wait_until_ready(deadline);
            if ready.is_ok() || Instant::now() > deadline {
                return ready;
            }
        }
    }

    /// Waits until the API server says that it is ready.
    fn wait_until_ready(&self, deadline: Instant) -> Result {
        while !self.is_ready() {
            for server in [&self.etcd, &self.apiserver] {
                if !server.is_alive() {
                    return Err(server.failure("ended instead of getting ready"));
                }
            }
            if Instant::now() > deadline {
                return Err(self.apiserver.failure("did not get ready"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        let mut kubectl = Command::new(self.binaries.kubectl());
        kubectl
            .args([
                "get",
                "--raw",
                "/readyz",
                "--request-timeout=2s",
                "--kubeconfig",
            ])
            .arg(self.kubeconfig());
        kubectl.output().is_ok_and(|output| output.status.success())
    }

    fn save(&self) -> Result {
        let state = json!({
            "url": self.ports.url(),
            ETCD: self.etcd.saved(),
            APISERVER: self.apiserver.saved(),
        });
        Ok(fs::write(state_file(&self.directory), state.to_string())?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.lives == Lives::WithThread {
            self.kill();
        }
    }
}

impl Ports {
    /// The ports are below those that the kernel uses for outgoing connections, so a restarted
    /// server finds its port free. No two calls in one process try the same port.
    fn free() -> Result<Self> {
        const RANGE: std::ops::Range<u32> = 20_000..32_000;
        static LOOKED_AT: AtomicU32 = AtomicU32::new(0);
        let next = || -> Result<u16> {
            for _ in RANGE {
                let number =
                    (std::process::id() % 100_000) * 37 + LOOKED_AT.fetch_add(1, Ordering::Relaxed);
                let port = u16::try_from(RANGE.start + number % (RANGE.end - RANGE.start))?;
                if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                    return Ok(port);
                }
            }
            Err(format!("no free port in {RANGE:?}").into())
        };
        Ok(Self {
            etcd: next()?,
            peer: next()?,
            apiserver: next()?,
        })
    }

    fn url(self) -> String {
        format!("https://127.0.0.1:{}", self.apiserver)
    }
}

/// The address of the API server whose run directory this is.
///
/// # Errors
/// When there is no cluster in it.
pub fn url(directory: &Path) -> Result<String> {
    let state = state(directory)?.ok_or_else(|| format!("there is no cluster in {directory:?}"))?;
    Ok(state["url"].as_str().unwrap_or_default().to_owned())
}

/// Creates a user with a client certificate in this cluster. Returns the user's kubeconfig.
///
/// # Errors
/// When a file cannot be written.
pub fn user(directory: &Path, name: &str, group: Option<&str>) -> Result<PathBuf> {
    certificates::client(directory, name, group)?;
    let path = kubeconfig_of(directory, name);
    let certificate = directory.join(format!("{name}.crt"));
    let key = directory.join(format!("{name}.key"));
    let user = json!({"client-certificate": certificate, "client-key": key});
    let config = kubeconfig(&url(directory)?, &directory.join("ca.crt"), &user);
    fs::write(&path, config.to_string())?;
    Ok(path)
}

/// A kubeconfig with one context. JSON is YAML.
#[must_use]
pub fn kubeconfig(url: &str, authority: &Path, user: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": authority}}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    })
}

const ETCD: &str = "etcd";
const APISERVER: &str = "kube-apiserver";

/// Logs requests for ConfigMaps and Pods, one line each, and two for a watch: begin and end.
const AUDIT_POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: ["RequestReceived"]
rules:
- level: Metadata
  resources: [{group: "", resources: ["configmaps", "pods"]}]
- level: None
"#;

fn etcd(ports: Ports, binaries: &Binaries, directory: &Path) -> server::Start {
    let client = format!("http://127.0.0.1:{}", ports.etcd);
    let peer = format!("http://127.0.0.1:{}", ports.peer);
    server::Start::new(ETCD, binaries.etcd(), directory)
        .flag("data-dir", directory.join("etcd"))
        .flag("listen-client-urls", &client)
        .flag("advertise-client-urls", &client)
        .flag("listen-peer-urls", &peer)
        .flag("initial-advertise-peer-urls", &peer)
        .flag("initial-cluster", format!("default={peer}"))
        .flag("log-level", "warn")
        // No machine loses its power in the middle of a test.
        .flag("unsafe-no-fsync", "true")
}

fn apiserver(ports: Ports, binaries: &Binaries, directory: &Path) -> server::Start {
    let file = |name: &str| directory.join(name);
    server::Start::new(APISERVER, binaries.apiserver(), directory)
        .flag("etcd-servers", format!("http://127.0.0.1:{}", ports.etcd))
        .flag("bind-address", "127.0.0.1")
        .flag("advertise-address", "127.0.0.1")
        .flag("secure-port", ports.apiserver.to_string())
        .flag("cert-dir", file("generated"))
        .flag("tls-cert-file", file("server.crt"))
        .flag("tls-private-key-file", file("server.key"))
        .flag("client-ca-file", file("ca.crt"))
        .flag("service-account-issuer", "https://kubernetes.default.svc")
        .flag("service-account-key-file", file("accounts.pub"))
        .flag("service-account-signing-key-file", file("accounts.key"))
        .flag("authorization-mode", "RBAC")
        .flag("service-cluster-ip-range", "10.0.0.0/24")
        .flag("endpoint-reconciler-type", "none")
        // This plugin needs the ServiceAccount `default` in each namespace, which a controller
        // creates.
        .flag("disable-admission-plugins", "ServiceAccount")
        .flag("audit-policy-file", file("audit-policy.yaml"))
        .flag("audit-log-path", file("audit.log"))
        .flag("audit-log-mode", "blocking")
}

fn kubeconfig_of(directory: &Path, user: &str) -> PathBuf {
    directory.join(format!("{user}.kubeconfig"))
}

fn state_file(directory: &Path) -> PathBuf {
    directory.join("state.json")
}

fn state(directory: &Path) -> Result<Option<Value>> {
    let path = state_file(directory);
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| format!("{path:?}: {error}").into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {path:?}: {error}").into()),
    }
}

fn saved(directory: &Path, name: &'static str) -> Result<Option<Server>> {
    let Some(state) = state(directory)? else {
        return Ok(None);
    };
    let server = Server::from_saved(name, directory, &state[name]);
    server.map(Some).ok_or_else(|| -> Error {
        format!(
            "{:?} does not say which process is {name}",
            state_file(directory)
        )
        .into()
    })
}
