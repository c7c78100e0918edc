//! Locks that Pods own: the two shipped Pods, with the shipped Role.

use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    ResourceExt,
    api::{DeleteParams, EvictParams},
};
use serde_json::json;

use super::{Scenario, lacking};
use crate::{
    Result, Tool, pod,
    program::output,
    scene::{Patch, Scene},
};

pub(super) const SCENARIOS: [Scenario; 8] = [
    Scenario::new(Tool::Cmlock, "pod-deleted", |scene| {
        Box::pin(pod_deleted(scene))
    }),
    Scenario::new(Tool::Cmlock, "pod-evicted", |scene| {
        Box::pin(pod_evicted(scene))
    }),
    Scenario::new(Tool::Cmlock, "out-of-memory", |scene| {
        Box::pin(out_of_memory(scene))
    }),
    Scenario::new(Tool::Cmlock, "finished", |scene| Box::pin(finished(scene))),
    Scenario::new(Tool::Cmlock, "collected", |scene| {
        Box::pin(collected(scene))
    }),
    Scenario::new(Tool::Cmlock, "object-deleted", |scene| {
        Box::pin(object_deleted(scene))
    }),
    Scenario::new(Tool::Cmlock, "container-restarted", |scene| {
        Box::pin(container_restarted(scene))
    }),
    Scenario::new(Tool::Cmlock, "a-verb-less", |scene| {
        Box::pin(a_verb_less(scene))
    }),
];

const MANIFESTS: &[&str] = &[
    "cmlock/examples/kubernetes/rbac.yaml",
    "cmlock/examples/kubernetes/two-pods.yaml",
];
const PODS: [&str; 2] = ["migrate-a", "migrate-b"];
const CONTAINER: &str = "main";
const LOCK: &str = "migrate";
/// The first words of the work.
const BEGUN: &str = "migrating";

/// How soon another Pod must hold the lock. The lock has no expiry, and the shipped work takes a
/// minute.
const AT_ONCE: Duration = Duration::from_secs(10);

/// 128 + SIGKILL.
const KILLED: i32 = 137;
/// The exit status of `run` when it has ended the command because the lock was lost.
const LOST: i32 = 122;

/// With the manifests as shipped.
async fn pod_deleted(scene: &Scene<'_>) -> Result<String> {
    let pair = Pair::start(scene, &[]).await?;
    let started = Instant::now();
    delete_pod(scene, &pair.holder.name_any()).await?;
    begun(scene, &pair.waiter).await?;
    let time = at_once(scene, "the deletion of the holder", started).await?;
    Ok(format!("the next one began {time} after the deletion"))
}

/// This is what a drain does to each Pod of a node. The node itself is left alone: it may be the
/// only one, and have other Pods.
async fn pod_evicted(scene: &Scene<'_>) -> Result<String> {
    hands_over(scene, async |holder| {
        let pods = scene.api::<Pod>();
        pods.evict(holder, &EvictParams::default()).await?;
        Ok(())
    })
    .await
}

/// The content of the volume counts as the container's memory, and cannot be freed. So the kernel
/// kills the container's largest process, which is cmlock.
async fn out_of_memory(scene: &Scene<'_>) -> Result<String> {
    let handed_over = hands_over(scene, async |holder| {
        // This process dies with its container, or before.
        let _ = exec(scene, holder, "cat /dev/zero >/volume/full").await;
        ended_with(scene, holder, KILLED).await
    });
    handed_over.await
}

async fn finished(scene: &Scene<'_>) -> Result<String> {
    let handed_over = hands_over(scene, async |holder| {
        exec(scene, holder, "touch /volume/done").await?;
        ended_with(scene, holder, 0).await
    });
    handed_over.await
}

/// The holder dies without a chance to release, and nobody waits: the lock's object goes with its
/// Pod.
async fn collected(scene: &Scene<'_>) -> Result<String> {
    let pair = Pair::start(scene, &[works()]).await?;
    let holder = pair.alone(scene).await?;
    scene.kill_from_node(&holder, CONTAINER).await?;
    let name = holder.name_any();
    ended_with(scene, &name, KILLED).await?;
    let locks = scene.api::<ConfigMap>();
    if locks.get_opt(LOCK).await?.is_none() {
        return Err("the lock's object went before its Pod did: this shows nothing".into());
    }
    let started = Instant::now();
    delete_pod(scene, &name).await?;
    let is_gone = async || Ok(locks.get_opt(LOCK).await?.is_none().then_some(()));
    scene
        .until("the lock's object is collected", is_gone)
        .await?;
    let time = started.elapsed();
    Ok(format!("{time:.1?} after its Pod was deleted"))
}

/// `kubectl delete configmap` while a Pod holds the lock.
async fn object_deleted(scene: &Scene<'_>) -> Result<String> {
    let pair = Pair::start(scene, &[works()]).await?;
    let holder = pair.alone(scene).await?.name_any();
    let started = Instant::now();
    output(scene.kubectl().args(["delete", "configmap", LOCK])).await?;
    ended_with(scene, &holder, LOST).await?;
    let time = at_once(scene, "the deletion of its lock", started).await?;
    Ok(format!("`run` ended with {LOST} in {time}"))
}

/// With the manifests as shipped: the container is restarted. Until the restart is counted, the
/// lock belongs to the earlier run of the container.
async fn container_restarted(scene: &Scene<'_>) -> Result<String> {
    let pair = Pair::start(scene, &[]).await?;
    let holder = pair.alone(scene).await?;
    let name = holder.name_any();
    let before = annotation(scene, "cmlock/holder").await?;
    // A process that dies in the same second in which it acquired the lock cannot be told from its
    // successor.
    let since: u64 = annotation(scene, "cmlock/since").await?.parse()?;
    let later = async || Ok((now() > since + 1).then_some(()));
    scene.until("a later second has begun", later).await?;
    let started = Instant::now();
    scene.kill_from_node(&holder, CONTAINER).await?;
    let pods = scene.api::<Pod>();
    let again = async || {
        let pod = pods.get(&name).await?;
        let status = pod::status(&pod, CONTAINER);
        let runs_again = status.is_some_and(|it| it.restart_count == 1);
        Ok((runs_again && pod::runs(&pod, CONTAINER)).then_some(()))
    };
    scene.until("the container runs again", again).await?;
    begun(scene, &name).await?;
    let time = at_once(scene, "the kill", started).await?;
    if annotation(scene, "cmlock/holder").await? == before {
        return Err("the work began again under the lock of the holder that was killed".into());
    }
    Ok(format!("its successor began {time} after the kill"))
}

/// If the Role lacks one verb, exactly this verb is reported.
async fn a_verb_less(scene: &Scene<'_>) -> Result<String> {
    let verbs = ["get", "list", "watch", "create", "delete"];
    let without_update = Patch {
        kind: "Role",
        operations: json!([{"op": "replace", "path": "/rules/0/verbs", "value": verbs}]),
    };
    let check = Patch {
        kind: "Pod",
        operations: json!([
            {"op": "replace", "path": "/spec/restartPolicy", "value": "Never"},
            {"op": "replace", "path": "/spec/containers/0/command", "value": ["cmlock", "check"]},
        ]),
    };
    scene.apply(MANIFESTS, &[without_update, check]).await?;
    for pod in PODS {
        ended_with(scene, pod, 1).await?;
        let said = scene.logs(pod, CONTAINER, false).await?;
        if lacking(&said) != ["update configmaps"] {
            let what = "`cmlock check`, without the right to update ConfigMaps, said";
            return Err(format!("{what}: {said}").into());
        }
    }
    Ok("the missing verb is named".to_owned())
}

/// Work that continues until it is told to end, in Pods that are not restarted.
fn works() -> Patch {
    let work = "echo migrating; until [ -e /volume/done ]; do echo works; sleep 0.1; done";
    let container = "/spec/containers/0";
    Patch {
        kind: "Pod",
        operations: json!([
            {"op": "replace", "path": "/spec/restartPolicy", "value": "Never"},
            {"op": "add", "path": "/spec/volumes", "value": [{"name": "volume", "emptyDir": {"medium": "Memory"}}]},
            {"op": "add", "path": format!("{container}/volumeMounts"), "value": [{"name": "volume", "mountPath": "/volume"}]},
            {"op": "replace", "path": format!("{container}/command"), "value": ["cmlock", "-v", "run", LOCK, "--", "sh", "-c", work]},
        ]),
    }
}

/// Does something to a holder. The next one must begin soon, but not before the holder's work has
/// ended.
async fn hands_over(scene: &Scene<'_>, disturb: impl AsyncFn(&str) -> Result) -> Result<String> {
    let pair = Pair::start(scene, &[works()]).await?;
    let followed = scene.follow(&pair.holder, CONTAINER).await?;
    let started = Instant::now();
    disturb(&pair.holder.name_any()).await?;
    begun(scene, &pair.waiter).await?;
    let time = at_once(scene, "the end of the holder", started).await?;
    let gap = followed
        .until(scene, &pair.waiter, CONTAINER, BEGUN)
        .await?;
    Ok(format!(
        "the next one began {gap:.1?} after the work's end, {time} in all"
    ))
}

/// The two Pods, once one holds the lock and the other one waits for it.
struct Pair {
    holder: Pod,
    waiter: String,
}

impl Pair {
    async fn start(scene: &Scene<'_>, patches: &[Patch]) -> Result<Self> {
        scene.apply(MANIFESTS, patches).await?;
        let locks = scene.api::<ConfigMap>();
        let owner = scene.until("one of them has the lock", async || {
            let lock = locks.get_opt(LOCK).await?;
            Ok(lock.and_then(|lock| Some(lock.owner_references().first()?.name.clone())))
        });
        let holder = owner.await?;
        let waiter = PODS.into_iter().find(|pod| *pod != holder);
        let waiter = waiter.unwrap_or_default().to_owned();
        begun(scene, &holder).await?;
        says(scene, &waiter, "waiting: held by Pod").await?;
        // The kubelet reports a running container a moment after it started.
        let pods = scene.api::<Pod>();
        let holder = scene.until("the holder's status says that it runs", async || {
            let pod = pods.get(&holder).await?;
            Ok(pod::runs(&pod, CONTAINER).then_some(pod))
        });
        let holder = holder.await?;
        Ok(Self { holder, waiter })
    }

    /// The holder, without the waiter.
    async fn alone(self, scene: &Scene<'_>) -> Result<Pod> {
        delete_pod(scene, &self.waiter).await?;
        let pods = scene.api::<Pod>();
        let is_gone = async || Ok(pods.get_opt(&self.waiter).await?.is_none().then_some(()));
        scene.until("the waiter is gone", is_gone).await?;
        Ok(self.holder)
    }
}

async fn begun(scene: &Scene<'_>, pod: &str) -> Result {
    says(scene, pod, BEGUN).await
}

/// Waits until a Pod has written this.
async fn says(scene: &Scene<'_>, pod: &str, text: &str) -> Result {
    let what = format!("{pod} says {text:?}");
    let said = scene.until(&what, async || {
        // There are no logs before there is a container.
        let logs = scene.logs(pod, CONTAINER, false).await.unwrap_or_default();
        Ok(logs.contains(text).then_some(()))
    });
    said.await
}

/// The time since `started`, for people; an error if it is too long.
async fn at_once(scene: &Scene<'_>, what: &str, started: Instant) -> Result<String> {
    let time = started.elapsed();
    if time < AT_ONCE {
        return Ok(format!("{time:.1?}"));
    }
    let what = format!("it took {time:.1?} from {what}, should be less than {AT_ONCE:?}");
    Err(scene.wrong(&what).await)
}

/// Waits until a Pod's container has ended, which must be with this status.
async fn ended_with(scene: &Scene<'_>, pod: &str, expected: i32) -> Result {
    let pods = scene.api::<Pod>();
    let ended = async || Ok(pod::exit_code(&pods.get(pod).await?, CONTAINER));
    let status = scene.until(&format!("{pod} has ended"), ended).await?;
    if status == expected {
        return Ok(());
    }
    let what = format!("{pod} ended with {status}, and should have with {expected}");
    Err(scene.wrong(&what).await)
}

async fn delete_pod(scene: &Scene<'_>, pod: &str) -> Result {
    let pods = scene.api::<Pod>();
    pods.delete(pod, &DeleteParams::default()).await?;
    Ok(())
}

async fn exec(scene: &Scene<'_>, pod: &str, command: &str) -> Result {
    let words = ["exec", pod, "--", "sh", "-c", command];
    output(scene.kubectl().args(words)).await.map(drop)
}

/// An annotation of the lock's object.
async fn annotation(scene: &Scene<'_>, name: &str) -> Result<String> {
    let lock = scene.api::<ConfigMap>().get(LOCK).await?;
    let value = lock.annotations().get(name).cloned();
    value.ok_or_else(|| format!("the lock has no annotation {name}").into())
}

/// The clock of the nodes, which are on this machine.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}
