//! A server behind a pidfile, in containers.

use k8s_openapi::api::core::v1::Pod;

use super::Scenario;
use crate::{Result, Tool, pod, scene::Scene};

pub(super) const SCENARIOS: [Scenario; 2] = [
    Scenario::new(Tool::Sipid, "bosh-job", |scene| Box::pin(bosh_job(scene))),
    Scenario::new(Tool::Sipid, "container-restart", |scene| {
        Box::pin(container_restart(scene))
    }),
];

/// The script itself checks the results.
async fn bosh_job(scene: &Scene<'_>) -> Result<String> {
    scene.apply(&["dev/e2e/sipid/bosh.yaml"], &[]).await?;
    let ended = |pod: &Pod| pod::exit_code(pod, "scripts");
    let status = scene
        .until("the scripts have ended", async || {
            Ok(ended(&scene.api::<Pod>().get("bosh").await?))
        })
        .await?;
    let logs = scene.logs("bosh", "scripts", false).await?;
    // Standard output and standard error are two pipes, so "done" need not be the last line.
    if status == 0 && logs.lines().any(|line| line == "done") {
        return Ok("claimed, healthy behind its Service, ended".to_owned());
    }
    Err(scene
        .wrong(&format!("the scripts ended with {status}"))
        .await)
}

/// The pidfile names a running process with the same PID as the one that was claimed for, but it is
/// another process.
async fn container_restart(scene: &Scene<'_>) -> Result<String> {
    scene.apply(&["dev/e2e/sipid/restart.yaml"], &[]).await?;
    let before = both_serve(scene, 0).await?;
    // The node may remove the logs of a killed container.
    let earlier = claimed(scene).await?;
    for container in ["first", "child"] {
        scene.kill_from_node(&before, container).await?;
    }
    both_serve(scene, 1).await?;
    let now = claimed(scene).await?;
    if earlier == now {
        return Ok(format!(
            "both claimed again; the child {} twice",
            now.trim_end()
        ));
    }
    Err(
        format!("the PID did not come again, which shows nothing: first {earlier:?}, then {now:?}")
            .into(),
    )
}

/// Waits until both containers serve, after this many restarts. A claim that failed would cause one
/// more.
async fn both_serve(scene: &Scene<'_>, restarts: i32) -> Result<Pod> {
    let what = format!("both containers serve, after {restarts} restarts");
    let pod = scene.until(&what, async || {
        let pod = scene.api::<Pod>().get("restart").await?;
        let serves = |name| {
            pod::status(&pod, name).is_some_and(|it| it.ready && it.restart_count == restarts)
        };
        Ok(["first", "child"].into_iter().all(serves).then_some(pod))
    });
    pod.await
}

/// What the container wrote about its claim.
async fn claimed(scene: &Scene<'_>) -> Result<String> {
    let said = scene.until("the claim is told", async || {
        let log = scene.logs("restart", "child", false).await?;
        Ok(log.starts_with("claimed for ").then_some(log))
    });
    said.await
}
