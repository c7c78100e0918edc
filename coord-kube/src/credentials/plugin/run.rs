//! One run of a plugin.

use std::{
    io::{self, IsTerminal},
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use coord_core::text::escaped;
use k8s_openapi::jiff::Timestamp;
use nix::{
    sys::signal::{SigSet, Signal, killpg},
    unistd::{Pid, getpgrp, setsid, tcgetpgrp},
};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    task::JoinHandle,
    time::timeout,
};

use super::{super::Identity, Exec, Issued, Why};
use crate::credentials::{Credential, bearer};

/// Longer than any `ExecCredential`.
const LONGEST_OUTPUT: usize = 1 << 20;

/// How much of standard error is shown: its end.
const TOLD: usize = 2000;

/// How long a plugin's output may stay open after the plugin ended. A process that it started in
/// the background, such as ssh's master, may hold it.
const LINGERS: Duration = Duration::from_millis(500);

/// How a plugin is connected to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connected {
    /// It has our standard input.
    stdin: bool,
    /// Its standard error is shown at once: it may ask a person to do something.
    stderr: bool,
    /// It can open our terminal by name.
    terminal: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    api_version: Option<String>,
    kind: Option<String>,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<Timestamp>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// When the run is cancelled, kills the plugin and the processes that it started.
struct Group(Option<Pid>);

/// Runs it to its end, for at most `longest`.
pub(super) async fn run(exec: &Exec, first: bool, longest: Duration) -> Result<Issued, Why> {
    let connected = Connected::now(exec, first);
    if exec.needs_terminal() && !connected.stdin {
        return Err(Why::Terminal);
    }
    let spawned = command(exec, connected).spawn();
    let mut child = spawned.map_err(|error| not_started(error, exec))?;
    let group = Group::of(&child, connected);
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = timeout(longest, child.wait()).await;
    let status = status
        .map_err(|_| Why::TooLong(longest))?
        .map_err(Why::NotStarted)?;
    // If it ends by itself, processes that it leaves behind are its own business.
    group.let_be();
    let (stdout, stderr) = (stdout.end().await, stderr.end().await);
    if status.success() {
        issued(&stdout, exec)
    } else {
        Err(Why::Status(ended_with(status), on_one_line(&stderr)))
    }
}

impl Connected {
    /// A plugin gets the terminal only in the first run, and only while it is ours. Later, a
    /// command of the user's may read from the terminal, and a shell with job control stops
    /// background processes that read from it.
    fn now(exec: &Exec, first: bool) -> Self {
        let stdin = io::stdin();
        let ours = tcgetpgrp(&stdin)
            .or_else(|_| tcgetpgrp(io::stderr()))
            .is_ok_and(|group| group == getpgrp());
        let wanted = exec.attended && exec.wants_terminal();
        Self {
            stdin: wanted && ours && stdin.is_terminal(),
            stderr: first && io::stderr().is_terminal(),
            terminal: ours && (first || wanted),
        }
    }
}

fn command(exec: &Exec, connected: Connected) -> Command {
    let config = &exec.config;
    let mut command = Command::new(exec.program());
    let pipe_unless = |inherited| match inherited {
        true => Stdio::inherit(),
        false => Stdio::piped(),
    };
    command
        .args(config.args.iter().flatten())
        .env("KUBERNETES_EXEC_INFO", info(exec, connected.stdin))
        .stdin(match connected.stdin {
            true => Stdio::inherit(),
            false => Stdio::null(),
        })
        .stdout(Stdio::piped())
        .stderr(pipe_unless(connected.stderr))
        .kill_on_drop(true);
    for variable in config.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    let prepare = move || {
        // Without a terminal, reading from one is an error and stops nobody, credentials(7).
        if !connected.terminal {
            setsid()?;
        }
        // The runtime's threads may block signals, which a program inherits, execve(2).
        SigSet::empty().thread_set_mask()?;
        // It does not outlive us, however we end.
        #[cfg(target_os = "linux")]
        nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
        Ok(())
    };
    // SAFETY: these are system calls and allocate nothing; signal-safety(7).
    unsafe { command.pre_exec(prepare) };
    command
}

/// `KUBERNETES_EXEC_INFO`: an `ExecCredential` with the request.
fn info(exec: &Exec, interactive: bool) -> String {
    let mut spec = json!({"interactive": interactive});
    if let Some(cluster) = exec.config.cluster.as_ref() {
        spec["cluster"] = serde_json::to_value(cluster).unwrap_or_default();
    }
    json!({"apiVersion": exec.version(), "kind": "ExecCredential", "spec": spec}).to_string()
}

fn not_started(error: io::Error, exec: &Exec) -> Why {
    match error.kind() {
        io::ErrorKind::NotFound => Why::NotFound {
            hint: exec
                .config
                .install_hint
                .as_deref()
                .map(|hint| on_one_line(hint.as_bytes()))
                .filter(|hint| !hint.is_empty()),
        },
        _ => Why::NotStarted(error),
    }
}

impl Group {
    /// The plugin's own group, or none if it has our terminal and so is in our group.
    fn of(child: &Child, connected: Connected) -> Self {
        let pid = child.id().map(|pid| Pid::from_raw(pid.cast_signed()));
        Self(pid.filter(|_| !connected.terminal))
    }

    fn let_be(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Its leader has not been waited for, so nobody else can have its ID.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// What was read from a pipe so far, and the task that reads it.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

fn collect(pipe: Option<impl AsyncRead + Send + Unpin + 'static>) -> Collected {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let collected = Arc::clone(&bytes);
    let reading = tokio::spawn(async move {
        let Some(mut pipe) = pipe else { return };
        let mut part = vec![0; 8 << 10];
        while let Ok(length @ 1..) = pipe.read(&mut part).await {
            let mut bytes = collected.lock().unwrap_or_else(PoisonError::into_inner);
            // Output beyond the limit is also read, or the plugin would block on a full pipe.
            if bytes.len() < LONGEST_OUTPUT {
                bytes.extend_from_slice(&part[..length]);
            }
        }
    });
    Collected { bytes, reading }
}

impl Collected {
    async fn end(mut self) -> Vec<u8> {
        let _ = timeout(LINGERS, &mut self.reading).await;
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *bytes)
    }
}

impl Drop for Collected {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Parses the plugin's output. Errors contain none of it.
fn issued(output: &[u8], exec: &Exec) -> Result<Issued, Why> {
    let unusable = |_| Why::Output("printed something that is no ExecCredential in JSON");
    let text = str::from_utf8(output).unwrap_or_default();
    let printed: ExecCredential = serde_json::from_str(text)
        // Like client-go, also accepts YAML.
        .or_else(|_| serde_saphyr::from_str(text).map_err(unusable))?;
    if printed.kind.as_deref() != Some("ExecCredential") {
        return Err(Why::Output("printed something that is no ExecCredential"));
    }
    if printed.api_version.as_deref() != Some(exec.version()) {
        return Err(Why::Output(
            "printed an ExecCredential of another apiVersion than the kubeconfig asks for",
        ));
    }
    let status = printed
        .status
        .ok_or(Why::Output("printed an ExecCredential without a status"))?;
    let expires = status.expiration_timestamp.map(SystemTime::from);
    Ok(Issued::new(status.credential()?, expires))
}

impl Status {
    fn credential(self) -> Result<Credential, Why> {
        let given = |value: Option<String>| value.filter(|value| !value.is_empty());
        let certificate = given(self.client_certificate_data);
        let identity = match (certificate, given(self.client_key_data)) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                let identity = Identity::of(certificate.as_bytes(), key.as_bytes());
                let unusable = Why::Output("printed a client certificate that cannot be used");
                Some(Arc::new(identity.map_err(|_| unusable)?))
            }
            _ => {
                return Err(Why::Output(
                    "printed a client certificate without a key, or a key without a certificate",
                ));
            }
        };
        let authorization = given(self.token).map(|token| bearer(&token)).transpose();
        let authorization =
            authorization.map_err(|_| Why::Output("printed a token that cannot be one"))?;
        if authorization.is_none() && identity.is_none() {
            return Err(Why::Output(
                "printed neither a token nor a client certificate",
            ));
        }
        Ok(Credential {
            authorization,
            identity,
        })
    }
}

fn ended_with(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn on_one_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join("; ");
    let told = line.char_indices().rev().take(TOLD).last();
    escaped(&line[told.map_or(0, |(at, _)| at)..]).to_string()
}
