//! Locks that Pods contend for, with the shipped Role.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        coordination::v1::Lease as ElectionLease,
        core::v1::{ConfigMap, Pod},
    },
    jiff::{SignedDuration, Timestamp},
};
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use super::{Scenario, lacking};
use crate::{
    Result, Tool,
    cluster::Cluster,
    images,
    job::End,
    pod,
    program::output,
    scene::{Patch, Scene},
};

pub(super) const SCENARIOS: [Scenario; 8] = [
    Scenario::new(Tool::Lockheed, "counter", |scene| Box::pin(counter(scene))),
    Scenario::new(Tool::Lockheed, "job", |scene| Box::pin(job(scene))),
    Scenario::new(Tool::Lockheed, "cron-job", |scene| {
        Box::pin(cron_job(scene))
    }),
    Scenario::new(Tool::Lockheed, "deployment", |scene| {
        Box::pin(deployment(scene))
    }),
    Scenario::new(Tool::Lockheed, "holder-killed", |scene| {
        Box::pin(holder_killed(scene))
    }),
    Scenario::new(Tool::Lockheed, "pod-deleted", |scene| {
        Box::pin(pod_deleted(scene))
    }),
    Scenario::new(Tool::Lockheed, "cut-off", |scene| Box::pin(cut_off(scene))),
    Scenario::new(Tool::Lockheed, "a-verb-less", |scene| {
        Box::pin(a_verb_less(scene))
    }),
];

const RBAC: &str = "lockheed/examples/kubernetes/rbac.yaml";
const JOB: &str = "lockheed/examples/kubernetes/job.yaml";
const CRON_JOB: &str = "lockheed/examples/kubernetes/cronjob.yaml";
const RBAC_LEASE: &str = "lockheed/examples/kubernetes/rbac-lease.yaml";
const RBAC_EVENTS: &str = "lockheed/examples/kubernetes/rbac-events.yaml";
const DEPLOYMENT: &str = "lockheed/examples/kubernetes/deployment.yaml";

const HOLDER: &str = "dev/e2e/lockheed/holder.yaml";
const WAITER: &str = "dev/e2e/lockheed/waiter.yaml";

/// How often each Pod of the Job counts.
const SECTIONS: usize = 5;

/// Twenty Pods count in a ConfigMap. Without the lock, some counts would be lost.
async fn counter(scene: &Scene<'_>) -> Result<String> {
    let count = format!(
        "for i in $(seq {SECTIONS}); do lockheed run counter --duration=30s -- count || exit; done"
    );
    let container = "/spec/template/spec/containers/0";
    let counts = Patch {
        kind: "Job",
        operations: json!([
            {"op": "replace", "path": format!("{container}/image"), "value": scene.images.full(images::COUNT)},
            {"op": "replace", "path": format!("{container}/command"), "value": ["sh", "-c", count]},
        ]),
    };
    scene
        .apply(&[RBAC, JOB, "dev/e2e/lockheed/counter.yaml"], &[counts])
        .await?;
    let time = scene.job_ends("lockheed-job", End::Complete).await?;
    let counter = scene.api::<ConfigMap>().get("counter").await?;
    let number = counter
        .data
        .and_then(|mut data| data.remove("number"))
        .unwrap_or_default();
    let expected = (20 * SECTIONS).to_string();
    if number == expected {
        return Ok(format!("20 Pods counted to {number} in {time}"));
    }
    Err(
        format!("20 Pods counted {SECTIONS} times each, and got to {number:?}, not to {expected}")
            .into(),
    )
}

/// The Job as shipped: each of its Pods was alone, and had a token of its own.
async fn job(scene: &Scene<'_>) -> Result<String> {
    scene.apply(&[RBAC, JOB], &[]).await?;
    let time = scene.job_ends("lockheed-job", End::Complete).await?;
    let mut tokens = BTreeSet::new();
    let of_the_job = ListParams::default().labels("job-name=lockheed-job");
    for pod in scene.api::<Pod>().list(&of_the_job).await? {
        let logs = scene.logs(&pod::name(&pod), "worker", false).await?;
        tokens.extend(token(&logs, "alone, with token "));
    }
    if tokens.len() == 20 {
        return Ok(format!(
            "20 Pods were alone, one after the other, in {time}"
        ));
    }
    Err(format!("20 Pods had the tokens {tokens:?}").into())
}

/// The token in the line with this prefix. lockheed's own lines about the wait are in the same log.
fn token(logs: &str, prefix: &str) -> Option<u64> {
    let mut lines = logs.lines();
    let token = lines.find_map(|line| line.strip_prefix(prefix))?;
    token.parse().ok()
}

async fn cron_job(scene: &Scene<'_>) -> Result<String> {
    scene.apply(&[RBAC, CRON_JOB], &[]).await?;
    let now = ["create", "job", "now", "--from=cronjob/lockheed-cronjob"];
    output(scene.kubectl().args(now)).await?;
    let time = scene.job_ends("now", End::Complete).await?;
    let ended = |pod: &Pod| pod::exit_code(pod, "backup").is_some();
    let pod = scene.pod_of_job("now", "backup has ended", ended).await?;
    let logs = scene.logs(&pod::name(&pod), "backup", false).await?;
    if token(&logs, "backing up, with token ").is_some() {
        return Ok(format!("ran in {time}"));
    }
    Err(format!("the work of the CronJob has not said what it should: {logs:?}").into())
}

/// One of the replicas runs. When its Pod is deleted, another one runs.
async fn deployment(scene: &Scene<'_>) -> Result<String> {
    scene
        .apply(&[RBAC_LEASE, RBAC_EVENTS, DEPLOYMENT], &[])
        .await?;
    let (first, token) = the_one_that_runs(scene, "").await?;
    let delete = DeleteParams::default();
    scene.api::<Pod>().delete(&first, &delete).await?;
    let (second, higher) = the_one_that_runs(scene, &first).await?;
    let lease = scene.api::<ElectionLease>().get("operator").await?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity);
    let holder = holder.unwrap_or_default();
    if higher > token && holder.starts_with(&second) {
        return Ok(format!("{second} ran after {first}"));
    }
    Err(format!(
        "{second} runs with token {higher} after {token} of {first}, and {holder:?} has the Lease"
    )
    .into())
}

/// The Pod whose program runs, and its token, once there are three replicas. A Pod that is being
/// deleted does not count.
async fn the_one_that_runs(scene: &Scene<'_>, deleted: &str) -> Result<(String, u64)> {
    let replicas = ListParams::default().labels("app=lockheed-deployment");
    let pods = scene.api::<Pod>();
    let look = async || {
        let all = pods.list(&replicas).await?;
        let all = all.into_iter().filter(|pod| pod::name(pod) != deleted);
        let all: Vec<_> = all.filter(|pod| pod::runs(pod, "operator")).collect();
        let mut running = Vec::new();
        for pod in &all {
            let logs = scene.logs(&pod::name(pod), "operator", false).await?;
            let token = token(&logs, "running, with token ");
            running.extend(token.map(|token| (pod::name(pod), token)));
        }
        match &running[..] {
            [_, _, ..] => Err(format!("more than one runs: {running:?}").into()),
            [one] if all.len() == 3 => Ok(Some(one.clone())),
            _ => Ok(None),
        }
    };
    scene.until("one of three replicas runs", look).await
}

/// The holder dies without a chance to release, and the API server forgets its Pod. The next holder
/// waits for the end of the lease.
async fn holder_killed(scene: &Scene<'_>) -> Result<String> {
    scene.apply(&[RBAC, HOLDER], &[]).await?;
    begun(scene, "holder").await?;
    waits(scene).await?;
    let pods = scene.api::<Pod>();
    let holder = pods.get("holder").await?;
    scene.kill_from_node(&holder, "holder").await?;
    pods.delete("holder", &DeleteParams::default().grace_period(0))
        .await?;
    let old = lease(scene).await?;
    begun(scene, "waiter").await?;
    let new = lease(scene).await?;
    let overlap = old.ends.duration_since(new.begins);
    let (old_id, new_id) = (&old.id, &new.id);
    if old_id.starts_with("holder") && new_id.starts_with("waiter") && !overlap.is_positive() {
        return Ok(format!(
            "the next one began {:.1?} after the lease's end",
            overlap.unsigned_abs()
        ));
    }
    Err(format!("{new_id} began {overlap:.1?} before the end of the lease of {old_id}").into())
}

/// The holder's Pod is deleted by force. The API server forgets it at once, but it lives on for a
/// moment and ignores TERM.
async fn pod_deleted(scene: &Scene<'_>) -> Result<String> {
    succeeded(scene, async |_holder| {
        let pods = scene.api::<Pod>();
        pods.delete("holder", &DeleteParams::default().grace_period(0))
            .await?;
        Ok(())
    })
    .await
}

/// The holder's Pod has no network any more.
async fn cut_off(scene: &Scene<'_>) -> Result<String> {
    succeeded(scene, async |holder| {
        let cut = "nsenter --target $pid --net ip route del default";
        output(&mut Cluster::beside(holder, "holder", cut)?)
            .await
            .map(drop)
    })
    .await
}

/// Does something to a holder whose work ignores TERM. The next one must not begin before that work
/// has ended.
async fn succeeded(scene: &Scene<'_>, disturb: impl AsyncFn(&Pod) -> Result) -> Result<String> {
    let work = "trap '' TERM; echo begun; while :; do echo works; sleep 0.1; done";
    let deaf = Patch {
        kind: "Pod",
        operations: json!([{"op": "replace", "path": "/spec/containers/0/command",
            "value": ["lockheed", "run", "deploy", "--duration=20s", "--", "sh", "-c", work]}]),
    };
    scene.apply(&[RBAC, HOLDER], &[deaf]).await?;
    begun(scene, "holder").await?;
    waits(scene).await?;
    let holder = scene.api::<Pod>().get("holder").await?;
    let works = scene.follow(&holder, "holder").await?;
    disturb(&holder).await?;
    begun(scene, "waiter").await?;
    let gap = works.until(scene, "waiter", "waiter", "begun").await?;
    Ok(format!("the next one began {gap:.1?} after the work's end"))
}

/// Starts a Pod that waits for the lock.
async fn waits(scene: &Scene<'_>) -> Result {
    scene.apply(&[WAITER], &[]).await?;
    let pods = scene.api::<Pod>();
    let runs = async || Ok(pod::runs(&pods.get("waiter").await?, "waiter").then_some(()));
    scene.until("the waiter runs", runs).await
}

/// Waits until a Pod's command has written that it has begun.
async fn begun(scene: &Scene<'_>, name: &str) -> Result {
    let what = format!("the command of {name} has begun");
    let begun = scene.until(&what, async || {
        // There are no logs before there is a container.
        let logs = scene.logs(name, name, false).await.unwrap_or_default();
        Ok(logs.contains("begun").then_some(()))
    });
    begun.await
}

/// The only lease of the lock `deploy`.
struct Lease {
    id: String,
    /// When it was last acquired or renewed.
    begins: Timestamp,
    ends: Timestamp,
}

async fn lease(scene: &Scene<'_>) -> Result<Lease> {
    let object = scene.api::<ConfigMap>().get("lockheed-deploy").await?;
    let lock = object
        .data
        .and_then(|mut data| data.remove("lock"))
        .unwrap_or_default();
    let lock: Value = serde_json::from_str(&lock)?;
    let lease = lock["leases"]
        .as_object()
        .and_then(|leases| leases.values().next());
    let lease = lease.ok_or_else(|| format!("nobody holds the lock: {lock}"))?;
    let ends: Timestamp = lease["expires"].as_str().unwrap_or_default().parse()?;
    let length = lease["durationMillis"]
        .as_i64()
        .ok_or("the lease has no length")?;
    Ok(Lease {
        id: lease["instanceID"].as_str().unwrap_or_default().to_owned(),
        begins: ends - SignedDuration::from_millis(length),
        ends,
    })
}

/// If the Role lacks one verb, exactly this verb is reported.
async fn a_verb_less(scene: &Scene<'_>) -> Result<String> {
    let without_watch = Patch {
        kind: "Role",
        operations: json!([{"op": "replace", "path": "/rules/0/verbs", "value": ["get", "list", "create", "update"]}]),
    };
    scene
        .apply(&[RBAC, "dev/e2e/lockheed/check.yaml"], &[without_watch])
        .await?;
    let pods = scene.api::<Pod>();
    let ended = async || Ok(pod::exit_code(&pods.get("check").await?, "check"));
    let status = scene.until("the check has ended", ended).await?;
    let logs = scene.logs("check", "check", false).await?;
    if status == 1 && lacking(&logs) == ["watch configmaps"] {
        return Ok("the missing verb is named".to_owned());
    }
    Err(
        format!("`lockheed check` ended with {status}, without the verb watch, and said: {logs}")
            .into(),
    )
}
