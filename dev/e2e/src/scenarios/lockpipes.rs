//! A DaemonSet that keeps its Pods alive with `lockpipe read`.

use std::time::{Duration, Instant};

use k8s_openapi::api::{apps::v1::DaemonSet, core::v1::Pod};
use kube::api::{ListParams, Patch as Change, PatchParams};
use serde_json::json;

use super::Scenario;
use crate::{
    Result, Tool, images,
    scene::{Patch, Scene},
};

pub(super) const SCENARIOS: [Scenario; 2] = [
    Scenario::alone(Tool::Lockpipes, "rolling-restart", |scene| {
        Box::pin(rolling_restart(scene))
    }),
    Scenario::new(Tool::Lockpipes, "restart-of-sleep", |scene| {
        Box::pin(restart_of_sleep(scene))
    }),
];

const MANIFESTS: &[&str] = &["lockpipes/examples/kubernetes"];
const NAME: &str = "once-per-node";

/// The longest accepted restart with `lockpipe read`.
const QUICK: Duration = Duration::from_secs(10);

/// The grace period that Kubernetes gives a Pod by default.
const GRACE_PERIOD: Duration = Duration::from_secs(30);

async fn rolling_restart(scene: &Scene<'_>) -> Result<String> {
    scene.apply(MANIFESTS, &[]).await?;
    let time = restart(scene).await?;
    if time < QUICK {
        return Ok(format!("rolled over in {time:.1?}"));
    }
    let what = format!("a rolling restart took {time:.1?}, should be less than {QUICK:?}");
    Err(scene.wrong(&what).await)
}

/// The same with `sleep`, which people use instead: as PID 1 it has no default action for TERM.
async fn restart_of_sleep(scene: &Scene<'_>) -> Result<String> {
    let container = "/spec/template/spec/containers/0";
    let sleep = Patch {
        kind: "DaemonSet",
        operations: json!([
            {"op": "replace", "path": format!("{container}/image"), "value": scene.images.full(images::BASE)},
            {"op": "add", "path": format!("{container}/command"), "value": ["sleep", "infinity"]},
            {"op": "remove", "path": format!("{container}/args")},
        ]),
    };
    scene.apply(MANIFESTS, &[sleep]).await?;
    let time = restart(scene).await?;
    if time >= GRACE_PERIOD {
        return Ok(format!(
            "`sleep infinity` as PID 1 rolled over in {time:.1?}"
        ));
    }
    Err(format!("`sleep infinity` rolled over in {time:.1?}: there is nothing to gain here").into())
}

/// Restarts the DaemonSet as `kubectl rollout restart` does. Returns the time until the new Pods
/// are there and the old ones are gone.
async fn restart(scene: &Scene<'_>) -> Result<Duration> {
    rolled_out(scene).await?;
    let annotation = json!({"kubectl.kubernetes.io/restartedAt": "now"});
    let change = json!({"spec": {"template": {"metadata": {"annotations": annotation}}}});
    let started = Instant::now();
    let sets = scene.api::<DaemonSet>();
    sets.patch(NAME, &PatchParams::default(), &Change::Merge(change))
        .await?;
    rolled_out(scene).await?;
    Ok(started.elapsed())
}

async fn rolled_out(scene: &Scene<'_>) -> Result {
    let what = format!("the DaemonSet {NAME} has rolled out");
    let rolled_out = scene.until(&what, async || {
        let set = scene.api::<DaemonSet>().get(NAME).await?;
        let pods = scene.api::<Pod>().list(&ListParams::default()).await?;
        let old_ones = pods
            .iter()
            .any(|pod| pod.metadata.deletion_timestamp.is_some());
        Ok((is_rolled_out(&set) && !old_ones).then_some(()))
    });
    rolled_out.await
}

fn is_rolled_out(set: &DaemonSet) -> bool {
    let wanted = set.metadata.generation;
    set.status.as_ref().is_some_and(|status| {
        let desired = status.desired_number_scheduled;
        status.observed_generation == wanted
            && desired > 0
            && status.updated_number_scheduled == Some(desired)
            && status.number_available == Some(desired)
    })
}
