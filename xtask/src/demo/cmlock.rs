//! Two Pods and one lock: we delete the Pod that holds it, and the other one acquires it.

use std::{fs, time::Instant};

use super::stage::{Stage, eventually, remark, since, title};
use crate::{Result, kube::AtHand};

const PODS: &str = r#"{"apiVersion": "v1", "kind": "List", "items": [
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "demo-a"}, "spec": {"automountServiceAccountToken": false, "containers": [{"name": "main", "image": "none"}]}},
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "demo-b"}, "spec": {"automountServiceAccountToken": false, "containers": [{"name": "main", "image": "none"}]}}]}"#;

/// The exit status for a lost lock.
const LOST: i32 = 122;

pub(super) fn show(stage: &mut Stage, cluster: &AtHand) -> Result {
    title("cmlock: a lock that is free when its Pod is gone");
    let kubeconfig = cluster
        .environment
        .iter()
        .find(|(name, _)| *name == "KUBECONFIG");
    let (name, path) = kubeconfig.ok_or("the cluster has no kubeconfig")?;
    stage.export(name, &path.display().to_string());
    fs::write(stage.directory().join("pods.json"), PODS)?;
    let kubectl = cluster.kubectl.display();
    stage.run(
        &format!("{kubectl} apply -f pods.json    # two Pods, demo-a and demo-b"),
        0,
    )?;
    let holder = stage.start("cmlock --pod demo-a run migrate -- sleep infinity")?;
    let held = || {
        stage
            .output("cmlock status migrate")
            .is_ok_and(|it| it.contains("demo-a"))
    };
    eventually("the first Pod holds the lock", held)?;
    stage.run("cmlock status migrate", 0)?;
    let waiter =
        stage.start("cmlock --pod demo-b run migrate -- echo the second Pod has the lock")?;
    let delete = |pod: &str| format!("{kubectl} delete pod {pod} --grace-period=0 --force");
    let deleted = Instant::now();
    stage.run(&delete("demo-a"), 0)?;
    waiter.ends(0)?;
    remark(&format!("the second Pod was done {} later", since(deleted)));
    holder.ends(LOST)?;
    remark(&format!(
        "the first one's command was ended, with status {LOST}"
    ));
    stage.run(&delete("demo-b"), 0)
}
