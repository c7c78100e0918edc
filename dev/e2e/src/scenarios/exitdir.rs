//! Jobs with a leader and a follower.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::Scenario;
use crate::{
    Result, Tool,
    job::End,
    pod,
    scene::{Patch, Scene},
};

pub(super) const SCENARIOS: [Scenario; 6] = [
    Scenario::new(Tool::Exitdir, "library", |scene| Box::pin(library(scene))),
    Scenario::new(Tool::Exitdir, "wrapper", |scene| Box::pin(wrapper(scene))),
    Scenario::new(Tool::Exitdir, "on-failure", |scene| {
        Box::pin(on_failure(scene))
    }),
    Scenario::new(Tool::Exitdir, "leader-fails", |scene| {
        Box::pin(leader_fails(scene))
    }),
    Scenario::new(Tool::Exitdir, "leader-out-of-memory", |scene| {
        Box::pin(leader_out_of_memory(scene))
    }),
    Scenario::new(Tool::Exitdir, "leader-killed", |scene| {
        Box::pin(leader_killed(scene))
    }),
];

const WRAPPER: &[&str] = &["exitdir/examples/kubernetes/wrapper.yaml"];
const JOB: &str = "exitdir-wrapper";

/// The containers' places in the manifest.
const LEADER: usize = 0;
const FOLLOWER: usize = 1;

/// 128 + SIGKILL.
const KILLED: i32 = 137;
/// The exit status of `follow` when the leader died without signalling.
const LOST: i32 = 122;

async fn library(scene: &Scene<'_>) -> Result<String> {
    let manifests = ["exitdir/examples/kubernetes/library.yaml"];
    scene.apply(&manifests, &[]).await?;
    completed(scene, "exitdir-library").await
}

async fn wrapper(scene: &Scene<'_>) -> Result<String> {
    scene.apply(WRAPPER, &[]).await?;
    completed(scene, JOB).await
}

/// The first try fails, and both containers are restarted.
async fn on_failure(scene: &Scene<'_>) -> Result<String> {
    let manifests = ["exitdir/examples/kubernetes/on-failure.yaml"];
    scene.apply(&manifests, &[]).await?;
    completed(scene, "exitdir-on-failure").await
}

async fn completed(scene: &Scene<'_>, job: &str) -> Result<String> {
    let time = scene.job_ends(job, End::Complete).await?;
    scene.ended_with(job, "leader", &[0]).await?;
    scene.ended_with(job, "follower", &[0]).await?;
    Ok(format!("1/1 after {time}"))
}

async fn leader_fails(scene: &Scene<'_>) -> Result<String> {
    let command = json!(["exitdir", "lead", "--", "sh", "-c", "sleep 1; exit 7"]);
    scene
        .apply(WRAPPER, &[container(LEADER, &[("command", command)])])
        .await?;
    let time = scene.job_ends(JOB, End::Failed).await?;
    scene.ended_with(JOB, "leader", &[7]).await?;
    scene.ended_with(JOB, "follower", &[0]).await?;
    Ok(format!("failed after {time}, leader 7, follower 0"))
}

/// Depending on the node, the kernel kills the command or the whole container. The follower ends in
/// both cases.
async fn leader_out_of_memory(scene: &Scene<'_>) -> Result<String> {
    let allocate = [
        "exitdir",
        "lead",
        "--",
        "dd",
        "if=/dev/zero",
        "of=/dev/null",
        "bs=256M",
        "count=1",
    ];
    let limits = json!({"limits": {"memory": "32Mi"}});
    let patch = container(
        LEADER,
        &[("command", json!(allocate)), ("resources", limits)],
    );
    scene.apply(WRAPPER, &[patch]).await?;
    let time = scene.job_ends(JOB, End::Failed).await?;
    scene.ended_with(JOB, "leader", &[KILLED]).await?;
    let follower = scene.ended_with(JOB, "follower", &[0, LOST]).await?;
    Ok(format!(
        "failed after {time}, leader {KILLED}, follower {follower}"
    ))
}

/// The leader's container dies with its PID 1, and nothing in it can signal.
async fn leader_killed(scene: &Scene<'_>) -> Result<String> {
    let lead = json!(["exitdir", "lead", "--", "sleep", "infinity"]);
    // However early the leader is killed, its follower knows that it should have existed.
    let follow = json!([
        "exitdir",
        "follow",
        "--leader-by",
        "10s",
        "--",
        "sleep",
        "infinity"
    ]);
    let commands = [
        container(LEADER, &[("command", lead)]),
        container(FOLLOWER, &[("command", follow)]),
    ];
    scene.apply(WRAPPER, &commands).await?;
    let both_run = |pod: &Pod| {
        ["leader", "follower"]
            .iter()
            .all(|name| pod::runs(pod, name))
    };
    let pod = scene
        .pod_of_job(JOB, "both containers run", both_run)
        .await?;
    scene.kill_from_node(&pod, "leader").await?;
    let time = scene.job_ends(JOB, End::Failed).await?;
    scene.ended_with(JOB, "leader", &[KILLED]).await?;
    scene.ended_with(JOB, "follower", &[LOST]).await?;
    Ok(format!(
        "failed {time} after the kill, leader {KILLED}, follower {LOST}"
    ))
}

/// A change to one of the two containers.
fn container(number: usize, fields: &[(&str, Value)]) -> Patch {
    let operation = |(field, value): &(&str, Value)| {
        let path = format!("/spec/template/spec/containers/{number}/{field}");
        json!({"op": "add", "path": path, "value": value})
    };
    Patch {
        kind: "Job",
        operations: fields.iter().map(operation).collect(),
    }
}
