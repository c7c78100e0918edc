//! Two Pods and one lock: the Pod that holds it is deleted, and the other one has it.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use super::{Ended, eventually, expect, title};
use crate::{Result, kube::ForDemo, process::shown};

const PODS: &str = r#"{"apiVersion": "v1", "kind": "List", "items": [
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "demo-a"}, "spec": {"automountServiceAccountToken": false, "containers": [{"name": "main", "image": "none"}]}},
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "demo-b"}, "spec": {"automountServiceAccountToken": false, "containers": [{"name": "main", "image": "none"}]}}]}"#;

pub(super) fn show(tool: &Path, cluster: &ForDemo) -> Result {
    title("cmlock: two Pods, one lock, on a Kubernetes API server of this machine");
    let command = |program: &Path, words: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(words)
            .envs(cluster.environment.iter().cloned())
            // It may be there for something else than these Pods.
            .env_remove("CONTAINER_NAME");
        command
    };
    let kubectl = |words: &[&str]| command(&cluster.kubectl, words);
    let cmlock = |words: &[&str]| command(tool, words);
    make_pods(kubectl(&["apply", "-f", "-"]))?;

    let mut holder = cmlock(&["--pod", "demo-a", "run", "migrate", "--", "sleep", "1000"]);
    eprintln!("$ {} &", shown(&holder));
    let mut holder = Ended(holder.spawn()?);
    let held = || quiet(cmlock(&["status", "migrate"])).is_ok_and(|held| held);
    eventually("the first Pod holds the lock", held)?;
    expect(&mut cmlock(&["status", "migrate"]), 0)?;
    let mut waiter = cmlock(&[
        "-v",
        "--pod",
        "demo-b",
        "run",
        "migrate",
        "--",
        "echo",
        "  migrated by the second Pod",
    ]);
    eprintln!("$ {} &", shown(&waiter));
    let mut waiter = Ended(waiter.spawn()?);
    // For whoever looks on: it waits, and goes on waiting.
    std::thread::sleep(std::time::Duration::from_secs(1));

    let deleted = Instant::now();
    expect(
        &mut kubectl(&["delete", "pod", "demo-a", "--grace-period=0", "--force"]),
        0,
    )?;
    let status = waiter.0.wait()?;
    eprintln!(
        "  the second Pod was done {:?} later: {status}",
        deleted.elapsed()
    );
    let told = holder.0.wait()?;
    eprintln!("  the first one's command was ended: {told}");
    quiet(kubectl(&[
        "delete",
        "pod",
        "demo-b",
        "--grace-period=0",
        "--force",
    ]))?;
    match (status.code(), told.code()) {
        (Some(0), Some(122)) => Ok(()),
        _ => Err("the second Pod should have had the lock, and the first one lost it".into()),
    }
}

fn make_pods(mut apply: Command) -> Result {
    let mut apply = apply.stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = apply.stdin.take() {
        input.write_all(PODS.as_bytes())?;
    }
    match apply.wait()?.success() {
        true => Ok(()),
        false => Err("the Pods cannot be made".into()),
    }
}

/// Whether it succeeds; nobody sees what it says.
fn quiet(mut command: Command) -> Result<bool> {
    Ok(command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?
        .success())
}
