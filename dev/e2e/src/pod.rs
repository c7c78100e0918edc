//! What a Pod's status says about its containers.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

use crate::Result;

/// Its name. Every Pod from the API server has one.
pub(crate) fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

/// One line: the phase, and each container's state.
pub(crate) fn shown(pod: &Pod) -> String {
    let name = name(pod);
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let states: Vec<String> = statuses(pod)
        .map(|status| format!("{} {}", status.name, state(status.state.as_ref())))
        .collect();
    let ends = pod.metadata.deletion_timestamp.as_ref();
    let ends = ends.map_or("", |_| ", is being deleted");
    format!(
        "{name}: {}{ends}; {}",
        phase.unwrap_or("no phase"),
        states.join(", ")
    )
}

fn state(state: Option<&ContainerState>) -> String {
    let Some(state) = state else {
        return "in no state".to_owned();
    };
    if let Some(ended) = &state.terminated {
        let reason = ended.reason.as_deref().unwrap_or("no reason");
        return format!("ended with {} ({reason})", ended.exit_code);
    }
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("no reason");
        return format!("waits ({reason})");
    }
    "runs".to_owned()
}

/// The names of all containers, init containers first.
pub(crate) fn containers(pod: &Pod) -> Vec<String> {
    statuses(pod).map(|status| status.name.clone()).collect()
}

/// The containers whose logs may explain a failure, and how many of the last lines to show: those
/// that failed, those that failed and will be restarted, and those that run.
pub(crate) fn telling(pod: &Pod) -> Vec<(String, usize)> {
    let telling = statuses(pod).filter_map(|status| {
        let state = status.state.as_ref()?;
        let again = state.waiting.is_some() && status.restart_count > 0;
        let lines = match &state.terminated {
            Some(ended) if ended.exit_code != 0 => 3,
            None if again => 3,
            None if state.running.is_some() => 1,
            _ => return None,
        };
        Some((status.name.clone(), lines))
    });
    telling.collect()
}

/// A container's status, once it has one.
pub(crate) fn status<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    statuses(pod).find(|status| status.name == container)
}

/// The exit status of a container, if it has ended.
pub(crate) fn exit_code(pod: &Pod, container: &str) -> Option<i32> {
    let state = status(pod, container)?.state.as_ref()?;
    Some(state.terminated.as_ref()?.exit_code)
}

pub(crate) fn runs(pod: &Pod, container: &str) -> bool {
    let state = status(pod, container).and_then(|status| status.state.as_ref());
    state.is_some_and(|state| state.running.is_some())
}

/// The node that a container is on, and its ID there.
pub(crate) fn place(pod: &Pod, container: &str) -> Result<(String, String)> {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let id = status(pod, container).and_then(|status| status.container_id.as_deref());
    // The ID is written after the runtime: containerd://ID.
    let id = id.and_then(|id| id.split("://").nth(1));
    let (Some(node), Some(id)) = (node, id) else {
        return Err(format!("the container {container} is on no node: {}", shown(pod)).into());
    };
    Ok((node, id.to_owned()))
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    let main = status.and_then(|status| status.container_statuses.as_ref());
    init.into_iter().chain(main).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_shown_with_what_each_container_does() {
        let pod = json!({"metadata": {"name": "job-x"}, "status": {"phase": "Running", "containerStatuses": [
            {"name": "leader", "state": {"terminated": {"exitCode": 7, "reason": "Error"}}},
            {"name": "follower", "state": {"running": {}}},
            {"name": "other", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
            {"name": "late", "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}},
        ]}});
        let pod: Pod = serde_json::from_value(pod).expect("this is a Pod");
        assert_eq!(
            shown(&pod),
            "job-x: Running; leader ended with 7 (Error), follower runs, other waits (CrashLoopBackOff), late waits (ContainerCreating)"
        );
        let lines = [("leader", 3), ("follower", 1), ("other", 3)];
        assert_eq!(
            telling(&pod),
            lines.map(|(name, lines)| (name.to_owned(), lines))
        );
        assert_eq!(exit_code(&pod, "leader"), Some(7));
        assert_eq!(exit_code(&pod, "follower"), None);
        assert!(runs(&pod, "follower") && !runs(&pod, "leader"));
    }
}
